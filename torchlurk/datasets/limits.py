"""What one image file may cost: a hostile one is refused from what it says, before that is believed.

All of these limits are counts, not seconds: whether an image is taken must not depend on the machine.
Like `decode`, this file imports Pillow alone.
"""

import io
import os
import re
import stat
import struct
from pathlib import Path
from typing import Final

from PIL import Image

MAX_BYTES: Final = 1 << 30
"""Of a file; 100 megapixels of 16 bits a colour take 600 MB where nothing is packed."""
MAX_READS: Final = 4_000_000
"""Pieces that Pillow's own Python takes of a file one by one: some seconds."""
MAX_SCANS: Final = 100
"""Times that a JPEG goes over its pixels; ten are usual, and each takes the time of a decoding."""
MAX_TILES: Final = 400_000
"""Pieces of a TIFF, of which Pillow keeps a list of kilobytes: as many as 100 megapixels have of 16 x 16."""
MAX_PLAIN: Final = 1 << 27
"""Bytes of a PPM whose numbers are written out: Python reads them, 8 MB a second."""
MAX_COMMENTS: Final = 1000
"""In such a PPM: each has Pillow copy a megabyte."""

_MARKER: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_TILES: Final = (273, 324)
"""The tags of a TIFF that say where its strips or tiles lie."""


class BadImage(Exception):  # noqa: N818  # it is the image that is bad, and the scan goes on
    """A file that cannot be taken as an image; the message is a short reason."""


class LimitedReader(io.BufferedReader):
    """A file that gives away only so many pieces."""

    def __init__(self, raw: io.RawIOBase) -> None:
        """Nothing is read yet."""
        super().__init__(raw)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read.

        Raises:
            BadImage: It has been read from too often.
        """
        self._reads += 1
        if self._reads > MAX_READS:
            raise BadImage(f"in more than {MAX_READS:,} pieces")
        return super().read(size)


def open_regular_file(path: Path) -> LimitedReader:
    """Open a file that can be an image: a pipe would never end, and what is too large is no image.

    Args:
        path: The file.

    Raises:
        BadImage: It is none.
        OSError: It cannot be opened.
    """
    # A pipe without a writer would wait for one.
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
    """Refuse a TIFF that lies in too many pieces; call this before Pillow makes a list of them.

    Args:
        file: From its beginning, where it is again afterwards.

    Raises:
        BadImage: It does.
    """
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        file.seek(0)
        return
    # BigTIFF, of 64 bits, has the number 43
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    first: int = struct.unpack(f"{order}Q" if big else f"{order}I", head[8:16] if big else head[4:8])[0]
    file.seek(min(first, MAX_BYTES))
    count = file.read(8 if big else 2)
    entry = struct.Struct(f"{order}HHQ8x" if big else f"{order}HHI4x")
    if len(count) == (8 if big else 2):
        entries = struct.unpack(f"{order}Q" if big else f"{order}H", count)[0]
        data = file.read(min(entries, 1 << 16) * entry.size)
        for tag, _, number in entry.iter_unpack(data[: len(data) // entry.size * entry.size]):
            if tag in _TILES and number > MAX_TILES:
                raise BadImage(f"in {number:,} pieces, more than {MAX_TILES:,}")
    file.seek(0)


def check_cost(image: Image.Image, file: io.BufferedReader) -> None:
    """Refuse what would take long to decode for its size; call this before the pixels are loaded.

    Args:
        image: Opened by Pillow, from `file`.
        file: Where it is read from; its position stays.

    Raises:
        BadImage: It would.
    """
    if image.format in ("JPEG", "MPO"):
        # A quick look first; other files, such as a film, may lie behind the picture.
        data = _all(file)
        if data.count(b"\xff\xda") > MAX_SCANS and _scans(data) > MAX_SCANS:
            raise BadImage(f"a JPEG of more than {MAX_SCANS} scans")
    elif image.format == "PPM" and getattr(image, "tile", None) and image.tile[0][0] == "ppm_plain":  # type: ignore[attr-defined]
        data = _all(file)
        if len(data) > MAX_PLAIN or data.count(b"#") > MAX_COMMENTS:
            raise BadImage(f"a PPM in words of more than {MAX_PLAIN:,} bytes or {MAX_COMMENTS:,} comments")


def _all(file: io.BufferedReader) -> bytes:
    """All of a file, whose position stays."""
    at = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(at)
    return data


def _scans(data: bytes) -> int:
    """How often a JPEG goes over its pixels, counted to one more than may be."""
    at, scans = 2, 0
    for _ in range(MAX_READS):
        marker = _MARKER.search(data, at)
        if marker is None or marker[0][-1] == 0xD9:
            return scans
        scans += marker[0][-1] == 0xDA
        if scans > MAX_SCANS:
            break
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return MAX_SCANS + 1
