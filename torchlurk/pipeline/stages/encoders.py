"""Threads that encode pictures while the network computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")

_PENDING_PER_THREAD = 64
"""Pictures per thread that may wait to be encoded; more would only fill the memory."""


@dataclass(frozen=True)
class PictureEncoders:
    """Run functions in a pool of threads, in no particular order; without a pool, at once.

    Encoding a picture releases the interpreter lock, so threads suffice; processes would have to be sent each
    picture.

    Attributes:
        pool: The threads, or `None`.
        pending: Submitted work whose result has not been checked.
        max_pending: Maximum length of `pending`.
    """

    pool: ThreadPoolExecutor | None
    pending: list[Future[Any]]
    max_pending: int

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        """Run a function in the pool; if too many wait already, wait for them first.

        Returns:
            Gives what the function returns.

        Raises:
            Exception: An exception of an earlier function, or of this one if there is no pool.
        """
        if self.pool is None:
            done: Future[_T] = Future()
            done.set_result(work())
            return done
        if len(self.pending) >= self.max_pending:
            self.finish()
        future = self.pool.submit(work)
        self.pending.append(future)
        return future

    def finish(self) -> None:
        """Wait until all submitted functions have returned.

        Raises:
            Exception: An exception of one of them.
        """
        while self.pending:
            self.pending.pop().result()


def encoder_threads(workers: int) -> int:
    """Return the number of threads that encode pictures.

    Args:
        workers: Processes that decode images; 0 to do everything in the main thread.
    """
    return workers and max(workers, min(4, os.cpu_count() or 1))


@contextmanager
def picture_encoders(threads: int) -> Iterator[PictureEncoders]:
    """Yield encoders with a number of threads, which end with the context; unstarted work is dropped."""
    if not threads:
        yield PictureEncoders(None, [], 0)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="torchlurk-encoder")
    try:
        yield PictureEncoders(pool, [], _PENDING_PER_THREAD * threads)
    finally:
        pool.shutdown(cancel_futures=True)
