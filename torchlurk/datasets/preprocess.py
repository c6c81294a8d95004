"""Resolve a `preprocess` argument to an `Input`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from torchlurk.datasets.inputs import ImageArray, Input, Preprocess, denormalise, normalise, with_input_size
from torchlurk.datasets.resize_crop import ResizeCrop
from torchlurk.datasets.transform import Transform, input_from_transform, noise_image
from torchlurk.errors import LurkError, Option
from torchlurk.runtime.deprecation import warn_renamed
from torchlurk.runtime.jpeg import Pixels

MeanStd = tuple[float | Sequence[float], float | Sequence[float]]
"""Mean and standard deviation of each channel, or one of each for all channels, for values in [0, 1]."""

PreprocessLike = Input | Transform | MeanStd | None
"""How images become the input of a network: a transform, an `Input` such as `Preprocess`, or mean and std.

`None` normalises colour images with ImageNet's mean and standard deviation and leaves gray images as they
are. With `None` or a `MeanStd`, images are cropped to 224 pixels where no size is given.
"""


def resolve_preprocess(
    model: nn.Module,
    preprocess: PreprocessLike,
    size: int | tuple[int, int] | None = None,
    *,
    first: Callable[[], Image.Image] = noise_image,
    display_channels: tuple[int, ...] = (),
) -> Input:
    """Resolve a `preprocess` argument to an `Input`.

    Args:
        model: The network; its first convolution says how many channels the input has.
        preprocess: The argument.
        size: Height and width of the input in pixels, in place of those of `preprocess`.
        first: Opens the first image that the network will process, to try a transform on.
        display_channels: Channels that pictures show where there are not one or three; `()` for the first
            three.

    Raises:
        LurkError: `preprocess` is `None` or a `MeanStd` and the network takes neither one channel nor three;
            or the transform fails, or cannot be changed to another size.
    """
    if preprocess is None or isinstance(preprocess, tuple):
        found: Input = _default_preprocess(model, preprocess)
    else:
        found = _as_input(model, preprocess, first, display_channels)
    if size is None:
        return found
    if isinstance(found, Preprocess):
        return with_input_size(found, size)
    value = size if isinstance(size, int) else f"{size[0]}x{size[1]}"
    raise LurkError(
        "the network comes with its own transform", "change the size in that transform", Option("size", value)
    )


def _as_input(
    model: nn.Module,
    preprocess: Input | Transform,
    first: Callable[[], Image.Image],
    display_channels: tuple[int, ...],
) -> Input:
    if hasattr(preprocess, "to_input") and hasattr(preprocess, "to_array"):
        return cast("Input", preprocess)
    if hasattr(preprocess, "normalise") and hasattr(preprocess, "decoded"):
        warn_renamed("an Input with the methods decoded and normalise", "one with to_array and to_input")
        return _FormerInput(preprocess)
    if not callable(preprocess):
        raise LurkError(
            f"the preprocess is a {type(preprocess).__name__}",
            "give a function from a PIL image to a float tensor (C, H, W), or None",
        )
    found = input_from_transform(preprocess, first)
    if found.shape[0] == 3 and _input_channels(model) == 1:
        # The transform was written for gray images, such as MNIST's; here all images are RGB.
        gray = transforms.Compose([transforms.Grayscale(), preprocess])
        return input_from_transform(gray, first, display_channels)
    return input_from_transform(preprocess, first, display_channels) if display_channels else found


def _input_channels(model: nn.Module) -> int | None:
    """Return the number of channels that the first convolution takes."""
    layer = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return layer.in_channels if layer else None


def _default_preprocess(model: nn.Module, mean_std: MeanStd | None) -> Preprocess:
    """Return the preprocessing of a network that comes without a transform."""
    channels = _input_channels(model) or 3
    if channels not in (1, 3):
        raise LurkError(
            f"the network takes {channels} channels, images have 1 or 3",
            "give a transform that makes them from a PIL image, as (network, transform)",
        )
    default = Preprocess() if channels == 3 else Preprocess(mean=(0.0,), std=(1.0,))
    if mean_std is None:
        return default
    mean, std = (_for_each_channel(values, channels) for values in mean_std)
    return replace(default, mean=mean, std=std)


def _for_each_channel(values: float | Sequence[float], channels: int) -> tuple[float, ...]:
    return (float(values),) * channels if isinstance(values, int | float) else tuple(map(float, values))


@dataclass(frozen=True)
class _FormerInput:
    """An `Input` of the user's own, written for the former names of the protocol."""

    former: Any = field(repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        return cast("tuple[int, int, int]", self.former.shape)

    @property
    def mean(self) -> tuple[float, ...]:
        return cast("tuple[float, ...]", self.former.mean)

    @property
    def std(self) -> tuple[float, ...]:
        return cast("tuple[float, ...]", self.former.std)

    @property
    def display_channels(self) -> tuple[int, ...]:
        return cast("tuple[int, ...]", self.former.shown)

    @property
    def resize_crop(self) -> ResizeCrop | None:
        return cast("ResizeCrop | None", self.former.cut)

    def to_array(self, image: Image.Image) -> ImageArray:
        return cast("ImageArray", self.former.decoded(image))

    def to_input(self, arrays: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.former.normalise(arrays))

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return normalise(images, self.mean, self.std)

    def denormalise(self, inputs: torch.Tensor) -> torch.Tensor:
        return denormalise(inputs, self.mean, self.std)

    def display(self, array: ImageArray) -> Pixels:
        return cast("Pixels", self.former.display(array))
