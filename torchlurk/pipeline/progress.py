"""What a run is at, in a small file that others can follow; it is there only while the run is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from torchlurk.errors import LurkError
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.schema import FORMAT, PROGRESS, Progress
from torchlurk.store.write import write_json

EVERY = 1.0
"""Seconds between two writings of the file, at least: a run may advance a thousand times in one."""


@contextmanager
def report_progress(reporter: Reporter, out: Path, clock: Callable[[], float]) -> Iterator[Reporter]:
    """A terminal whose bars are also written to `progress.json` of a store.

    The file goes when the context ends, so that the bytes of a store do not depend on it. Nothing is
    written before the first bar, which is after the folder has become a store.

    Args:
        reporter: what to do besides.
        out: the store's folder.
        clock: seconds, from any beginning.
    """
    path = out / PROGRESS

    def write(record: Progress) -> None:
        # A courtesy: a full disk will be told of by those who need it.
        with suppress(LurkError):
            write_json(path, record)

    def bar(label: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], object]]:
        return _told(reporter.bar(label, total, unit), Progress(FORMAT, label, unit, 0, total), write, clock)

    try:
        yield replace(reporter, bar=bar)
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _told(
    shown: AbstractContextManager[Callable[[int], object]],
    begun: Progress,
    write: Callable[[Progress], None],
    clock: Callable[[], float],
) -> Iterator[Callable[[int], object]]:
    """A bar that is also written: when it begins, then at most every `EVERY` seconds."""
    done = 0
    written = clock()
    write(begun)
    with shown as advance:

        def also(n: int) -> object:
            nonlocal done, written
            done += n
            now = clock()
            if now - written >= EVERY:
                written = now
                write(Progress(begun.format, begun.work, begun.unit, done, begun.total))
            return advance(n)

        yield also
