"""What there is to compute on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from torchlurk.errors import LurkError

T = TypeVar("T")


def choose_device(wanted: str, local_rank: int = 0) -> torch.device:
    """The device of that name; `auto` takes cuda where there is one.

    Args:
        wanted: `auto`, `cpu` or `cuda`.
        local_rank: which process of those on this machine wants it: they spread over what there is.

    Raises:
        LurkError: cuda is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise LurkError("--device cuda: torch sees no such device here: choose cpu or auto")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and torch.cuda.device_count() > 1:
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    return torch.device(wanted)


def fastest_precision(device: torch.device) -> str:
    """`bfloat16` where the device multiplies matrices of it faster than of float32, else `float32`."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    # oneDNN emulates bfloat16 on processors that have no instructions for it, and then it is slower.
    native = (torch.cpu._is_amx_tile_supported, torch.cpu._is_avx512_bf16_supported)
    return "bfloat16" if any(supported() for supported in native) else "float32"


def default_batch_size(device: torch.device) -> int:
    """Images in one forward: 8 on a processor, whose caches more would overflow; hundreds on cuda."""
    if device.type != "cuda":
        return 8
    # VGG16 at 224 px, the hungriest of the common networks, needs about 60 MB an image in the scan.
    memory = torch.cuda.get_device_properties(device).total_memory
    return 256 if memory > 32e9 else 64


def default_ascent_batch(device: torch.device, batch: int) -> int:
    """Filters that ascend together, of `batch` that there is room for: a block always runs as a whole.

    Small, so that one filter alone does not take long; on a processor convolutions gain little by more.
    """
    return min(batch, 4 if device.type != "cuda" else 32)


def default_workers(device: torch.device) -> int:
    """Processes that decode images: one beside a processor that computes, many before a cuda device."""
    return 1 if device.type != "cuda" else max(1, min(16, (os.cpu_count() or 2) - 1))


@contextmanager
def deterministic_float32(device: torch.device) -> Iterator[None]:
    """Compute float32 in float32, and the same each time.

    On cuda, cuDNN would by default round the factors of a convolution to TensorFloat-32, which has three
    digits, and choose its algorithms by a race. Afterwards the settings are those of before.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Compute with so many threads of the processor, by which sums may be cut; afterwards, as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class BatchLimiter:
    """How many of something fit into the memory at once; it shrinks when they did not.

    Attributes:
        report: tells a line of news.
        limit: how many; `None` until something did not fit.
    """

    report: Callable[[str], None]
    limit: int | None = None

    def cap(self, wanted: int) -> int:
        """How many to take where so many are wanted."""
        return wanted if self.limit is None else min(wanted, self.limit)

    def reduce(self, taken: int, problem: BaseException) -> None:
        """So many did not fit: half of them from now on.

        Raises:
            LurkError: not even one fits.
        """
        if taken <= 1:
            raise LurkError(
                "not even a batch of one fits into the memory: give a smaller --size, or --device cpu"
            ) from problem
        if self.limit is None:
            self.report(f"a batch of {taken} does not fit into the memory: it is halved from here on")
        self.limit = taken // 2


def retry_on_oom(limiter: BatchLimiter, wanted: int, work: Callable[[int], T]) -> T:
    """Do some work with as many at once as fit, at most the wanted number.

    Raises:
        LurkError: not even one fits.
    """
    while True:
        taken = limiter.cap(wanted)
        try:
            return work(taken)
        except (RuntimeError, MemoryError) as problem:
            if not is_out_of_memory(problem):
                raise
            limiter.reduce(taken, problem)


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an exception of torch says that memory did not suffice, on whatever device."""
    if isinstance(problem, torch.OutOfMemoryError | MemoryError):
        return True
    # Of the processor's own memory torch says so in words only.
    return isinstance(problem, RuntimeError) and "can't allocate memory" in str(problem)


def copy_to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same values on a device, without waiting for what it is at."""
    if device.type != "cuda":
        return values.to(device)
    # Only from pinned memory does a copy run beside the computation.
    return values.pin_memory().to(device, non_blocking=True)
