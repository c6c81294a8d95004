"""From numbers to 8-bit pictures: tiles, strips, JPEG. Knows no model."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

Pixels = NDArray[np.uint8]
"""`(H, W, 3)`, or `(H, W, 1)` for one channel."""

PixelSize = tuple[int, int]
"""`(height, width)` in pixels."""

GRAY = 128
"""The padding around a crop, and the zero of a gradient."""

BRIGHT = 0.99
"""The quantile of a gradient's sizes, zeros left out, that is drawn in full colour."""

SMALL = 48
"""A tile smaller than this is enlarged, in whole steps and without smoothing, to at least this."""

LARGE = 112
"""A tile larger than this is made smaller: four of them side by side are what a page shows."""


def tile_size(natural: PixelSize) -> PixelSize:
    """How large a tile of a picture of `natural` size is drawn, its proportions kept.

    >>> tile_size((3, 3)), tile_size((92, 92)), tile_size((224, 112))
    ((48, 48), (92, 92), (112, 56))
    """
    height, width = natural
    long = max(natural)
    if long < SMALL:
        factor = -(-SMALL // long)
        return height * factor, width * factor
    if long > LARGE:
        return max(1, round(height * LARGE / long)), max(1, round(width * LARGE / long))
    return natural


def crop(pixels: Pixels, window: tuple[int, int, int, int], tile: PixelSize) -> Pixels:
    """Cut a window out of an image and draw it as a tile; what lies outside the image is gray.

    Args:
        pixels: `(H, W, C)` image.
        window: `(left, top, right, bottom)`, may reach over the image.
        tile: size to draw it at.
    """
    left, top, right, bottom = window
    channels = pixels.shape[2]
    cut = np.full((bottom - top, right - left, channels), GRAY, dtype=np.uint8)
    inside = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    y, x = max(-top, 0), max(-left, 0)
    cut[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return _resize(cut, tile)


def _resize(pixels: Pixels, size: PixelSize) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    enlarged = size[0] > pixels.shape[0] or size[1] > pixels.shape[1]
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels)
    resized = np.asarray(picture.resize((size[1], size[0]), method))
    return resized.reshape(*size, pixels.shape[2])


def crop_gradient(gradient: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """The same cut of a gradient `(C, H, W)`; zero outside. Returns `(C, h, w)`."""
    left, top, right, bottom = window
    height, width = gradient.shape[-2:]
    # A negative pad of `F.pad` cuts, so one call does for windows inside and across the border.
    return F.pad(gradient, (-left, right - width, -top, bottom - height))


def gradient_tiles(gradients: Tensor, tile: PixelSize) -> list[Pixels]:
    """Draw signed gradients: mid-gray is zero, full colour is `BRIGHT` of what the gradient has of size.

    Args:
        gradients: `(N, C, H, W)` float.
        tile: size to draw them at.

    Returns:
        N tiles.
    """
    size = tuple(gradients.shape[-2:])
    if size != tile:
        enlarged = tile[0] > size[0] or tile[1] > size[1]
        mode = {"mode": "nearest"} if enlarged else {"mode": "bilinear", "antialias": True}
        gradients = F.interpolate(gradients, tile, **mode)
    scaled = [one / _full_colour(one) for one in gradients]
    return to_pixels((torch.stack(scaled) * (127 / 255) + GRAY / 255).clamp(0, 1))


def _full_colour(gradient: Tensor) -> Tensor:
    """The size at which a gradient is drawn in full colour: a few spikes must not leave the rest gray."""
    sizes = gradient.abs().flatten()
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return torch.ones((), device=gradient.device)
    return sizes.kthvalue(max(1, round(len(sizes) * BRIGHT))).values


def to_pixels(images: Tensor) -> list[Pixels]:
    """`(N, C, H, W)` in [0, 1] as N arrays of bytes; more than three channels show the first three."""
    shown = images[:, :3] if images.shape[1] >= 3 else images[:, :1]
    array = shown.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [np.ascontiguousarray(one) for one in array]


def strip(tiles: Sequence[Pixels]) -> Pixels:
    """Tiles of one size, side by side."""
    return np.concatenate(list(tiles), axis=1)


def jpeg(pixels: Pixels, quality: int = 85, *, sharp_colour: bool = False) -> bytes:
    """Encode as JPEG.

    Args:
        pixels: `(H, W, 3)` or `(H, W, 1)`.
        quality: of Pillow, 1 to 95.
        sharp_colour: keep colour at full resolution, which small and enlarged pictures need.
    """
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels)
    picture.save(buffer, "JPEG", quality=quality, subsampling=0 if sharp_colour else 2)
    return buffer.getvalue()
