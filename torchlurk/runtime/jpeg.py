"""Pictures as JPEG files. It imports no torch, so that `encoding_worker` starts in a tenth of a second."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""`(H, W, 3)` RGB, or `(H, W, 1)` grayscale."""

PixelSize = tuple[int, int]
"""`(height, width)` in pixels."""

THUMB_SIZE = 80
"""Longest side of a small picture in pixels."""

_THUMB_QUALITY = 78
"""JPEG quality of small pictures: about 2 KB each."""


@dataclass(frozen=True)
class JpegOptions:
    """How a picture is encoded.

    Attributes:
        quality: Pillow's quality, 1 to 95.
        sharp_colour: Do not subsample the colour channels; small and enlarged pictures need this.
        thumb: Reduce it to at most `THUMB_SIZE` first, and compute the Huffman tables: those of the standard
            are a fifth of such a small file.
    """

    quality: int
    sharp_colour: bool = False
    thumb: bool = False


@dataclass(frozen=True)
class JpegJob:
    """A picture to encode.

    Attributes:
        pixels: The picture.
        options: How it is encoded.
    """

    pixels: Pixels
    options: JpegOptions


Encode = Callable[[Sequence[JpegJob]], list[bytes]]
"""Encodes pictures, in this process or in another one."""


def thumb_job(pixels: Pixels, *, sharp_colour: bool = False) -> JpegJob:
    """Return the job that encodes a picture as a small JPEG, reduced to at most 80 pixels."""
    return JpegJob(pixels, JpegOptions(_THUMB_QUALITY, sharp_colour, thumb=True))


def encode_jpegs(jobs: Sequence[JpegJob]) -> list[bytes]:
    """Encode pictures in this process."""
    return [jpeg(job.pixels, job.options) for job in jobs]


def jpeg(pixels: Pixels, options: JpegOptions) -> bytes:
    """Encode a picture as JPEG."""
    image = pixels_to_image(pixels)
    if options.thumb and max(image.size) > THUMB_SIZE:
        width, height = (max(1, round(side * THUMB_SIZE / max(image.size))) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(
        buffer,
        "JPEG",
        quality=options.quality,
        subsampling=0 if options.sharp_colour else 2,
        optimize=options.thumb,
    )
    return buffer.getvalue()


def pixels_to_image(pixels: Pixels) -> Image.Image:
    """Return a picture as an image of Pillow."""
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels)
