"""Processes that share a run: started by `torchrun`, on one or several machines with a common folder.

Processes take work items by their index, and see from the files of the folder which ones are finished. They
communicate only at the borders of stages, where they wait for each other or receive a value from the main
process. So nothing that hangs in a network delays the computation, and a process that dies loses only the
item that it is working on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch.distributed as dist

from torchlurk.errors import LurkError

_T = TypeVar("_T")

_START_TIMEOUT = timedelta(minutes=10)
"""How long a process waits for the others to start."""

_BARRIER_TIMEOUT = timedelta(days=30)
"""How long a process waits for the others at the end of a stage; a process that died is noticed at once."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run.

    Attributes:
        rank: Rank of this process, from 0.
        size: Number of processes.
        local_rank: Rank of this process among those on its machine.
        torch_group: Group of `torch.distributed`; `None` for a single process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    torch_group: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files that all share."""
        return self.rank == 0

    def local_share(self, items: Sequence[_T]) -> Sequence[_T]:
        """Return the items that this process works on.

        Args:
            items: All items, in an order that is the same in all processes.
        """
        return items[self.rank :: self.size]

    def broadcast(self, make: Callable[[], _T]) -> _T:
        """Call a function in the main process, and return its result in all.

        Raises:
            LurkError: Another process has died.
        """
        if self.size == 1:
            return make()
        values = [make() if self.is_main else None]
        with _report_lost_process():
            dist.broadcast_object_list(values, src=0, group=self.torch_group)
        return cast("_T", values[0])

    def main_first(self, make: Callable[[], _T]) -> _T:
        """Call a function in all processes, in the main one before the others.

        The others then find a file that the main process downloads.

        Raises:
            LurkError: Another process has died.
        """
        if not self.is_main:
            self.barrier()
        made = make()
        if self.is_main:
            self.barrier()
        return made

    def barrier(self) -> None:
        """Wait until all processes have called this method.

        Raises:
            LurkError: Another process has died.
        """
        if self.size > 1:
            with _report_lost_process():
                dist.barrier(group=self.torch_group)


@contextmanager
def _report_lost_process() -> Iterator[None]:
    try:
        yield
    except RuntimeError as problem:
        raise LurkError(
            f"another process of this run has ended ({_first_line(problem)})",
            "finished work is kept; start the same command again to resume",
        ) from problem


@contextmanager
def init_from_env(environment: Mapping[str, str]) -> Iterator[ProcessGroup]:
    """Join the process group that `torchrun` describes, or make a group of one process.

    Messages go through gloo on any device: they are few and short, and their values are on the CPU.

    Args:
        environment: Environment variables, with torchrun's RANK, WORLD_SIZE and LOCAL_RANK.

    Yields:
        The group; it is destroyed when the context ends.

    Raises:
        LurkError: The processes cannot connect.
    """
    size = int(environment.get("WORLD_SIZE", "1")) if "RANK" in environment else 1
    if size == 1:
        yield ProcessGroup()
        return
    try:
        dist.init_process_group("gloo", timeout=_START_TIMEOUT)
        group = cast("dist.ProcessGroup", dist.new_group(timeout=_BARRIER_TIMEOUT))
    except (RuntimeError, ValueError) as problem:
        raise LurkError(
            f"process {environment['RANK']} of {size} cannot reach the others ({_first_line(problem)})",
            "start all processes with torchrun, with the same master address",
        ) from problem
    try:
        yield ProcessGroup(int(environment["RANK"]), size, int(environment.get("LOCAL_RANK", "0")), group)
    finally:
        dist.destroy_process_group()


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0][:120]
