"""Preprocessing: from an image to a network's input, and back to a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from torchlurk.datasets.resize_crop import INTERPOLATIONS, ResizeCrop, resize_and_crop
from torchlurk.errors import LurkError
from torchlurk.runtime.deprecation import warn_renamed
from torchlurk.runtime.jpeg import Pixels

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

ImageArray = npt.NDArray[Any]
"""A resized and cropped image, `(H, W, C)`, uint8 or float32, as it is kept in memory."""


class Input(Protocol):
    """How images become the input of a network.

    In two steps, so that images can be decoded in other processes and kept as bytes: `to_array` resizes and
    crops one image, `to_input` turns a batch of these arrays into the network's input.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of the network's input."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, for values in [0, 1]."""

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, for values in [0, 1]."""

    @property
    def display_channels(self) -> tuple[int, ...]:
        """Channels that a picture shows: three as red, green and blue, or one as gray."""

    @property
    def resize_crop(self) -> ResizeCrop | None:
        """What a decoding process computes in place of `to_array`; `None` if it cannot."""

    def to_array(self, image: Image.Image) -> ImageArray:
        """Resize and crop an image.

        Args:
            image: RGB, of any size.

        Returns:
            `(H, W, C)`, uint8 or float32.

        Raises:
            BadImage: The image cannot be used.
        """

    def to_input(self, arrays: torch.Tensor) -> torch.Tensor:
        """Turn the arrays of `to_array`, `(N, H, W, C)`, into the network's input.

        Returns:
            `(N, C, H, W)`, float32, on the device of the arrays.
        """

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the network's input from images with values in [0, 1]: `(images - mean) / std`.

        Args:
            images: `(N, C, H, W)` or `(C, H, W)`, floating point, on any device.

        Returns:
            A tensor of the same shape; gradients flow through it.
        """

    def denormalise(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute the inverse of `normalise`: `inputs * std + mean`.

        Args:
            inputs: `(N, C, H, W)` or `(C, H, W)`, floating point, on any device.

        Returns:
            Images of the same shape; their values may lie outside [0, 1].
        """

    def display(self, array: ImageArray) -> Pixels:
        """Draw an array of `to_array` as a picture.

        Args:
            array: `(H, W, C)`.

        Returns:
            `(H, W, 3)`, uint8.
        """


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop the centre and normalise, bit for bit as torchvision does.

    Attributes:
        size: Height and width of the network's input in pixels; one number for a square.
        resize: Length of the short side before the centre is cropped, in pixels; or `(height, width)`, which
            ignores the proportions of the image; or `None` where every image already has the size `size`.
        mean: Mean of each channel, for values in [0, 1]; one channel is gray, three are red, green, blue.
        std: Standard deviation of each channel, for values in [0, 1].
        interpolation: Pillow's name of the resampling filter, such as "bilinear" or "bicubic".
        reciprocal: Multiply bytes by 1 / 255, as torchvision's transforms v2 do, instead of dividing by 255;
            the two differ in the last bit.

    Raises:
        LurkError: The values contradict each other.

    Examples:
        >>> wide = torchlurk.Preprocess(size=(160, 320), resize=(160, 320))
        >>> wide.shape
        (3, 160, 320)
    """

    size: int | tuple[int, int] = 224
    resize: int | tuple[int, int] | None = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    reciprocal: bool = False

    def __post_init__(self) -> None:
        # A short side must cover a square input; an input of another shape may be padded.
        resize = self.size if self.resize is None else self.resize
        too_small = isinstance(self.size, int) and isinstance(resize, int) and self.size > resize
        if min(*_pair(self.size), *_pair(resize)) < 1 or too_small:
            raise LurkError(
                f"an input of {self.size} pixels cannot be cropped from a short side of {self.resize} pixels",
                "choose 1 <= size <= resize",
            )
        if len(self.mean) not in (1, 3) or len(self.mean) != len(self.std):
            raise LurkError(
                f"mean {self.mean} and std {self.std} do not match",
                "give both the same number of values: 1 for gray, 3 for colour",
            )
        if min(self.std) <= 0:
            raise LurkError(f"std {self.std} must be positive in every channel")
        if self.interpolation not in INTERPOLATIONS:
            raise LurkError(
                f"unknown interpolation {self.interpolation!r}", f"choose one of {', '.join(INTERPOLATIONS)}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of the network's input."""
        return (len(self.mean), *_pair(self.size))

    @property
    def display_channels(self) -> tuple[int, ...]:
        """All channels."""
        return tuple(range(len(self.mean)))

    @property
    def resize_crop(self) -> ResizeCrop:
        """What a decoding process computes in place of `to_array`."""
        return ResizeCrop(_pair(self.size), self.resize, self.interpolation, len(self.mean))

    def to_array(self, image: Image.Image) -> Pixels:
        """Resize and crop an image; equal to torchvision's `ImageClassification` preset.

        Args:
            image: RGB, of any size.

        Returns:
            `(H, W, C)`, uint8.

        Raises:
            BadImage: The image is too narrow, or has another size where `resize` is `None`.
        """
        return resize_and_crop(image, self.resize_crop)

    def to_input(self, arrays: torch.Tensor) -> torch.Tensor:
        """Turn the arrays of `to_array` into the network's input.

        Args:
            arrays: `(N, H, W, C)`, uint8, on any device.

        Returns:
            `(N, C, H, W)`, float32, on the same device.
        """
        mean, std = _per_channel(self.mean, arrays.device), _per_channel(self.std, arrays.device)
        # the operations of torchvision, in place
        values = arrays.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        values = values.mul_(1 / 255) if self.reciprocal else values.div_(255)
        return values.sub_(mean).div_(std)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the network's input from images with values in [0, 1]: `(images - mean) / std`.

        Args:
            images: `(N, C, H, W)` or `(C, H, W)`, floating point, on any device.

        Returns:
            A tensor of the same shape; gradients flow through it.

        Examples:
            >>> gray = torchlurk.Preprocess(size=32, resize=32, mean=(0.5,), std=(0.25,))
            >>> gray.normalise(torch.tensor([[[0.0, 0.5, 1.0]]]))
            tensor([[[-2.,  0.,  2.]]])
        """
        if not images.is_floating_point():
            warn_renamed("Preprocess.normalise for arrays of bytes", "Preprocess.to_input")
            return self.to_input(images)
        return normalise(images, self.mean, self.std)

    def denormalise(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute the inverse of `normalise`: `inputs * std + mean`.

        Args:
            inputs: `(N, C, H, W)` or `(C, H, W)`, floating point, on any device.

        Returns:
            Images of the same shape; their values may lie outside [0, 1].
        """
        return denormalise(inputs, self.mean, self.std)

    def display(self, array: ImageArray) -> Pixels:
        """Return an array of `to_array` with three channels; a gray one is repeated."""
        return as_rgb(array, self.display_channels)

    if not TYPE_CHECKING:  # type checkers know the present names only

        def __getattr__(self, name: str) -> Any:
            """Return an attribute by its former name."""
            present = {"shown": "display_channels", "cut": "resize_crop", "decoded": "to_array"}.get(name)
            if present is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            warn_renamed(f"Preprocess.{name}", f"Preprocess.{present}")
            return getattr(self, present)


def normalise(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Compute `(images - mean) / std` for images `(..., C, H, W)` with values in [0, 1]."""
    return (images - _per_channel(mean, images.device)) / _per_channel(std, images.device)


def denormalise(inputs: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Compute `inputs * std + mean` for inputs `(..., C, H, W)`."""
    return inputs * _per_channel(std, inputs.device) + _per_channel(mean, inputs.device)


def _per_channel(values: Sequence[float], device: torch.device) -> torch.Tensor:
    """Return one value for each channel as `(C, 1, 1)`, copied to the device without waiting for it."""
    return torch.tensor(values).view(-1, 1, 1).to(device, non_blocking=True)


def with_input_size(preprocess: Preprocess, size: int | tuple[int, int]) -> Preprocess:
    """Return the same preprocessing for an input of another size, with `resize` in proportion.

    Args:
        preprocess: The preprocessing.
        size: Height and width of the new input in pixels; one number for a square.
    """
    before, after = preprocess.shape[1:], _pair(size)
    resize: int | tuple[int, int]
    if isinstance(preprocess.resize, int):
        resize = max(*after, round(max(after) * preprocess.resize / max(before)))
    elif preprocess.resize is None:
        resize = max(after)
    else:
        height, width = (
            round(new * whole / old) for new, whole, old in zip(after, preprocess.resize, before, strict=True)
        )
        resize = (height, width)
    return replace(preprocess, size=size, resize=resize)


def as_rgb(pixels: Pixels, display_channels: Sequence[int]) -> Pixels:
    """Select the channels of a picture.

    Args:
        pixels: `(H, W, C)`, uint8.
        display_channels: Three channels for red, green and blue, or one for gray.

    Returns:
        `(H, W, 3)`, uint8.
    """
    if pixels.shape[2] == 3 and tuple(display_channels) == (0, 1, 2):
        return pixels
    return np.ascontiguousarray(pixels[:, :, list(display_channels) * (3 // len(display_channels))])


def _pair(sides: int | tuple[int, int]) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else sides
