"""Helpers for the tests of comparisons."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from tests.compared import network


def networks(folder: Path) -> list[nn.Module]:
    """Return the networks of the stores `start`, `middle` and `end`."""
    models: list[nn.Module] = []
    for name in ("start", "middle", "end"):
        model = network()
        model.load_state_dict(load_file(folder / f"{name}.safetensors"))
        models.append(model)
    return models


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder by path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
