"""What a network is fed, from what little somebody says of it in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image
from torch import nn

from torchlurk.datasets.inputs import Input, Preprocess, resized
from torchlurk.datasets.transform import Transform, input_of
from torchlurk.errors import LurkError

Scale = tuple[float | Sequence[float], float | Sequence[float]]
"""Mean and standard deviation of each channel, or one of each for all, of values in [0, 1]."""


def told_input(
    model: nn.Module, told: Input | Transform | Scale | None, size: int | tuple[int, int] | None = None
) -> Input:
    """What a network is fed, so that an image can be made for it.

    Args:
        model: the network; how many channels it takes is seen from its first convolution.
        told: what is known: an `Input`, a transform, `(mean, std)`, or nothing.
        size: height and width of the input, pixels, where that is not told; by default 224.

    Raises:
        LurkError: the network takes neither colours nor gray and nothing says what, the size is told twice,
            or a transform does not tell the scale of what it gives.
    """
    if told is None or isinstance(told, tuple):
        return _usual(model, told, size)
    if not (hasattr(told, "normalise") or callable(told)):
        raise LurkError(
            f"the preprocess is a {type(told).__name__}: give a function from a PIL image to a float tensor "
            "(C, H, W), (mean, std), or None"
        )
    if size is not None:
        raise LurkError(f"size {size}: the preprocess says it already; change it there")
    if hasattr(told, "normalise"):
        return cast("Input", told)
    found = input_of(told, _noise)
    if getattr(found, "stretched", False):
        raise LurkError(
            "the preprocess does not tell what its values are of those in [0, 1]: end it with a Normalize of "
            "torchvision, or give (mean, std) and size="
        )
    return found


def _usual(model: nn.Module, scale: Scale | None, size: int | tuple[int, int] | None) -> Input:
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    channels = first.in_channels if first else 3
    if channels not in (1, 3):
        raise LurkError(f"the network takes {channels} channels: give what makes them as preprocess")
    found = Preprocess() if channels == 3 else Preprocess(mean=(0.0,), std=(1.0,))
    if scale is not None:
        mean, std = (_each(values, channels) for values in scale)
        found = replace(found, mean=mean, std=std)
    return found if size is None else resized(found, size)


def _each(values: float | Sequence[float], channels: int) -> tuple[float, ...]:
    return (float(values),) * channels if isinstance(values, int | float) else tuple(map(float, values))


def _noise() -> Image.Image:
    """An image of all values, so that what a transform gives for it tells much of the transform."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
