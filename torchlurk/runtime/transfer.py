"""Copies between the CPU and a CUDA device that do not make one of them wait for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

_T = TypeVar("_T")


def copy_to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to a device without synchronising."""
    if device.type != "cuda":
        return values.to(device)
    # Only copies from pinned memory run concurrently with computation; `pin_memory` returns pinned ones as
    # they are.
    return values.pin_memory().to(device, non_blocking=True)


def batches_in_flight(device: torch.device) -> int:
    """Return the number of batches that are prepared while the device computes an earlier one."""
    return 0 if device.type != "cuda" else 1


def ahead(items: Iterable[_T], count: int) -> Iterator[_T]:
    """Yield each item after so many later ones have been started, so that a device need not wait.

    Args:
        items: The items; taking one starts it.
        count: Number of later items.
    """
    started: deque[_T] = deque()
    for item in items:
        started.append(item)
        if len(started) > count:
            yield started.popleft()
    yield from started


def read_later(flag: torch.Tensor) -> Callable[[], bool]:
    """Return a function that returns the value of a tensor.

    On CUDA it waits for what the device was asked to do before this call, and for nothing after it.

    Args:
        flag: A bool tensor of one value.
    """
    if not flag.is_cuda:
        value = bool(flag)
        return lambda: value
    copied = torch.empty((), dtype=torch.bool, pin_memory=True).copy_(flag, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(flag.device))

    def wait() -> bool:
        event.synchronize()
        return bool(copied)

    return wait
