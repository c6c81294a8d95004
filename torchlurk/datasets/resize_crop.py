"""Resize an image and crop its centre, as torchvision's transforms do; without torch, see `decode`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torchlurk.datasets.limits import BadImage

INTERPOLATIONS: Final = tuple(method.name.lower() for method in Image.Resampling)
"""Pillow's resampling filters."""

_MAX_ASPECT: Final = 100
"""Long side over short side; narrower images are refused, because their centre shows next to nothing."""


@dataclass(frozen=True)
class ResizeCrop:
    """How an image of any size becomes an array of one size.

    Attributes:
        size: `(height, width)` of the array in pixels, cropped from the centre; padded with black where it is
            larger than the resized image.
        resize: Length of the short side before the crop, in pixels; or `(height, width)`, which ignores the
            proportions of the image; or `None` for images that all have `size` already.
        interpolation: One of `INTERPOLATIONS`.
        channels: 3, or 1 for gray.
    """

    size: tuple[int, int]
    resize: int | tuple[int, int] | None
    interpolation: str = "bilinear"
    channels: int = 3


def resize_and_crop(image: Image.Image, params: ResizeCrop) -> NDArray[np.uint8]:
    """Resize an image and crop its centre.

    Args:
        image: RGB, of any size; smaller ones are enlarged.
        params: Sizes and interpolation.

    Returns:
        `(H, W, C)`, uint8, equal to torchvision's result bit for bit.

    Raises:
        BadImage: The image is too narrow, or has another size where none is to be resized.
    """
    height, width = params.size
    if params.channels == 1:
        image = image.convert("L")
    resized = _resize(image, params)
    # torchvision rounds the offset of a crop, and rounds the padding down.
    left, top = (
        round((side - target) / 2) if side >= target else -((target - side) // 2)
        for side, target in zip(resized.size, (width, height), strict=True)
    )
    pixels = np.array(resized.crop((left, top, left + width, top + height)))
    return pixels.reshape(height, width, params.channels)


def _resize(image: Image.Image, params: ResizeCrop) -> Image.Image:
    width, height = image.size
    method = Image.Resampling[params.interpolation.upper()]
    if params.resize is None:
        if (height, width) != params.size:
            raise BadImage(
                f"{width} x {height} pixels, where the network takes {params.size[1]} x {params.size[0]}"
            )
        return image
    if not isinstance(params.resize, int):
        return image.resize((params.resize[1], params.resize[0]), method)
    short, long = min(width, height), max(width, height)
    if long > _MAX_ASPECT * short:
        raise BadImage(f"{width} x {height} pixels are too narrow to be cut")
    length = int(params.resize * long / short)  # torchvision truncates
    return image.resize((params.resize, length) if width <= height else (length, params.resize), method)
