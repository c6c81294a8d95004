"""A small network, its weights, and loading them from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.networks import seeded
from torchlurk.models.checkpoint import load_weights, read_weights, state_digest

State = Mapping[str, Any]


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


def state_of(seed: int, make: Callable[[], nn.Module] = small) -> dict[str, Tensor]:
    return dict(seeded(make, seed).state_dict())


def under(prefix: str, state: State) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def load(value: Any, folder: Path, network: nn.Module, entry: str = "") -> list[str]:
    """Save a value, load it into a network, and return the reported lines."""
    torch.save(value, folder / "c.pt")
    lines: list[str] = []
    load_weights(network, read_weights(Path(f"{folder / 'c.pt'}{entry}")), report=lines.append)
    return lines


def holds(network: nn.Module, state: State) -> None:
    assert state_digest(network.state_dict()) == state_digest(state)


A, B = state_of(1), state_of(2)
