"""Threads that encode and write pictures while the network computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

_PENDING_PER_THREAD = 64
"""Pictures per thread that may wait to be written; more would only fill the memory."""


@dataclass(frozen=True)
class PictureWriters:
    """Run functions in a pool of threads, in no particular order; without a pool, at once.

    Encoding a picture releases the interpreter lock, so threads suffice; processes would have to be sent each
    picture.

    Attributes:
        pool: The threads, or `None`.
        pending: Submitted work whose result has not been checked.
        max_pending: Maximum length of `pending`.
    """

    pool: ThreadPoolExecutor | None
    pending: list[Future[None]]
    max_pending: int

    def submit(self, work: Callable[[], None]) -> None:
        """Run a function in the pool.

        Raises:
            Exception: An exception of an earlier function.
        """
        if self.pool is None:
            work()
            return
        if len(self.pending) >= self.max_pending:
            self.finish()
        self.pending.append(self.pool.submit(work))

    def finish(self) -> None:
        """Wait until all submitted functions have returned.

        Raises:
            Exception: An exception of one of them.
        """
        while self.pending:
            self.pending.pop().result()


@contextmanager
def picture_writers(threads: int) -> Iterator[PictureWriters]:
    """Yield writers with a number of threads, which end with the context; unstarted work is dropped."""
    if not threads:
        yield PictureWriters(None, [], 0)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="torchlurk-writer")
    try:
        yield PictureWriters(pool, [], _PENDING_PER_THREAD * threads)
    finally:
        pool.shutdown(cancel_futures=True)
