"""Valid image files and ten kinds of bad ones."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

SIDE = 50_000
"""The side of the decompression bomb in pixels."""


def pixels(random: Random) -> Image.Image:
    """Return a small random picture."""
    rng = np.random.default_rng(random.getrandbits(64))
    low = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return low.resize((random.randrange(36, 60), random.randrange(36, 60)), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the encoded picture."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def good(path: Path, random: Random) -> None:
    """Write a picture in a random format, independent of the suffix of the path."""
    path.write_bytes(encoded(pixels(random), random.choice(("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"))))


def garbled_exif(path: Path, random: Random) -> None:
    """Write a valid JPEG with corrupt EXIF, which the decoder ignores."""
    data = encoded(pixels(random), "JPEG", quality=95)
    garbage = b"Exif\0\0" + random.choice(
        (b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"", random.randbytes(40))
    )
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(garbage) + 2).to_bytes(2, "big") + garbage + data[2:])


def truncated(path: Path, random: Random) -> None:
    """Write a truncated image."""
    data = encoded(pixels(random), random.choice(("PNG", "JPEG", "WEBP", "BMP", "TIFF")))
    path.write_bytes(data[: random.randrange(len(data) // 4, len(data) * 3 // 4)])


def empty(path: Path, random: Random) -> None:
    """Write an empty file."""
    path.touch()


def text(path: Path, random: Random) -> None:
    """Write a text."""
    path.write_text(
        random.choice(("<!DOCTYPE html><title>404</title>", "%!PS-Adobe-3.0 EPSF-3.0\n", "hello\n")) * 9
    )


def wrong_suffix(path: Path, random: Random) -> None:
    """Write a binary file of another format."""
    path.write_bytes(
        random.choice((b"PK\3\4", b"%PDF-1.7\n", b"\x7fELF", b"\x1f\x8b\x08", b"SQLite format 3\0"))
        + random.randbytes(999)
    )


@cache
def _bomb() -> bytes:
    """Return a black PNG with one bit per pixel: 300 kB that would need gigabytes of memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    packer, row = zlib.compressobj(1), bytes(1 + -(-SIDE // 8))
    data = b"".join(packer.compress(row * 1000) for _ in range(SIDE // 1000)) + packer.flush()
    head = SIDE.to_bytes(4, "big") * 2 + b"\1\0\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb(path: Path, random: Random) -> None:
    """Write a small file with too many pixels."""
    path.write_bytes(_bomb())


def endless(path: Path, random: Random) -> None:
    """Write a GIF with 20,000 useless blocks: empty codes, comments, or no frame."""
    head = b"GIF89a" + (40).to_bytes(2, "little") * 2 + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    frame = b",\0\0\0\0" + (40).to_bytes(2, "little") * 2 + b"\0\x02"
    nothing = b"\xff" + b"\x24\x49\x92" * 85
    comment = b"!\xfe" + b"\xff" + b"c" * 255
    variant = random.randrange(3)
    if variant == 0:
        path.write_bytes(head + frame + nothing * 20_000)
    elif variant == 1:
        path.write_bytes(head + comment + comment[2:] * 20_000)
    else:
        path.write_bytes(head + (b"!\xf9\4\0\0\0\0\0" + b"!\xfe\1c\0") * 20_000)


def broken_exif(path: Path, random: Random) -> None:
    """Write a JPEG whose EXIF length reaches beyond the end of the file."""
    tags = Image.Exif()
    tags[0x010E] = "x" * 100
    data = encoded(pixels(random), "JPEG", exif=tags)
    assert data[20:22] == b"\xff\xe1" or data[2:4] == b"\xff\xe1"
    at = data.index(b"\xff\xe1") + 2
    path.write_bytes(data[:at] + b"\xff\xff" + data[at + 2 :])


def unreadable(path: Path, random: Random) -> None:
    """Write a valid picture without read permission."""
    good(path, random)
    path.chmod(0)


def dangling(path: Path, random: Random) -> None:
    """Create a link to a missing file or to itself."""
    path.symlink_to(random.choice(("nothing.png", path.name)))


def vanishing(path: Path, random: Random) -> None:
    """Write a valid picture, which the network deletes after the images are listed."""
    good(path, random)


BAD_IMAGES: dict[str, tuple[Callable[[Path, Random], None], str]] = {
    "image: truncated": (truncated, "damaged: |not an image"),
    "image: empty file": (empty, "the file is empty"),
    "image: text file": (text, "not an image of a known format"),
    "image: binary file that is not an image": (wrong_suffix, "not an image of a known format"),
    f"image: decompression bomb of {SIDE:,} x {SIDE:,} pixels": (
        bomb,
        "pixels are more than|more pixels than",
    ),
    "image: endless GIF": (endless, "damaged: |not an image"),
    "image: EXIF length beyond the end of the file": (broken_exif, "damaged: |not an image"),
    "image: no read permission": (unreadable, "the file may not be read"),
    "image: broken link": (dangling, "the file is gone|damaged: Too many levels"),
    "image: deleted after listing": (vanishing, "the file is gone"),
}
"""By fault: a function that writes such a file, and a regular expression for the start of its reason."""
