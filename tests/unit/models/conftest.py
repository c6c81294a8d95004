"""Helpers of these tests: small networks, their weights, and downloads that fail or must not happen."""

from __future__ import annotations

import os
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from tests.awkward import SIZE
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights
from torchlurk.models.load import load_network
from torchlurk.models.network import Network


def conv_net() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )


def weights_of(module: torch.nn.Module, **changes: torch.Tensor | None) -> Weights:
    """The weights of a module with changed entries; `None` removes one, and `_dot_` stands for a dot."""
    state = {k: v.clone() for k, v in module.state_dict().items()}
    for key, value in changes.items():
        name = key.replace("_dot_", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value
    return Weights(state, "file:x.pt", "00")


def unreachable(*_: object) -> Any:
    raise urllib.error.URLError("Name or service not known")


def never(*_: object) -> Any:
    raise AssertionError("must not be called")


class Evil:
    """Runs a command while it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


def group_of(module: torch.nn.Module) -> dict[str, Any]:
    """The convolutions of a network as the package of the trunk holds them."""
    convolutions = [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
    return {
        f"Conv_{i}": {
            "kernel": m.weight.detach().permute(2, 3, 1, 0).contiguous().numpy(),
            "bias": m.bias.detach().numpy(),
        }
        for i, m in enumerate(convolutions)
        if m.bias is not None
    }


def trunk_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v for k, v in module.state_dict().items() if k.startswith("features")}


@pytest.fixture(scope="module")
def alexnet() -> torch.nn.Module:
    torch.manual_seed(1)
    return torchvision.models.alexnet()


def load(model: str, weights: str = "auto", size: Any = None, **options: Any) -> Network:
    return load_network(model, weights, size, Path("nowhere"), report=lambda _: None, **options)


def assert_one_line(caught: pytest.ExceptionInfo[LurkError]) -> None:
    assert "\n" not in str(caught.value)


def images(count: int = 2) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(2))
