"""What a computation tells whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True)
class Terminal:
    """How a run tells what it does.

    Attributes:
        say: a line of news.
        bar: a progress bar: takes a label, a total and a unit, gives a function to advance it by n.
    """

    say: Callable[[str], None]
    bar: Callable[[str, int, str], AbstractContextManager[Callable[[int], object]]]
