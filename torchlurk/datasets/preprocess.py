"""Resolve a `preprocess` argument to an `Input`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image
from torch import nn
from torchvision import transforms

from torchlurk.datasets.inputs import Input, Preprocess, resized
from torchlurk.datasets.transform import Transform, input_of
from torchlurk.errors import LurkError

Scale = tuple[float | Sequence[float], float | Sequence[float]]
"""Mean and standard deviation of each channel, or one of each for all, of values in [0, 1]."""

PreprocessLike = Input | Transform | Scale | None
"""What a network is fed: a transform, an `Input` such as `Preprocess`, or no more than how it is normalised.

`None` is for ImageNet's means and deviations where it takes colours, and gray as it is; with that, or with a
`Scale`, images are cut to 224 pixels where no size is given.
"""


def noise() -> Image.Image:
    """An image of all values, to try a transform on where there is none of the user's."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def resolve_preprocess(
    model: nn.Module,
    told: PreprocessLike,
    size: int | tuple[int, int] | None = None,
    *,
    first: Callable[[], Image.Image] = noise,
    show: tuple[int, ...] = (),
) -> Input:
    """Resolve a `preprocess` argument to an `Input`.

    Args:
        model: the network; how many channels it takes is seen from its first convolution.
        told: what is known.
        size: height and width of the input, pixels, in place of those that are told.
        first: opens the first image that will be fed, for transforms that say nothing of what they give.
        show: which channels pictures show, where they are not one or three; `()` for the first three.

    Raises:
        LurkError: nothing is told of a network that takes neither colours nor gray, or the transform does not
            do what it should, or cannot be had for another size.
    """
    found = _usual(model, told) if told is None or isinstance(told, tuple) else _of(model, told, first, show)
    if size is None:
        return found
    if isinstance(found, Preprocess):
        return resized(found, size)
    raise LurkError(f"--size {size}: the network comes with its own transform, change it there")


def _of(
    model: nn.Module, told: Input | Transform, first: Callable[[], Image.Image], show: tuple[int, ...]
) -> Input:
    if hasattr(told, "normalise") and hasattr(told, "decoded"):
        return cast("Input", told)
    if not callable(told):
        raise LurkError(
            f"the preprocess is a {type(told).__name__}: give a function from a PIL image to a float "
            "tensor (C, H, W), or None"
        )
    found = input_of(told, first)
    if found.shape[0] == 3 and _channels(model) == 1:
        # its author had gray images, as MNIST's are; here all come as RGB
        return input_of(transforms.Compose([transforms.Grayscale(), told]), first, show)
    return input_of(told, first, show) if show else found


def _channels(model: nn.Module) -> int | None:
    """How many channels the first convolution takes."""
    layer = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return layer.in_channels if layer else None


def _usual(model: nn.Module, scale: Scale | None) -> Preprocess:
    """What a network is fed that comes without a transform: gray as it is, colours as ImageNet's are."""
    channels = _channels(model) or 3
    if channels not in (1, 3):
        raise LurkError(
            f"the network wants {channels} channels: give a transform with it, (network, transform), that "
            "makes them of a PIL image"
        )
    found = Preprocess() if channels == 3 else Preprocess(mean=(0.0,), std=(1.0,))
    if scale is None:
        return found
    mean, std = (_each(values, channels) for values in scale)
    return replace(found, mean=mean, std=std)


def _each(values: float | Sequence[float], channels: int) -> tuple[float, ...]:
    return (float(values),) * channels if isinstance(values, int | float) else tuple(map(float, values))
