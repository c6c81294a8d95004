"""What a computation tells whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True)
class Reporter:
    """How a run tells what it does.

    Attributes:
        report: a line of news.
        bar: a progress bar: takes a label, a total and a unit, gives a function to advance it by n.
    """

    report: Callable[[str], None]
    bar: Callable[[str, int, str], AbstractContextManager[Callable[[int], object]]]
