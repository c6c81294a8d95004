"""The processes that share a run: started by `torchrun`, one or several machines over one folder.

They share work by the numbers of its pieces and tell each other of finished ones through the folder alone.
What is said here, at the borders of the stages, is little: wait, take this from me. So nothing that hangs
in a network can hold up the computing, and a process that dies loses only the piece that it was at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch.distributed as dist

from torchlurk.errors import LurkError

T = TypeVar("T")

JOINING = timedelta(minutes=10)
"""How long a process waits for the others to start."""

PATIENCE = timedelta(days=30)
"""How long a process waits for the others at the end of a stage; one that died is noticed at once."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run.

    Attributes:
        rank: which of them this is, from 0.
        size: how many there are.
        local_rank: which of those on this machine it is.
        torch_group: that of `torch.distributed`; `None` where there is one process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    torch_group: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes what is common."""
        return self.rank == 0

    def local_share(self, pieces: Sequence[T]) -> Sequence[T]:
        """The share of this process of pieces that all of them know in the same order."""
        return pieces[self.rank :: self.size]

    def broadcast(self, make: Callable[[], T]) -> T:
        """What the first makes, for all.

        Raises:
            LurkError: a process is gone.
        """
        if self.size == 1:
            return make()
        values = [make() if self.is_main else None]
        with _others():
            dist.broadcast_object_list(values, src=0, group=self.torch_group)
        return cast("T", values[0])

    def main_first(self, make: Callable[[], T]) -> T:
        """What each makes for itself, the first before the others: a file that it downloads is there then.

        Raises:
            LurkError: a process is gone.
        """
        if not self.is_main:
            self.barrier()
        made = make()
        if self.is_main:
            self.barrier()
        return made

    def barrier(self) -> None:
        """Wait until all have come here.

        Raises:
            LurkError: a process is gone.
        """
        if self.size > 1:
            with _others():
                dist.barrier(group=self.torch_group)


@contextmanager
def _others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as problem:
        raise LurkError(
            "another process of this run is gone: what was done is kept, start the same command again "
            f"to go on ({str(problem).splitlines()[0][:120]})"
        ) from problem


@contextmanager
def init_from_env(environment: Mapping[str, str]) -> Iterator[ProcessGroup]:
    """The team that `torchrun` put this process into, or a team of one.

    Its messages go by gloo whatever the processes compute on: they are few, short, and on the processor.

    Args:
        environment: of the process, with torchrun's RANK, WORLD_SIZE and LOCAL_RANK.

    Raises:
        LurkError: the processes do not find each other.
    """
    size = int(environment.get("WORLD_SIZE", "1")) if "RANK" in environment else 1
    if size == 1:
        yield ProcessGroup()
        return
    try:
        dist.init_process_group("gloo", timeout=JOINING)
        group = cast("dist.ProcessGroup", dist.new_group(timeout=PATIENCE))
    except (RuntimeError, ValueError) as problem:
        raise LurkError(
            f"process {environment['RANK']} of {size} did not find the others "
            f"({str(problem).splitlines()[0][:120]}): start them by torchrun, with the same --master-addr"
        ) from problem
    try:
        yield ProcessGroup(int(environment["RANK"]), size, int(environment.get("LOCAL_RANK", "0")), group)
    finally:
        dist.destroy_process_group()
