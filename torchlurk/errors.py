"""The one kind of failure that a user is meant to see: a line, and an exit code."""

import re
from collections.abc import Iterator
from contextlib import contextmanager


class LurkError(Exception):
    """A failure that the user can mend.

    The message is one line that names the value, the rule it broke, and the way out.
    """

    exit_code = 1


class Terminated(KeyboardInterrupt):  # it is no error
    """The process was asked to end, by SIGTERM: as Ctrl-C, with another exit code."""


@contextmanager
def in_python() -> Iterator[None]:
    """Let errors name arguments, where they would name options of the command line."""
    try:
        yield
    except LurkError as problem:
        words = str(problem).replace("--overwrite", "overwrite=True")
        words = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda m: m[1].replace("-", "_") + "=", words)
        raise LurkError(words) from problem
