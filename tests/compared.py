"""Small stores of one architecture on the same images, to compare with each other."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.networks import Branching, seeded
from torchlurk import Lurk
from torchlurk.datasets.inputs import Preprocess

PREPROCESS = Preprocess(size=(21, 26), resize=(21, 26), mean=(0.5,) * 3, std=(0.25,) * 3)
LAYERS = ("first", "narrow", "wide", "last")


def write_photos(folder: Path, count: int = 12) -> Path:
    """Write images of three classes, waves with noise, in a lossless format."""
    for number in range(count):
        draw = np.random.default_rng(number)
        y, x = np.mgrid[0:21, 0:26]
        waves = [120 + 90 * np.sin((x * (1 + number % 5) + y * (1 + c + number % 3)) / 6) for c in range(3)]
        pixels = np.stack(waves, axis=2) + draw.normal(0, 20, (21, 26, 3))
        path = folder / "abc"[number % 3] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def network(seed: int = 0) -> Branching:
    return seeded(Branching, seed)


def trained(model: Branching, amount: float = 0.1, seed: int = 9) -> Branching:
    """Return a copy with noise added to all weights."""
    after = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in after.parameters():
            parameter += amount * parameter.abs().mean() * torch.randn(parameter.shape, generator=draw)
    return after


def permuted(model: Branching, order: list[int]) -> Branching:
    """Return a copy that computes the same with the channels of `first` in another order."""
    after = copy.deepcopy(model)
    with torch.no_grad():
        after.first.weight.copy_(model.first.weight[order])
        after.first.bias.copy_(model.first.bias[order])
        after.narrow.weight.copy_(model.narrow.weight[:, order])
        after.wide.weight.copy_(model.wide.weight[:, order])
    return after


def store(
    model: nn.Module, photos: Path, out: Path, *, top: int = 3, images: bool = True, layers: object = None
) -> Path:
    """Compute a store of a network, with filter images of two filters per layer."""
    lurk = Lurk(
        model, PREPROCESS, images=photos, out=out, top=top, layers=layers or "kind:Conv2d", device="cpu",
        workers=0, progress=False,
    )  # fmt: skip
    lurk.compute_top_imgs()
    if images:
        lurk.compute_viz(filters=2, steps=24)
    return out
