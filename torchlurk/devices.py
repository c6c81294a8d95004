"""What there is to compute on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from torchlurk.errors import LurkError


def choose_device(wanted: str) -> torch.device:
    """The device of that name; `auto` takes cuda where there is one.

    Raises:
        LurkError: cuda is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise LurkError("--device cuda: torch sees no such device here: choose cpu or auto")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def fast_precision(device: torch.device) -> str:
    """`bfloat16` where the device multiplies matrices of it faster than of float32, else `float32`."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    # oneDNN emulates bfloat16 on processors without AMX, and then it is slower.
    return "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"


def usual_batch(device: torch.device) -> int:
    """Images in one forward: 8 on a processor, whose caches more would overflow; hundreds on cuda."""
    if device.type != "cuda":
        return 8
    # VGG16 at 224 px, the hungriest of the common networks, needs about 60 MB an image in the scan.
    memory = torch.cuda.get_device_properties(device).total_memory
    return 256 if memory > 32e9 else 64


def ascent_batch(device: torch.device, batch: int) -> int:
    """Filters that ascend together, of `batch` that there is room for: a block always runs as a whole.

    Small, so that one filter alone does not take long; on a processor convolutions gain little by more.
    """
    return min(batch, 4 if device.type != "cuda" else 32)


def usual_workers(device: torch.device) -> int:
    """Processes that decode images: one beside a processor that computes, many before a cuda device."""
    return 1 if device.type != "cuda" else max(1, min(16, (os.cpu_count() or 2) - 1))


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Compute float32 in float32, and the same each time.

    On cuda, cuDNN would by default round the factors of a convolution to TensorFloat-32, which has three
    digits, and choose its algorithms by a race. Afterwards the settings are those of before.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def send(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same values on a device, without waiting for what it is at."""
    if device.type != "cuda":
        return values.to(device)
    # Only from pinned memory does a copy run beside the computation.
    return values.pin_memory().to(device, non_blocking=True)
