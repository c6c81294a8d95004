"""Tensors to 8-bit pictures: tiles and strips. Knows nothing of networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from torchlurk.runtime.jpeg import Pixels, PixelSize, pixels_to_image

GRAY = 128
"""Value of the padding around a crop, and of a zero gradient."""

MIN_TILE = 48
"""Tiles with a shorter long side are enlarged to at least this, by a whole factor and without smoothing."""

MAX_TILE = 112
"""Tiles with a longer long side are reduced to this; a page shows four of them side by side."""

_FULL_COLOUR_QUANTILE = 0.99
"""Quantile of a gradient's nonzero magnitudes that is drawn in full colour."""


def tile_size(natural: PixelSize) -> PixelSize:
    """Return the size at which a picture of `natural` size is drawn as a tile; the aspect ratio is kept.

    >>> tile_size((3, 3)), tile_size((92, 92)), tile_size((224, 112))
    ((48, 48), (92, 92), (112, 56))
    """
    height, width = natural
    long = max(natural)
    if long < MIN_TILE:
        factor = -(-MIN_TILE // long)
        return height * factor, width * factor
    if long > MAX_TILE:
        return max(1, round(height * MAX_TILE / long)), max(1, round(width * MAX_TILE / long))
    return natural


def crop(pixels: Pixels, window: tuple[int, int, int, int], tile: PixelSize) -> Pixels:
    """Crop a window of an image and resize it to a tile; the area outside the image is gray.

    Args:
        pixels: Image, `(H, W, C)`.
        window: `(left, top, right, bottom)`; may extend beyond the image.
        tile: Size of the tile.

    Returns:
        The tile, `(h, w, C)`.
    """
    left, top, right, bottom = window
    channels = pixels.shape[2]
    cut = np.full((bottom - top, right - left, channels), GRAY, dtype=np.uint8)
    inside = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    y, x = max(-top, 0), max(-left, 0)
    cut[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return _resize(cut, tile)


def _resize(pixels: Pixels, size: PixelSize) -> Pixels:
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    factor, rest = divmod(size[0], height)
    if not rest and size[1] == width * factor:  # as in `tile_size`; the same as Pillow's, in less time
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    enlarged = size[0] > height or size[1] > width
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    resized = np.asarray(pixels_to_image(pixels).resize((size[1], size[0]), method))
    return resized.reshape(*size, pixels.shape[2])


def crop_gradient(gradient: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """Crop a window of a gradient; the area outside is zero.

    Args:
        gradient: `(C, H, W)` float.
        window: As in `crop`.

    Returns:
        `(C, h, w)`.
    """
    left, top, right, bottom = window
    height, width = gradient.shape[-2:]
    # `F.pad` crops where a pad is negative, so one call covers windows inside and across the border.
    return F.pad(gradient, (-left, right - width, -top, bottom - height))


def gradient_tiles(gradients: Tensor, tile: PixelSize) -> list[Pixels]:
    """Draw signed gradients, see `draw_gradients`; return N tiles."""
    return to_arrays(draw_gradients(gradients, tile))


def draw_gradients(gradients: Tensor, tile: PixelSize) -> Tensor:
    """Draw signed gradients: zero is mid-gray, the 0.99 quantile of the magnitudes is full colour.

    Args:
        gradients: `(N, C, H, W)` float.
        tile: Size of the tiles.

    Returns:
        The tiles, `(N, h, w, 3)` or `(N, h, w, 1)` uint8, on the device of the gradients.
    """
    size = tuple(gradients.shape[-2:])
    if size != tile:
        enlarged = tile[0] > size[0] or tile[1] > size[1]
        mode = {"mode": "nearest"} if enlarged else {"mode": "bilinear", "antialias": True}
        gradients = F.interpolate(gradients, tile, **mode)
    if gradients.device.type == "cpu":
        full = torch.stack([_full_colour(gradient) for gradient in gradients]).view(-1, 1, 1, 1)
    else:
        full = _full_colours(gradients)
    return _to_bytes((gradients / full * (127 / 255) + GRAY / 255).clamp(0, 1))


def _full_colour(gradient: Tensor) -> Tensor:
    """Return the magnitude that is drawn in full colour; a quantile, so that a few spikes do not dominate."""
    magnitudes = gradient.abs().flatten()
    magnitudes = magnitudes[magnitudes > 0]
    if not len(magnitudes):
        return torch.ones((), device=gradient.device)
    return magnitudes.kthvalue(max(1, round(len(magnitudes) * _FULL_COLOUR_QUANTILE))).values


def _full_colours(gradients: Tensor) -> Tensor:
    """Return `_full_colour` of each gradient as `(N, 1, 1, 1)`, without waiting for the device."""
    magnitudes = gradients.abs().flatten(1)
    ascending = magnitudes.where(magnitudes > 0, 0.0).sort(dim=1).values
    positive = (ascending > 0).sum(dim=1, keepdim=True)
    rank = (positive.double() * _FULL_COLOUR_QUANTILE).round().long().clamp(min=1)
    index = (ascending.shape[1] - 1 - positive + rank).clamp(max=ascending.shape[1] - 1)
    values = ascending.gather(1, index)
    return values.where(positive > 0, 1.0).view(-1, 1, 1, 1)


def to_pixels(images: Tensor) -> list[Pixels]:
    """Convert float images in [0, 1] to 8 bits.

    Args:
        images: `(N, C, H, W)`. The first three channels are shown, or the first one of fewer.

    Returns:
        N arrays, `(H, W, 3)` or `(H, W, 1)`.
    """
    return to_arrays(_to_bytes(images))


def _to_bytes(images: Tensor) -> Tensor:
    displayed = images[:, :3] if images.shape[1] >= 3 else images[:, :1]
    return displayed.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_arrays(drawn: Tensor) -> list[Pixels]:
    """Copy pictures `(N, H, W, C)` uint8 from their device."""
    return list(drawn.cpu().numpy())


def strip(tiles: Sequence[Pixels]) -> Pixels:
    """Concatenate tiles of one size side by side."""
    return np.concatenate(list(tiles), axis=1)


def shows_single_pixels(natural: PixelSize) -> bool:
    """Return whether a picture of `natural` size is so small that it is displayed enlarged."""
    return max(natural) < MIN_TILE
