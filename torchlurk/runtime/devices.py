"""Devices: which one to compute on, what suits it, and how much fits into its memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from torchlurk.errors import LurkError, Option

_T = TypeVar("_T")


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device of a name; `auto` is CUDA if it is available, else the CPU.

    Args:
        name: `auto`, `cpu` or `cuda`.
        local_rank: Rank of the process on its machine. Processes spread over the CUDA devices.

    Raises:
        LurkError: `cuda` is requested and not available.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise LurkError("torch finds no CUDA device", "choose cpu or auto", Option("device", "cuda"))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and torch.cuda.device_count() > 1:
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    return torch.device(name)


def fastest_precision(device: torch.device) -> str:
    """Return `bfloat16` if the device multiplies matrices faster in it than in float32, else `float32`."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    # oneDNN emulates bfloat16 on CPUs without instructions for it, which is slower than float32.
    native = (torch.cpu._is_amx_tile_supported, torch.cpu._is_avx512_bf16_supported)
    return "bfloat16" if any(supported() for supported in native) else "float32"


def default_batch_size(device: torch.device) -> int:
    """Return the number of images in one forward: 8 on a CPU, whose caches larger batches overflow."""
    if device.type != "cuda":
        return 8
    # The scan of VGG16 at 224 px, which needs more than other common networks, takes about 60 MB per image.
    memory = torch.cuda.get_device_properties(device).total_memory
    return 256 if memory > 32e9 else 64


def default_ascent_batch(device: torch.device, batch_size: int) -> int:
    """Return the number of filters in one block of the gradient ascent, at most `batch_size`.

    Blocks are small, since a block is always computed whole: also for a single filter of it. On a CPU,
    convolutions gain little from more.
    """
    return min(batch_size, 4 if device.type != "cuda" else 32)


def default_workers(device: torch.device) -> int:
    """Return the number of processes that decode images: 1 for a CPU that also computes, more for CUDA."""
    return 1 if device.type != "cuda" else max(1, min(16, (os.cpu_count() or 2) - 1))


@contextmanager
def deterministic_float32(device: torch.device) -> Iterator[None]:
    """Compute in full float32 precision, and deterministically, within the context.

    On CUDA, cuDNN would by default round the factors of a convolution to TensorFloat-32, which has three
    decimal digits, and choose its algorithms by benchmarks. The previous settings are restored afterwards.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Set the number of CPU threads temporarily; it affects the order of summation."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def small_operations() -> Iterator[None]:
    """Run CPU operations on one thread within the context.

    Several threads gain nothing on a few thousand numbers. While another process keeps a core busy, each such
    operation would wait up to 40 ms for the thread on that core.
    """
    with cpu_threads(1):
        yield


@dataclass
class BatchLimiter:
    """A limit on the batch size, halved whenever a batch does not fit into memory.

    Attributes:
        report: Prints a line.
        limit: Largest batch size; `None` until a batch does not fit.
    """

    report: Callable[[str], None]
    limit: int | None = None

    def cap(self, batch_size: int) -> int:
        """Return the batch size, reduced to the limit."""
        return batch_size if self.limit is None else min(batch_size, self.limit)

    def reduce(self, batch_size: int, problem: BaseException) -> None:
        """Halve the limit after a batch that did not fit.

        Args:
            batch_size: Size of the batch.
            problem: The exception that says so.

        Raises:
            LurkError: A batch of one does not fit.
        """
        if batch_size <= 1:
            raise LurkError(
                "a batch of one image does not fit into memory",
                ("use a smaller ", Option("size"), ", or ", Option("device", "cpu")),
            ) from problem
        if self.limit is None:
            self.report(f"a batch of {batch_size} does not fit into memory; batches are halved from here on")
        self.limit = batch_size // 2


def retry_on_oom(limiter: BatchLimiter, batch_size: int, work: Callable[[int], _T]) -> _T:
    """Call a function with a batch size, and again with half of it while it runs out of memory.

    Args:
        limiter: Limits the batch size, and is reduced.
        batch_size: Largest batch size to try.
        work: Takes a batch size.

    Raises:
        LurkError: A batch of one does not fit.
    """
    while True:
        size = limiter.cap(batch_size)
        try:
            return work(size)
        except (RuntimeError, MemoryError) as problem:
            if not is_out_of_memory(problem):
                raise
            limiter.reduce(size, problem)


def is_out_of_memory(problem: BaseException) -> bool:
    """Return whether an exception says that memory, of any device, was exhausted."""
    if isinstance(problem, torch.OutOfMemoryError | MemoryError):
        return True
    # For CPU memory torch has no exception class of its own.
    return isinstance(problem, RuntimeError) and "can't allocate memory" in str(problem)


def copy_to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to a device without synchronising."""
    if device.type != "cuda":
        return values.to(device)
    # Only copies from pinned memory run concurrently with computation.
    return values.pin_memory().to(device, non_blocking=True)
