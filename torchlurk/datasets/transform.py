"""A torchvision transform, or any function of an image, as an `Input`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from torchlurk.datasets.inputs import ImageArray, Input, Preprocess, as_rgb, denormalise, normalise
from torchlurk.datasets.limits import BadImage
from torchlurk.datasets.torchvision_steps import repeated, steps_as_preprocess, transform_steps
from torchlurk.errors import LurkError, Option
from torchlurk.runtime.jpeg import Pixels

Transform = Callable[[Image.Image], Any]
"""From a PIL image, RGB, to a float tensor `(C, H, W)`."""

_EXPECTED: Final = "give a transform from a PIL image to a float tensor (C, H, W)"


@dataclass(frozen=True)
class CustomTransform:
    """An `Input` that calls a function of the user's for each image, in this process.

    Attributes:
        transform: The function.
        shape: `(C, H, W)` of its result.
        mean: Mean of each channel: a picture shows `value * std + mean`, from 0 to 1.
        std: Standard deviation of each channel.
        display_channels: Channels that a picture shows: three as red, green and blue, or one as gray.
        stretched: Whether a picture shows each image from its own lowest value to its highest, because the
            scale of the values is unknown.
    """

    transform: Transform = field(repr=False, compare=False)
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    display_channels: tuple[int, ...]
    stretched: bool = False

    @property
    def resize_crop(self) -> None:
        """`None`: a decoding process cannot call the function."""
        return

    def to_array(self, image: Image.Image) -> ImageArray:
        """Call the transform.

        Args:
            image: RGB, of any size.

        Returns:
            `(H, W, C)`, float32.

        Raises:
            BadImage: The transform fails on this image, or its result has another shape than for the first.
        """
        try:
            values = apply_transform(self.transform, image)
        except LurkError as error:
            raise BadImage(str(error.message)[:120]) from None
        if tuple(values.shape) != self.shape:
            raise BadImage(f"the transform gives {tuple(values.shape)}, for the first image {self.shape}")
        return values.permute(1, 2, 0).numpy()

    def to_input(self, arrays: torch.Tensor) -> torch.Tensor:
        """Return arrays `(N, H, W, C)` as `(N, C, H, W)`; the transform has already normalised the values."""
        return arrays.permute(0, 3, 1, 2).contiguous()

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the network's input from images with values in [0, 1], see `Input.normalise`."""
        return normalise(images, self.mean, self.std)

    def denormalise(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute the inverse of `normalise`, see `Input.denormalise`."""
        return denormalise(inputs, self.mean, self.std)

    def display(self, array: ImageArray) -> Pixels:
        """Draw an array of `to_array` as a picture, `(H, W, 3)`, uint8."""
        if self.stretched:
            selected = array[:, :, list(self.display_channels)]
            low, high = float(selected.min()), float(selected.max())
            values = (array - low) / ((high - low) or 1)
        else:
            values = array * np.array(self.std, np.float32) + np.array(self.mean, np.float32)
        return as_rgb((values.clip(0, 1) * 255).round().astype(np.uint8), self.display_channels)


def apply_transform(transform: Transform, image: Image.Image) -> torch.Tensor:
    """Call a transform and check its result.

    The random generator is seeded for the call and restored afterwards, so that a transform that draws random
    numbers gives the same result each time.

    Args:
        transform: The function.
        image: RGB.

    Returns:
        `(C, H, W)`, float32, contiguous, on the CPU.

    Raises:
        LurkError: The transform fails, or its result is not a float tensor `(C, H, W)` of finite numbers.
    """
    name = _name(transform)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.default_generator.manual_seed(0)
        try:
            value = transform(image)
        except Exception as error:
            line = next(iter(str(error).splitlines()), "")
            raise LurkError(
                f"the transform {name} fails on an image of {image.width} x {image.height} px "
                f"({type(error).__name__}: {line[:120]})",
                "it must accept a PIL image in mode RGB",
            ) from error
    if not isinstance(value, torch.Tensor):
        raise LurkError(f"the transform {name} gives a {type(value).__name__}", _EXPECTED)
    if value.dim() != 3 or not value.numel() or not value.is_floating_point():
        dtype = str(value.dtype).removeprefix("torch.")
        raise LurkError(f"the transform {name} gives {dtype} of shape {tuple(value.shape)}", _EXPECTED)
    if not bool(torch.isfinite(value).all()):
        raise LurkError(
            f"the transform {name} gives NaN or infinity", "correct it: does it divide by a std of 0?"
        )
    plain = value.detach().as_subclass(torch.Tensor)
    return plain.to("cpu", torch.float32).contiguous()


def input_from_transform(
    transform: Transform, first: Callable[[], Image.Image], display_channels: tuple[int, ...] = ()
) -> Input:
    """Turn a transform into an `Input`.

    A composition of torchvision's usual steps becomes a `Preprocess`, which decoding processes can compute,
    if both give the same values bit for bit. Any other transform is called as it is; a single `Normalize` in
    it says how to draw its values as a picture.

    Args:
        transform: From a PIL image, RGB, to a float tensor `(C, H, W)`.
        first: Opens the first readable image; its result decides the shape for all images.
        display_channels: Channels to show where there are not one or three; `()` for the first three.

    Raises:
        LurkError: The transform fails on the first image or gives something else.
    """
    image = first()
    value = apply_transform(transform, image)
    steps = list(transform_steps(transform))
    shape = (value.shape[0], value.shape[1], value.shape[2])
    preprocess = steps_as_preprocess(steps, shape)
    if preprocess is not None and not display_channels:
        # Also compare on noise: a photograph may be black and say nothing about the scale.
        noise = noise_image(*image.size)
        noise_value = apply_transform(transform, noise)
        for candidate in (preprocess, replace(preprocess, reciprocal=True)):
            if _gives(candidate, image, value) and _gives(candidate, noise, noise_value):
                return candidate
    channels = choose_display_channels(shape[0], display_channels)
    normalisations = [step for step in steps if isinstance(step, transforms.Normalize | v2.Normalize)]
    if len(normalisations) == 1:
        mean, std = (repeated(v, shape[0]) for v in (normalisations[0].mean, normalisations[0].std))
        if len(mean) == len(std) == shape[0] and min(std) > 0:
            return CustomTransform(transform, shape, mean, std, channels)
    low, high = float(value.min()), float(value.max())
    if normalisations or low < 0 or high > 1:
        spread = (high - low) or 1.0
        mean, std = repeated(-low / spread, shape[0]), repeated(1 / spread, shape[0])
        return CustomTransform(transform, shape, mean, std, channels, stretched=True)
    return CustomTransform(transform, shape, repeated(0.0, shape[0]), repeated(1.0, shape[0]), channels)


def choose_display_channels(channels: int, requested: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Choose the channels of an input that a picture shows.

    Args:
        channels: Number of channels of the input.
        requested: Channels that the user asked for, one or three; `()` for the first three, or for the first
            alone where there are fewer.

    Raises:
        LurkError: These channels do not exist, or there are neither one nor three of them.
    """
    if not requested:
        return (0, 1, 2) if channels >= 3 else (0,)
    if len(requested) not in (1, 3) or not all(0 <= channel < channels for channel in requested):
        raise LurkError(
            f"not one or three channels of 0 to {channels - 1}",
            "give three channels for red, green and blue, or one for gray",
            Option("show_channels", ",".join(map(str, requested))),
        )
    return requested


def noise_image(width: int = 256, height: int = 256) -> Image.Image:
    """Return an image of random pixels, RGB, the same each time."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _name(transform: Transform) -> str:
    return getattr(transform, "__name__", type(transform).__name__)


def _gives(preprocess: Preprocess, image: Image.Image, expected: torch.Tensor) -> bool:
    """Whether a `Preprocess` gives exactly the values that the transform gave."""
    try:
        found = preprocess.to_input(torch.from_numpy(preprocess.to_array(image))[None])[0]
    except BadImage:
        return False
    return torch.equal(found, expected)
