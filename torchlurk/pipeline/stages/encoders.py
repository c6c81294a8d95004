"""Threads, or processes, that encode pictures while the network computes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from torchlurk.runtime.encoding_process import EncodingProcess
from torchlurk.runtime.jpeg import Encode, JpegJob, encode_jpegs

_T = TypeVar("_T")

_PENDING_PER_THREAD = 64
"""Pictures per thread that may wait to be encoded; more would only fill the memory."""

_MAX_THREADS = 4
"""More threads would wait for the interpreter lock, which half of the work for a small picture needs."""

_MAX_PROCESSES = 8


@dataclass(frozen=True)
class PictureEncoders:
    """Run functions in a pool of threads, in no particular order; without a pool, at once.

    Attributes:
        pool: The threads, or `None`.
        encode: Encodes pictures, in the thread that calls it or in a process.
        pending: Submitted work whose result has not been checked.
        max_pending: Maximum length of `pending`.
    """

    pool: ThreadPoolExecutor | None
    encode: Encode
    pending: deque[Future[Any]]
    max_pending: int

    def submit(self, work: Callable[[Encode], _T]) -> Future[_T]:
        """Run a function in the pool; if too many wait already, wait for the first of them.

        Args:
            work: Is called with `encode`.

        Returns:
            Gives what the function returns.

        Raises:
            Exception: An exception of an earlier function, or of this one if there is no pool.
        """
        if self.pool is None:
            done: Future[_T] = Future()
            done.set_result(work(self.encode))
            return done
        if len(self.pending) >= self.max_pending:
            self.pending.popleft().result()
        future = self.pool.submit(work, self.encode)
        self.pending.append(future)
        return future

    def finish(self) -> None:
        """Wait until all submitted functions have returned.

        Raises:
            Exception: An exception of one of them.
        """
        while self.pending:
            self.pending.popleft().result()


@dataclass(frozen=True)
class EncoderPool:
    """Numbers of threads and processes that encode pictures.

    Attributes:
        threads: Threads; 0 to encode in the main thread.
        processes: Processes, one for each thread, or none.
    """

    threads: int
    processes: int


def encoder_pool(workers: int) -> EncoderPool:
    """Return the numbers of threads and processes that encode pictures.

    With several decoding processes there are enough cores, and a GPU whose kernels the main thread starts.

    Args:
        workers: Processes that decode images; 0 to do everything in the main thread.
    """
    if workers < 2:
        return EncoderPool(workers and min(_MAX_THREADS, os.cpu_count() or 1), 0)
    processes = min(workers, _MAX_PROCESSES)
    return EncoderPool(processes, processes)


@contextmanager
def picture_encoders(size: EncoderPool) -> Iterator[PictureEncoders]:
    """Yield encoders, whose threads and processes end with the context; unstarted work is dropped."""
    if not size.threads:
        yield PictureEncoders(None, encode_jpegs, deque(), 0)
        return
    with ExitStack() as stack:
        encode: Encode = encode_jpegs
        if size.processes:
            idle: SimpleQueue[EncodingProcess] = SimpleQueue()
            for _ in range(size.processes):
                idle.put(stack.enter_context(closing(EncodingProcess())))

            def encode_in_process(jobs: Sequence[JpegJob]) -> list[bytes]:
                process = idle.get()
                try:
                    return process.encode(jobs)
                finally:
                    idle.put(process)

            encode = encode_in_process
        pool = ThreadPoolExecutor(size.threads, thread_name_prefix="torchlurk-encoder")
        try:
            yield PictureEncoders(pool, encode, deque(), _PENDING_PER_THREAD * size.threads)
        finally:
            pool.shutdown(cancel_futures=True)
