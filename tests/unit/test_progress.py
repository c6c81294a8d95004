"""What a run is at, in a file that goes with the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from torchlurk.pipeline.progress import report_progress
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.read import read_progress
from torchlurk.store.write import write_checksums


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def reporter(seen: list[int]) -> Reporter:
    @contextmanager
    def bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        yield seen.append

    return Reporter(report=lambda line: None, bar=bar)


def done(store: Path) -> int:
    progress = read_progress(store)
    assert progress is not None
    return progress.done


def test_it_is_written_at_most_once_a_second(tmp_path: Path) -> None:
    clock, seen = Clock(), list[int]()
    with report_progress(reporter(seen), tmp_path, clock) as told:
        assert read_progress(tmp_path) is None
        with told.bar("scan", 10, "image") as advance:
            assert done(tmp_path) == 0
            for now, wanted in [(0.5, 0), (1.0, 4), (1.9, 4), (2.1, 8)]:
                clock.now = now
                advance(2)
                assert done(tmp_path) == wanted
        with told.bar("crops", 3, "filter"):
            progress = read_progress(tmp_path)
            assert progress is not None
            assert (progress.work, progress.unit, progress.total) == ("crops", "filter", 3)
    assert seen == [2, 2, 2, 2]
    assert list(tmp_path.iterdir()) == []


def test_it_goes_with_a_run_that_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with report_progress(reporter([]), tmp_path, Clock()) as told, told.bar("scan", 1, "image"):
            assert read_progress(tmp_path) is not None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_that_it_cannot_be_written_does_not_stop_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        report_progress(reporter([]), tmp_path / "file", Clock()) as told,
        told.bar("scan", 1, "image") as advance,
    ):
        advance(1)


def test_it_is_no_part_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text("{}")
    write_checksums(tmp_path)
    before = (tmp_path / "SHA256SUMS").read_bytes()
    with report_progress(reporter([]), tmp_path, Clock()) as told, told.bar("scan", 1, "image"):
        write_checksums(tmp_path)
        assert (tmp_path / "SHA256SUMS").read_bytes() == before
