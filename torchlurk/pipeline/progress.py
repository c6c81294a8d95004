"""`progress.json`: a small file that says how far a run is; it exists only while the run is active."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from torchlurk.errors import LurkError
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.schema import FORMAT, PROGRESS, Progress
from torchlurk.store.write import write_json

_INTERVAL = 1.0
"""Minimum number of seconds between two writes of the file; a run may advance a thousand times a second."""


@contextmanager
def report_progress(reporter: Reporter, out: Path, clock: Callable[[], float]) -> Iterator[Reporter]:
    """Yield a reporter whose progress bars are also written to `progress.json` of a store.

    The file is removed when the context ends, so that the bytes of a store do not depend on it. Nothing is
    written before the first bar, which is after the folder has become a store.

    Args:
        reporter: The reporter to extend.
        out: Folder of the store.
        clock: Returns seconds since any fixed time.
    """
    path = out / PROGRESS

    def write(progress: Progress) -> None:
        # Writing is optional: a full disk is reported by whatever has to write.
        with suppress(LurkError):
            write_json(path, progress)

    def bar(label: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], object]]:
        start = Progress(FORMAT, label, unit, 0, total)
        return _written_bar(reporter.bar(label, total, unit), start, write, clock)

    try:
        yield replace(reporter, bar=bar)
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _written_bar(
    bar: AbstractContextManager[Callable[[int], object]],
    start: Progress,
    write: Callable[[Progress], None],
    clock: Callable[[], float],
) -> Iterator[Callable[[int], object]]:
    """Yield the advance function of a bar that is written at its start, then at most every `_INTERVAL`."""
    done = 0
    written_at = clock()
    write(start)
    with bar as advance_bar:

        def advance(n: int) -> object:
            nonlocal done, written_at
            done += n
            now = clock()
            if now - written_at >= _INTERVAL:
                written_at = now
                write(Progress(start.format, start.work, start.unit, done, start.total))
            return advance_bar(n)

        yield advance
