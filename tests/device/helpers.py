"""What the tests of a device share: comparisons with the CPU, and a watch over synchronisations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor


def check_close(result: Tensor, expected: Tensor, device: torch.device, relative: float = 1e-5) -> None:
    """Check that a tensor is on a device, and close to another on the CPU, relative to its largest value."""
    assert result.device.type == device.type
    difference = (result.cpu().double() - expected.double()).abs().max()
    assert difference <= relative * expected.abs().max()


@contextmanager
def no_synchronisation(device: torch.device) -> Iterator[None]:
    """Fail at an operation that waits for a CUDA device; does nothing on the CPU."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def needs_cuda(device: torch.device) -> None:
    """Skip a test of something that only CUDA does."""
    if device.type != "cuda":
        pytest.skip("only CUDA does this")
