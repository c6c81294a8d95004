"""Decode an image file to RGB, whatever is wrong with the file.

This module imports Pillow, numpy and `limits` alone: decoding processes run it (see `worker`), which then
start in a tenth of a second and hold no copy of torch.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

try:
    from PIL import AvifImagePlugin
except ImportError:  # before Pillow 11.3
    _AVIF = False
else:
    _AVIF = AvifImagePlugin.SUPPORTED

from torchlurk.datasets.limits import BadImage, LimitedReader, check_cost, check_tiff, open_regular_file

MAX_PIXELS: Final = 100_000_000
"""Images with more pixels are refused."""

FORMATS: Final = (
    JpegImagePlugin.JpegImageFile.format,  # MPO as well, a JPEG with more JPEGs behind it
    PngImagePlugin.PngImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
    BmpImagePlugin.BmpImageFile.format,
    BmpImagePlugin.DibImageFile.format,
    GifImagePlugin.GifImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    PpmImagePlugin.PpmImageFile.format,
    *(("AVIF",) if _AVIF else ()),
)
"""Formats that are decoded: those whose decoders only decode.

Pillow's EPS decoder would run ghostscript at the request of a file. An AVIF may hold a frame larger than its
header says, up to the 268 megapixels that libavif allows. JPEG 2000 is left out because OpenJPEG takes more
than 12 bytes per pixel beside the image, and TGA because its files have no signature.
"""

STRIP: Final = 1 << 20
"""Pixels that are converted to RGB together."""

_ORIENTATION: Final = 0x0112
"""EXIF tag."""
_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn an image upright, by the value of its EXIF orientation."""

_DECODER_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on damaged files."""


def decode_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image file to RGB, oriented for display.

    Of an animation, the first frame is decoded. The image is turned as its EXIF orientation says, 16-bit gray
    is scaled to 8 bits, and transparent pixels are composited over white. Pillow's warnings are suppressed;
    as this changes the filters of the process, call the function from one thread only.

    Args:
        path: The file; its suffix does not matter.
        max_pixels: Refuse images whose header claims more pixels, before they are decoded.

    Returns:
        An image in mode "RGB".

    Raises:
        BadImage: The file is not an image, is truncated or damaged, or is too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with open_regular_file(path) as file:
                return _decode(file, max_pixels)
        except UnidentifiedImageError:
            raise BadImage("not an image of a known format") from None
        except Image.DecompressionBombError:
            raise BadImage(f"more pixels than {max_pixels:,}") from None
        except FileNotFoundError:
            raise BadImage("the file is gone") from None
        except PermissionError:
            raise BadImage("the file may not be read") from None
        except _DECODER_ERRORS as error:
            # The text of the system or of Pillow, without the path or the object that some texts end in.
            text = getattr(error, "strerror", None) or str(error)
            reason = (text.splitlines() or [""])[0].partition(" <")[0].replace(str(path), "")
            raise BadImage(f"damaged: {reason.strip() or type(error).__name__}"[:120]) from None


def _decode(file: LimitedReader, max_pixels: int) -> Image.Image:
    """Decode an open file after checking that its cost is bounded."""
    if not file.peek(1):
        raise BadImage("the file is empty")
    check_tiff(file)
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise BadImage(f"{width} x {height} pixels are more than {max_pixels:,}")
        check_cost(image, file)
        image.load()
        return _upright(image, to_rgb(image))


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image from any of Pillow's modes to RGB.

    Args:
        image: Loaded, in any mode.

    Returns:
        The image in mode "RGB".

    Raises:
        BadImage: The mode does not say which value is white.
    """
    if image.mode.startswith("I"):
        # Pillow clips these at 255. Mode "I" is 16 bits from PNG and PPM, 32 bits from TIFF.
        if image.mode == "I" and image.format not in ("PNG", "PPM"):
            raise BadImage("32-bit integer pixels, which have no stated white")
        return _in_strips(image, _to_8_bits)
    if image.mode == "F":
        raise BadImage("floating-point pixels, which have no stated white")
    if image.has_transparency_data:
        return _in_strips(image, _over_white)
    return image.convert("RGB")


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image to RGB in strips, as intermediate results take several times its memory."""
    width, height = image.size
    rows = max(1, STRIP // max(width, 1))
    if height <= rows:
        return convert(image)
    done = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        done.paste(convert(image.crop((0, top, width, min(top + rows, height)))), (0, top))
    return done


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray to 8 bits."""
    wide = np.asarray(image).astype(np.int64)
    return Image.fromarray(((wide + 128) // 257).clip(0, 255).astype(np.uint8)).convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    """Composite an image over white."""
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _upright(image: Image.Image, rgb: Image.Image) -> Image.Image:
    """Turn pixels as the EXIF orientation of their file says."""
    try:
        turn = _TRANSPOSITIONS.get(image.getexif().get(_ORIENTATION, 1))
    except _DECODER_ERRORS:
        turn = None  # EXIF may be damaged while the pixels are not
    return rgb if turn is None else rgb.transpose(turn)
