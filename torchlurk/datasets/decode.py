"""One image file -> pixels, whatever is wrong with the file.

This file imports Pillow, numpy and `limits` alone: it is also the program that the decoding processes
run (see `serve`), which then start in a tenth of a second and hold no copy of torch.
"""

import json
import signal
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
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

_Pixels = npt.NDArray[np.uint8]
"""(H, W, C) or (H, W, 3), as is said where it stands."""

MAX_PIXELS: Final = 100_000_000
MAX_ASPECT: Final = 100
STRIP: Final = 1 << 20  # pixels
# The decoders that are pure decoders: Pillow's EPS would run ghostscript on a file's word. An AVIF may hold a
# frame larger than its header says, of up to the 268 megapixels that libavif allows. JPEG 2000 is left out,
# as OpenJPEG takes more than 12 bytes a pixel beside the image, and TGA, as it has no mark by which it is
# known.
FORMATS: Final = (
    JpegImagePlugin.JpegImageFile.format,  # MPO too, a JPEG with more JPEGs behind it
    PngImagePlugin.PngImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
    BmpImagePlugin.BmpImageFile.format,
    BmpImagePlugin.DibImageFile.format,
    GifImagePlugin.GifImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    PpmImagePlugin.PpmImageFile.format,
    *(("AVIF",) if _AVIF else ()),
)
INTERPOLATIONS: Final = tuple(method.name.lower() for method in Image.Resampling)
ORIENTATION: Final = 0x0112
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# what Pillow's decoders raise on damaged files, beside OSError
DAMAGE: Final = (
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


@dataclass(frozen=True)
class ResizeCrop:
    """From an image of any size to an array of one size.

    Attributes:
        size: (height, width) of the array, pixels; cut from the centre, on black where it is larger.
        resize: What the short side is brought to before, pixels; or (height, width), whatever the
            proportions; or None for images that all have `size` already.
        interpolation: One of `INTERPOLATIONS`.
        channels: 3, or 1 for gray.
    """

    size: tuple[int, int]
    resize: int | tuple[int, int] | None
    interpolation: str = "bilinear"
    channels: int = 3


def decode_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image file to RGB, as a person would see it.

    The first frame of an animation; turned as its EXIF says; 16-bit gray scaled to 8 bits;
    transparency laid on white. Pillow's warnings are kept to itself: call this from one thread.

    Args:
        path: The file; its suffix does not matter.
        max_pixels: More than these are refused, from the header, before they are decoded.

    Returns:
        An image in mode "RGB".

    Raises:
        BadImage: It is no image, is truncated or damaged, or too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with open_regular_file(path) as file:
                return _decoded(file, max_pixels)
        except UnidentifiedImageError:
            raise BadImage("not an image of a known format") from None
        except Image.DecompressionBombError:
            raise BadImage(f"more pixels than {max_pixels:,}") from None
        except FileNotFoundError:
            raise BadImage("the file is gone") from None
        except PermissionError:
            raise BadImage("the file may not be read") from None
        except DAMAGE as error:
            # the system's or Pillow's own words, without the path or object that some end in
            words = getattr(error, "strerror", None) or str(error)
            reason = (words.splitlines() or [""])[0].partition(" <")[0].replace(str(path), "")
            raise BadImage(f"damaged: {reason.strip() or type(error).__name__}"[:120]) from None


def _decoded(file: LimitedReader, max_pixels: int) -> Image.Image:
    """What Pillow makes of a file, once all is known to be bounded."""
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
    """Bring any of Pillow's modes to RGB.

    Args:
        image: Loaded, in any mode.

    Returns:
        The same in mode "RGB".

    Raises:
        BadImage: Its numbers have no stated white.
    """
    if image.mode.startswith("I"):
        # Pillow clips these at 255; "I" comes from PNG and PPM as 16 bits too, from TIFF as 32
        if image.mode == "I" and image.format not in ("PNG", "PPM"):
            raise BadImage("32-bit integer pixels, which have no stated white")
        return _in_strips(image, _narrowed)
    if image.mode == "F":
        raise BadImage("floating-point pixels, which have no stated white")
    if image.has_transparency_data:
        return _in_strips(image, _on_white)
    return image.convert("RGB")


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image to RGB piece by piece: what is made on the way takes several times its memory."""
    width, height = image.size
    rows = max(1, STRIP // max(width, 1))
    if height <= rows:
        return convert(image)
    done = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        done.paste(convert(image.crop((0, top, width, min(top + rows, height)))), (0, top))
    return done


def _narrowed(image: Image.Image) -> Image.Image:
    wide = np.asarray(image).astype(np.int64)
    return Image.fromarray(((wide + 128) // 257).clip(0, 255).astype(np.uint8)).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _upright(image: Image.Image, rgb: Image.Image) -> Image.Image:
    """Turn pixels as the EXIF orientation of their file says."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except DAMAGE:
        turn = None  # damaged EXIF beside good pixels
    return rgb if turn is None else rgb.transpose(turn)


def resize_and_crop(image: Image.Image, cut: ResizeCrop) -> _Pixels:
    """Resize an image and cut its centre, as torchvision's transforms do.

    Args:
        image: RGB, of any size; smaller ones are enlarged.
        cut: How.

    Returns:
        (height, width, channels), equal to torchvision's to the bit.

    Raises:
        BadImage: It is so narrow that its centre says nothing, or not of the size that is wanted
            where nothing is to be resized.
    """
    height, width = cut.size
    if cut.channels == 1:
        image = image.convert("L")
    resized = _resize(image, cut)
    # torchvision's: rounded where it cuts, rounded down where it pads with black
    left, top = (
        round((side - wanted) / 2) if side >= wanted else -((wanted - side) // 2)
        for side, wanted in zip(resized.size, (width, height), strict=True)
    )
    pixels = np.array(resized.crop((left, top, left + width, top + height)))
    return pixels.reshape(height, width, cut.channels)


def _resize(image: Image.Image, cut: ResizeCrop) -> Image.Image:
    width, height = image.size
    method = Image.Resampling[cut.interpolation.upper()]
    if cut.resize is None:
        if (height, width) != cut.size:
            raise BadImage(
                f"{width} x {height} pixels, where the network takes {cut.size[1]} x {cut.size[0]}"
            )
        return image
    if not isinstance(cut.resize, int):
        return image.resize((cut.resize[1], cut.resize[0]), method)
    short, long = min(width, height), max(width, height)
    if long > MAX_ASPECT * short:
        raise BadImage(f"{width} x {height} pixels are too narrow to be cut")
    length = int(cut.resize * long / short)  # torchvision truncates
    return image.resize((cut.resize, length) if width <= height else (length, cut.resize), method)


def serve(jobs: BinaryIO, results: BinaryIO) -> None:
    """Decode what is asked for until `jobs` ends: the program of a decoding process.

    Args:
        jobs: Lines of JSON: `{"paths": [...], "cut": the fields of a Cut}`.
        results: For each job a line of JSON, a list that has null for a good image and the reason
            for a bad one, then the pixels of the good ones, a byte a channel.
    """
    for line in jobs:
        job = json.loads(line)
        reasons: list[str | None] = []
        pixels: list[_Pixels] = []
        cut = _cut_of(job["cut"])
        for path in job["paths"]:
            try:
                pixels.append(resize_and_crop(decode_image(Path(path)), cut))
                reasons.append(None)
            except BadImage as error:
                reasons.append(str(error))
        results.write(json.dumps(reasons).encode() + b"\n")
        for array in pixels:
            results.write(array.data)
        results.flush()


def _cut_of(fields: dict[str, Any]) -> ResizeCrop:
    """A cut as JSON has brought it over, its pairs as lists."""
    pairs: dict[str, Any] = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    return ResizeCrop(**(fields | pairs))


if __name__ == "__main__":
    # Ctrl-C reaches the whole group: the parent closes the pipe, and that is the end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        sys.stderr.close()  # the parent is gone: say nothing about the unflushed rest
