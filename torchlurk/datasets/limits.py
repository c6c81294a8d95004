"""Limits on what one image file may cost: a hostile file is refused by what it claims, before it is decoded.

All limits are counts, not seconds: whether an image is accepted must not depend on the machine. Like
`decode`, this module imports Pillow alone.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
from pathlib import Path
from typing import Final

from PIL import Image

MAX_BYTES: Final = 1 << 30
"""Bytes of a file; 100 megapixels of 16 bits for each colour take 600 MB without compression."""
MAX_READS: Final = 4_000_000
"""Reads by Pillow's own Python code: some seconds."""
_MAX_SCANS: Final = 100
"""Scans of a progressive JPEG; ten are usual, and each takes the time of a decoding."""
_MAX_TILES: Final = 400_000
"""Tiles of a TIFF, of which Pillow keeps a list of kilobytes: as many as 100 megapixels have of 16 x 16."""
_MAX_PLAIN_BYTES: Final = 1 << 27
"""Bytes of a plain PPM, whose numbers are text: Python reads 8 MB a second of them."""
_MAX_COMMENTS: Final = 1000
"""Comments of a plain PPM: for each, Pillow copies a megabyte."""

_MARKER: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""A marker of a JPEG that is followed by a length."""
_TILE_OFFSETS: Final = (273, 324)
"""Tags of a TIFF that list its strips or tiles."""


class BadImage(Exception):  # noqa: N818  # it is the image that is bad, and the scan goes on
    """A file that cannot be used as an image; the message is a short reason."""


class LimitedReader(io.BufferedReader):
    """A file that refuses more than `MAX_READS` reads."""

    def __init__(self, raw: io.RawIOBase) -> None:
        """Start with no reads."""
        super().__init__(raw)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes.

        Raises:
            BadImage: The file has been read from too often.
        """
        self._reads += 1
        if self._reads > MAX_READS:
            raise BadImage(f"in more than {MAX_READS:,} pieces")
        return super().read(size)


def open_regular_file(path: Path) -> LimitedReader:
    """Open a regular file of at most `MAX_BYTES`; a pipe would never end.

    Args:
        path: The file.

    Raises:
        BadImage: The path is not a regular file, or the file is too large.
        OSError: The file cannot be opened.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    status, reason = os.fstat(handle), ""
    if stat.S_ISDIR(status.st_mode):
        reason = "a folder, not a file"
    elif not stat.S_ISREG(status.st_mode):
        reason = "a pipe or a device, not a file"
    elif status.st_size > MAX_BYTES:
        reason = f"{status.st_size:,} bytes are more than {MAX_BYTES:,}"
    if reason:
        os.close(handle)
        raise BadImage(reason)
    return LimitedReader(io.FileIO(handle))


def check_tiff(file: io.BufferedReader) -> None:
    """Refuse a TIFF of too many tiles, before Pillow builds a list of them.

    Args:
        file: The file, at its beginning; its position is restored.

    Raises:
        BadImage: The TIFF has more than 400,000 strips or tiles.
    """
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        file.seek(0)
        return
    # 43 is the version of BigTIFF, with offsets of 64 bits.
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    first: int = struct.unpack(f"{order}Q" if big else f"{order}I", head[8:16] if big else head[4:8])[0]
    file.seek(min(first, MAX_BYTES))
    count = file.read(8 if big else 2)
    entry = struct.Struct(f"{order}HHQ8x" if big else f"{order}HHI4x")
    if len(count) == (8 if big else 2):
        entries = struct.unpack(f"{order}Q" if big else f"{order}H", count)[0]
        data = file.read(min(entries, 1 << 16) * entry.size)
        for tag, _, number in entry.iter_unpack(data[: len(data) // entry.size * entry.size]):
            if tag in _TILE_OFFSETS and number > _MAX_TILES:
                raise BadImage(f"in {number:,} pieces, more than {_MAX_TILES:,}")
    file.seek(0)


def check_cost(image: Image.Image, file: io.BufferedReader) -> None:
    """Refuse an image that takes long to decode for its size, before its pixels are loaded.

    Args:
        image: Opened by Pillow from `file`.
        file: The file; its position is restored.

    Raises:
        BadImage: The image is a JPEG of too many scans, or a plain PPM that is too long.
    """
    if image.format in ("JPEG", "MPO"):
        # Count bytes first, which is fast, then markers: another file, such as a film, may follow the image.
        data = _all(file)
        if data.count(b"\xff\xda") > _MAX_SCANS and _scans(data) > _MAX_SCANS:
            raise BadImage(f"a JPEG of more than {_MAX_SCANS} scans")
    elif image.format == "PPM" and getattr(image, "tile", None) and image.tile[0][0] == "ppm_plain":  # type: ignore[attr-defined]
        data = _all(file)
        if len(data) > _MAX_PLAIN_BYTES or data.count(b"#") > _MAX_COMMENTS:
            raise BadImage(
                f"a plain PPM of more than {_MAX_PLAIN_BYTES:,} bytes or {_MAX_COMMENTS:,} comments"
            )


def _all(file: io.BufferedReader) -> bytes:
    """Return the content of a file and restore its position."""
    at = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(at)
    return data


def _scans(data: bytes) -> int:
    """Count the scans of a JPEG, up to one more than the limit."""
    at, scans = 2, 0
    for _ in range(MAX_READS):
        marker = _MARKER.search(data, at)
        if marker is None or marker[0][-1] == 0xD9:
            return scans
        scans += marker[0][-1] == 0xDA
        if scans > _MAX_SCANS:
            break
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return _MAX_SCANS + 1
