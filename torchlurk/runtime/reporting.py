"""How a computation reports its progress."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True)
class Reporter:
    """Prints lines and progress bars.

    Attributes:
        report: Prints a line.
        bar: Opens a progress bar, given a label, a total and a unit; yields a function that advances it by n.
    """

    report: Callable[[str], None]
    bar: Callable[[str, int, str], AbstractContextManager[Callable[[int], object]]]
