"""Helpers for all tests: refused commands and calls, and small pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from torchlurk.errors import LurkError

INTERNAL_ERROR = "internal error"
"""Part of what the command line prints for an exception that no code expects."""


def refused(result: Result, *words: str) -> str:
    """Assert that a command fails with one line that a user understands.

    Args:
        result: what `CliRunner` returns.
        words: parts that the line contains.

    Returns:
        The line, from stderr.
    """
    assert result.exit_code == 1, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("torchlurk: ")
    assert INTERNAL_ERROR not in line
    assert "Traceback" not in result.output
    for word in words:
        assert word in line
    return line


def refusal(call: Callable[[], object]) -> str:
    """Assert that a call raises a `LurkError` of one line, and return the line."""
    with pytest.raises(LurkError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    return line


def write_photos(folder: Path, *names: str) -> Path:
    """Write a small picture for each name, a path in the folder; no two have the same colours.

    Returns:
        The folder.
    """
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = (40 * number % 256, 90, 255 - 30 * number % 256)
        picture = Image.new("RGB", (80, 70), colour)
        picture.paste((255, 255, 0), (10 + 5 * number, 10, 40, 40))
        picture.save(path)
    return folder
