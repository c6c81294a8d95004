"""Processes that share a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from torchlurk.runtime.distributed import ProcessGroup


@given(count=st.integers(0, 40), size=st.integers(1, 9))
def test_processes_share_all_items_and_none_twice(count: int, size: int) -> None:
    shares = [ProcessGroup(rank, size).local_share(range(count)) for rank in range(size)]
    assert sorted(item for share in shares for item in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_single_process_does_not_wait() -> None:
    group = ProcessGroup()
    group.barrier()
    assert group.is_main
    assert group.broadcast(lambda: 7) == group.main_first(lambda: 7) == 7
