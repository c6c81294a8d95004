"""How an exception from somebody else's code, such as a user's forward, is quoted in an error message."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

FORWARD_ERRORS: Final = (Exception, SystemExit)
"""What a user's forward may raise. `sys.exit` in a forward must not end the command without a line."""

_PACKAGE = str(Path(__file__).parents[1])


def short_message(error: BaseException) -> str:
    """Return the first line of an exception's message, at most 160 characters.

    Args:
        error: The exception. Without a message, the name of its type is returned.
    """
    # "<urlopen error [Errno -2] ...>" says no more than what is in it
    lines = str(error).strip().removeprefix("<urlopen error ").removesuffix(">").splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]


def type_and_message(error: BaseException) -> str:
    """Return the type of an exception and its `short_message`, such as `ValueError: shapes differ`."""
    message = short_message(error) if str(error).strip() else ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def where_raised(error: BaseException) -> str:
    """Return ` at FILE, line N` for the innermost line of the user's code, or "" if there is none.

    Lines of Torchlurk, of installed packages and of code without a file are not the user's.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_PACKAGE, "<")) and "site-packages" not in frame.filename
    ]
    return f" at {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
