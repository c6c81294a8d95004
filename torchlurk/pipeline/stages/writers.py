"""Threads that encode and write pictures while the network computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

WAITING = 64
"""Pictures a thread that may wait to be written: more would only fill the memory."""


@dataclass(frozen=True)
class Writers:
    """Does what it is given in its threads, in no particular order; without threads, at once.

    Encoding gives the interpreter's lock free, so threads suffice where processes would have to be sent
    each picture.

    Attributes:
        pool: the threads, or `None`.
        pending: what has not been seen to end well.
        room: how many may be pending.
    """

    pool: ThreadPoolExecutor | None
    pending: list[Future[None]]
    room: int

    def put(self, work: Callable[[], None]) -> None:
        """Have some work done.

        Raises:
            Exception: what earlier work raised.
        """
        if self.pool is None:
            work()
            return
        if len(self.pending) >= self.room:
            self.finish()
        self.pending.append(self.pool.submit(work))

    def finish(self) -> None:
        """Wait until all that was put is done.

        Raises:
            Exception: what some of it raised.
        """
        while self.pending:
            self.pending.pop().result()


@contextmanager
def writing(threads: int) -> Iterator[Writers]:
    """Writers with so many threads, which end with the context; what they have not begun is dropped then."""
    if not threads:
        yield Writers(None, [], 0)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="torchlurk-writer")
    try:
        yield Writers(pool, [], WAITING * threads)
    finally:
        pool.shutdown(cancel_futures=True)
