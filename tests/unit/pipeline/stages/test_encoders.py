"""Tests of the threads and processes that encode pictures."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest

from torchlurk.pipeline.encoding import encode_one
from torchlurk.pipeline.stages.encoders import EncoderPool, encoder_pool, picture_encoders
from torchlurk.runtime.encoding_process import EncodingProcess
from torchlurk.runtime.jpeg import Encode, JpegJob, JpegOptions, encode_jpegs, thumb_job


def jobs() -> list[JpegJob]:
    """Pictures of different sizes, one of them gray."""
    draw = np.random.default_rng(0)
    pixels = [draw.integers(0, 255, (30 + 10 * n, 100, 1 if n == 2 else 3), dtype=np.uint8) for n in range(6)]
    return [JpegJob(one, JpegOptions(85, sharp_colour=n % 2 == 0)) for n, one in enumerate(pixels)] + [
        thumb_job(pixels[1])
    ]


@pytest.mark.parametrize("pool", [EncoderPool(0, 0), EncoderPool(2, 0), EncoderPool(2, 2)])
def test_the_files_do_not_depend_on_who_encodes_them(pool: EncoderPool) -> None:
    with picture_encoders(pool) as encoders:
        futures = [encoders.submit(lambda encode: encode(jobs())) for _ in range(5)]
        one = encoders.submit(partial(encode_one, jobs()[0]))
        assert all(future.result() == encode_jpegs(jobs()) for future in futures)
        assert one.result() == encode_jpegs(jobs())[0]


def test_a_process_that_dies_is_replaced_by_this_one() -> None:
    process = EncodingProcess()
    assert process.encode(jobs()) == encode_jpegs(jobs())
    process._worker.process.kill()
    for _ in range(2):
        assert process.encode(jobs()) == encode_jpegs(jobs())
    process.close()


def test_a_process_takes_pictures_that_are_not_contiguous() -> None:
    process = EncodingProcess()
    turned = [JpegJob(job.pixels.transpose(1, 0, 2), job.options) for job in jobs()]
    gray = JpegJob(jobs()[0].pixels[:, ::2, 1:2], JpegOptions(90))
    assert process.encode([*turned, gray]) == encode_jpegs([*turned, gray])
    process.close()


def test_one_decoding_process_means_no_encoding_process() -> None:
    """A computer with few cores has none to spare."""
    assert encoder_pool(0) == EncoderPool(0, 0)
    assert encoder_pool(1).processes == 0
    assert encoder_pool(15) == EncoderPool(8, 8)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_finish_waits_for_all_work(threads: int) -> None:
    done: list[int] = []
    with picture_encoders(EncoderPool(threads, 0)) as encoders:
        for number in range(500):
            encoders.submit(lambda _, number=number: done.append(number))  # type: ignore[misc]
        encoders.finish()
        assert sorted(done) == list(range(500))


@pytest.mark.parametrize("threads", [0, 2])
def test_finish_raises_an_exception_of_the_work(threads: int) -> None:
    def fail(_: Encode) -> None:
        raise OSError("no room")

    def all_of_it() -> None:
        with picture_encoders(EncoderPool(threads, 0)) as encoders:
            encoders.submit(fail)
            encoders.finish()

    with pytest.raises(OSError, match="no room"):
        all_of_it()


def test_the_number_of_pending_pictures_is_limited() -> None:
    gate = threading.Event()
    waiting: list[int] = []
    with picture_encoders(EncoderPool(1, 0)) as encoders:
        threading.Timer(0.05, gate.set).start()
        for number in range(3 * encoders.max_pending):
            encoders.submit(lambda _, number=number: (gate.wait(), waiting.append(number)))  # type: ignore[misc]
            assert len(encoders.pending) <= encoders.max_pending
        encoders.finish()
    assert len(waiting) == 3 * encoders.max_pending


def test_an_exception_ends_the_threads_and_drops_pending_work() -> None:
    before = threading.active_count()
    begun: list[int] = []

    def slow(number: int, _: Encode) -> None:
        begun.append(number)
        time.sleep(0.02)

    def interrupted() -> None:
        with picture_encoders(EncoderPool(1, 0)) as encoders:
            for number in range(50):
                encoders.submit(partial(slow, number))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threading.active_count() == before
    assert len(begun) < 50
