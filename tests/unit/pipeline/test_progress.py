"""Tests of `progress.json`."""

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
    """A clock that a test sets."""

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


def test_the_file_is_written_at_most_once_a_second(tmp_path: Path) -> None:
    clock, seen = Clock(), list[int]()
    with report_progress(reporter(seen), tmp_path, clock) as reporting:
        assert read_progress(tmp_path) is None
        with reporting.bar("scan", 10, "image") as advance:
            assert done(tmp_path) == 0
            for now, expected in [(0.5, 0), (1.0, 4), (1.9, 4), (2.1, 8)]:
                clock.now = now
                advance(2)
                assert done(tmp_path) == expected
        with reporting.bar("crops", 3, "filter"):
            progress = read_progress(tmp_path)
            assert progress is not None
            assert (progress.work, progress.unit, progress.total) == ("crops", "filter", 3)
    assert seen == [2, 2, 2, 2]
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_removed_when_a_run_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with report_progress(reporter([]), tmp_path, Clock()) as reporting, reporting.bar("scan", 1, "image"):
            assert read_progress(tmp_path) is not None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_does_not_stop_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        report_progress(reporter([]), tmp_path / "file", Clock()) as reporting,
        reporting.bar("scan", 1, "image") as advance,
    ):
        advance(1)


def test_the_file_is_not_in_the_checksums(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text("{}")
    write_checksums(tmp_path)
    before = (tmp_path / "SHA256SUMS").read_bytes()
    with report_progress(reporter([]), tmp_path, Clock()) as reporting, reporting.bar("scan", 1, "image"):
        write_checksums(tmp_path)
        assert (tmp_path / "SHA256SUMS").read_bytes() == before
