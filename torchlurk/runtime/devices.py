"""Devices: which one to compute on, what suits it, and how much fits into its memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from torchlurk.errors import LurkError, Option
from torchlurk.runtime.tensorfloat32 import without_tensorfloat32

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
        # From Ampere on; older cards emulate bfloat16, which `is_bf16_supported` counts as support.
        return "bfloat16" if torch.cuda.get_device_capability(device)[0] >= 8 else "float32"
    # oneDNN emulates bfloat16 on CPUs without instructions for it, which is slower than float32.
    native = (torch.cpu._is_amx_tile_supported, torch.cpu._is_avx512_bf16_supported)
    return "bfloat16" if any(supported() for supported in native) else "float32"


_BYTES_PER_IMAGE = 120e6
"""Memory for one image of a batch: twice what the scan of VGG16 at 224 pixels takes, which needs more than
other common networks."""

_MAX_CUDA_BATCH = 256
"""Largest default batch; a larger one does not make a GPU faster."""


def default_batch_size(device: torch.device) -> int:
    """Return the number of images in one forward: 8 on a CPU, whose caches larger batches overflow.

    On CUDA it is a power of two from 16 to 256, by the memory of the device. The memory that is free does not
    matter: a run that resumes must use the batch size that it was started with.
    """
    if device.type != "cuda":
        return 8
    images = torch.cuda.get_device_properties(device).total_memory / _BYTES_PER_IMAGE
    return _power_of_two(images, 16, _MAX_CUDA_BATCH)


_REUSED_PIXELS = 32 * 64 * 64
"""Pixels of a batch whose maps of 64 channels take 32 MB. The C library takes larger ones from the system
each time, cleared page by page, which costs a tenth of a scan."""


def scan_batch_size(device: torch.device, input_size: tuple[int, int]) -> int:
    """Return the number of images in one forward of the scan.

    On a CPU, a batch of small inputs has up to 64 images: 32 of 64 x 64. Operations on fewer take so little
    time that starting them, and waiting for a core that another process keeps busy, would take longer.

    Args:
        device: The device.
        input_size: `(H, W)` of the network's input, in pixels.
    """
    images = default_batch_size(device)
    if device.type == "cuda":
        return images
    return _power_of_two(_REUSED_PIXELS / (input_size[0] * input_size[1]), images, 64)


def default_gradient_batch(device: torch.device, batch_size: int) -> int:
    """Return the number of images in one forward and backward of the gradients.

    The filters of a block are computed together even if only some of them are requested, so a block is no
    larger than it must be to keep the device busy.

    Args:
        device: The device.
        batch_size: Images in one forward of the scan.
    """
    return 2 * batch_size if device.type != "cuda" else min(batch_size, 64)


def images_at_once(device: torch.device) -> int:
    """Return the number of images whose feature maps get gradients in one backward pass.

    On a CPU one, so that all maps of an image share a forward. A GPU is busy only with many images.
    """
    return 1 if device.type != "cuda" else 64


def prefers_equal_sizes(device: torch.device) -> bool:
    """Return whether inputs of one size are faster than several that are smaller.

    On CUDA, cuDNN plans a convolution anew for each size of its input, which takes 1 to 2 ms.
    """
    return device.type == "cuda"


def default_ascent_batch(device: torch.device, batch_size: int) -> int:
    """Return the number of filters in one block of the gradient ascent, at most `batch_size`.

    Blocks are small, since a block is always computed whole: also for a single filter of it. On a CPU,
    convolutions gain little from more.
    """
    return min(batch_size, 4 if device.type != "cuda" else 256)


_SMALLEST_CANVAS = 48 * 48
"""Pixels that a small image of the ascent counts as at least: the steps of smaller ones take as long."""


def ascent_block(
    device: torch.device, batch_size: int, canvas: tuple[int, int], input_size: tuple[int, int]
) -> int:
    """Return the number of filters of a layer in one block of the gradient ascent.

    On CUDA, a step of a few small images takes as long as a step of many: the time goes into starting
    kernels. So a block has as many pixels as `batch_size` images of the network's input, and the filters of
    a shallow layer form one block. It depends on the layer alone, not on the filters that are requested.

    Args:
        device: The device.
        batch_size: Filters in a block whose images have the size of the network's input.
        canvas: `(H, W)` of the layer's images, in pixels.
        input_size: `(H, W)` of the network's input, in pixels.
    """
    if device.type != "cuda":
        return batch_size
    pixels = max(canvas[0] * canvas[1], _SMALLEST_CANVAS)
    ratio = max(1.0, input_size[0] * input_size[1] / pixels)
    return batch_size * _power_of_two(ratio, 1, 1024)


def default_shard_size(device: torch.device) -> int:
    """Return the number of images in a shard of the scan: the seconds that an interrupted run may lose.

    At the end of a shard its result is written, and a GPU waits. Processes that share a run take whole
    shards.
    """
    return 256 if device.type != "cuda" else 1024


def _power_of_two(value: float, lowest: int, highest: int) -> int:
    """Return the largest power of two up to `value`, within limits that are powers of two themselves."""
    return max(lowest, min(highest, 1 << (max(1, int(value)).bit_length() - 1)))


def default_workers(device: torch.device) -> int:
    """Return the number of processes that decode images: 1 for a CPU that also computes, more for CUDA."""
    return 1 if device.type != "cuda" else max(1, min(16, (os.cpu_count() or 2) - 1))


def image_memory(device: torch.device) -> int:
    """Return the bytes of memory for decoded images: 300 MB, which are 2,000 images at 224 pixels.

    With CUDA, where decoding takes longer than computing, all processes of a machine together may use an
    eighth of its memory.
    """
    if device.type != "cuda":
        return 300_000_000
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory // (8 * max(1, torch.cuda.device_count()))


@contextmanager
def deterministic_float32(device: torch.device) -> Iterator[None]:
    """Compute in full float32 precision, and deterministically, within the context.

    On CUDA, cuDNN would by default round the factors of a convolution to TensorFloat-32, which has three
    decimal digits, and choose its algorithms by benchmarks. The previous settings are restored afterwards.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    with without_tensorfloat32():
        try:
            cudnn.benchmark, cudnn.deterministic = False, True
            yield
        finally:
            cudnn.benchmark, cudnn.deterministic = before


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


_OUT_OF_MEMORY = (
    "can't allocate memory",  # of the CPU
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
)
"""Parts of the messages of errors that have no exception class of their own: CUDA's libraries allocate memory
beside torch."""


def is_out_of_memory(problem: BaseException) -> bool:
    """Return whether an exception says that memory, of any device, was exhausted."""
    if isinstance(problem, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(problem, RuntimeError) and any(text in str(problem) for text in _OUT_OF_MEMORY)
