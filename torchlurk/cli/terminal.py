"""Output of the commands: lines, progress bars, and signals that end a command."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

import click
from tqdm import tqdm

from torchlurk.errors import Terminated
from torchlurk.runtime.names import printable
from torchlurk.runtime.reporting import Reporter


def echo(line: str) -> None:
    """Print a line of a command's result to stdout; names from outside cannot move the cursor."""
    click.echo(printable(line))


def report(line: str) -> None:
    """Print a line about the progress to stderr, above a progress bar."""
    tqdm.write(printable(line), file=sys.stderr)


@contextmanager
def bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Show a progress bar, if stderr is a terminal.

    Args:
        label: Text before the bar.
        total: Number of units.
        unit: Name of the unit, such as `image`.

    Yields:
        A function that advances the bar by a number of units.
    """
    with tqdm(total=total, desc=f"{label:13}", unit=f" {unit}s", file=sys.stderr, disable=None) as progress:
        yield progress.update


TERMINAL = Reporter(report=report, bar=bar)
"""Reports to stderr."""

SILENT = Reporter(report=lambda _: None, bar=lambda _label, _total, _unit: nullcontext(lambda _n: None))
"""Reports nothing: for all processes of a run but the main one."""


@contextmanager
def terminated() -> Iterator[None]:
    """Make SIGTERM raise an exception within the context, so that the command cleans up as on Ctrl-C.

    Raises:
        Terminated: The signal was received.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    # Only the main thread may set handlers, and a process that ignores SIGTERM continues to ignore it.
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
