"""Errors as they are told in Python, where there are arguments and no options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torchlurk.errors import LurkError


@contextmanager
def in_python() -> Iterator[None]:
    """Let errors name arguments, where they would name options of the command line."""
    try:
        yield
    except LurkError as problem:
        words = str(problem).replace("--overwrite", "overwrite=True")
        words = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda m: m[1].replace("-", "_") + "=", words)
        raise LurkError(words) from problem
