"""How commands tell what they do: lines and bars on stderr, and signals that end them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

from tqdm import tqdm

from torchlurk.errors import Terminated
from torchlurk.runtime.names import printable as plain
from torchlurk.runtime.reporting import Reporter


def report(line: str) -> None:
    """Print a line of news above the bar that there may be."""
    tqdm.write(plain(line), file=sys.stderr)


@contextmanager
def bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Show a progress bar, where stderr is a terminal."""
    with tqdm(total=total, desc=f"{label:13}", unit=f" {unit}s", file=sys.stderr, disable=None) as shown:
        yield shown.update


TERMINAL = Reporter(report=report, bar=bar)
"""Tells everything."""

SILENT = Reporter(report=lambda _: None, bar=lambda _label, _total, _unit: nullcontext(lambda _n: None))
"""Tells nothing: for a process of a run of which another tells."""


@contextmanager
def terminated() -> Iterator[None]:
    """Let SIGTERM end what runs as Ctrl-C does, with all that is left behind put in order.

    Raises:
        Terminated: the signal came.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    # Only the main thread may say what a signal does; and who was told to ignore it goes on ignoring it.
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
