"""Tests of the threads that encode pictures."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from torchlurk.pipeline.stages.encoders import picture_encoders


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_finish_waits_for_all_work(threads: int) -> None:
    done: list[int] = []
    with picture_encoders(threads) as encoders:
        for number in range(500):
            encoders.submit(partial(done.append, number))
        encoders.finish()
        assert sorted(done) == list(range(500))


@pytest.mark.parametrize("threads", [0, 2])
def test_finish_raises_an_exception_of_the_work(threads: int) -> None:
    def fail() -> None:
        raise OSError("no room")

    def all_of_it() -> None:
        with picture_encoders(threads) as encoders:
            encoders.submit(fail)
            encoders.finish()

    with pytest.raises(OSError, match="no room"):
        all_of_it()


def test_the_number_of_pending_pictures_is_limited() -> None:
    gate = threading.Event()
    waiting: list[int] = []
    with picture_encoders(1) as encoders:
        threading.Timer(0.05, gate.set).start()
        for number in range(3 * encoders.max_pending):
            encoders.submit(lambda number=number: (gate.wait(), waiting.append(number)))  # type: ignore[misc]
            assert len(encoders.pending) <= encoders.max_pending
        encoders.finish()
    assert len(waiting) == 3 * encoders.max_pending


def test_an_exception_ends_the_threads_and_drops_pending_work() -> None:
    before = threading.active_count()
    begun: list[int] = []

    def slow(number: int) -> None:
        begun.append(number)
        time.sleep(0.02)

    def interrupted() -> None:
        with picture_encoders(1) as encoders:
            for number in range(50):
                encoders.submit(partial(slow, number))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threading.active_count() == before
    assert len(begun) < 50
