"""Small files that are expensive to decode: each is refused, or decoded within limits of time and memory."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.long.commands import cpu_seconds, peak_memory
from tests.faults.long.harness import ROOT, Kind, Row, Trial
from tests.faults.long.pictures import encoded
from torchlurk.datasets import worker

FAULT = "image that would need hours or gigabytes: refused, or read within 20 s of CPU time and 2 GB"
SECONDS, MEGABYTES = 20, 2000


def _scans(path: Path) -> None:
    """Write a progressive JPEG with 5,000 scans."""
    data = encoded(Image.new("L", (9000, 9000), 100), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + last * 5000 + data[-2:])


def _tiles(path: Path) -> None:
    """Write a TIFF of a million one-pixel tiles: a file of 4 MB that needs a gigabyte in Pillow."""
    side = 1000
    tags = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
    ]
    tags += [(322, 4, 1, 1), (323, 4, 1, 1), (324, 4, side**2, 200), (325, 4, side**2, 200)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    path.write_bytes(head.ljust(200, b"\0") + struct.pack("<I", 8) * side**2)


def _blocks(path: Path) -> None:
    """Write a GIF with 20 million comments before the first frame."""
    head = b"GIF89a" + b"\x28\0\x28\0\x80\0\0" + b"\0\0\0\xff\xff\xff"
    path.write_bytes(head + b"!\xfe\1c\0" * 20_000_000)


def _comments(path: Path) -> None:
    """Write a plain-text PPM with 10 million comments."""
    path.write_bytes(b"P3\n5000 5000\n255\n" + b"#c\n" * 10_000_000)


def _chunks(path: Path) -> None:
    """Write a PNG with 5 million empty chunks."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
    path.write_bytes(head + chunk(b"abCd", b"") * 5_000_000 + chunk(b"IDAT", zlib.compress(bytes(20))))


def _inflated(path: Path) -> None:
    """Write a PNG with a compressed text chunk that inflates to a gigabyte."""
    packer = zlib.compressobj(9)
    data = b"k\0\0" + b"".join(packer.compress(bytes(1 << 20)) for _ in range(1000)) + packer.flush()
    whole = encoded(Image.new("L", (4, 4)), "PNG")
    text = len(data).to_bytes(4, "big") + b"zTXt" + data + zlib.crc32(b"zTXt" + data).to_bytes(4, "big")
    path.write_bytes(whole[:33] + text + whole[33:])


def _sparse(path: Path) -> None:
    """Write a sparse file of a terabyte."""
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(1 << 40)


def _pipe(path: Path) -> None:
    """Create a named pipe without a writer."""
    os.mkfifo(path)


def _device(path: Path) -> None:
    """Create a link to /dev/zero."""
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    """Create a folder with the name of an image."""
    path.mkdir()


def _large(mode: str, kind: str, **options: object) -> Callable[[Path], None]:
    """Return a writer of the largest accepted image, in a mode whose conversion to RGB needs memory."""

    def write(path: Path) -> None:
        side = 10_000 if kind != "WEBP" else 9_999
        if mode == "I;16":
            image = Image.fromarray(np.full((side, side), 1000, np.uint16))
        else:
            image = Image.new(mode, (side, side), 1 if len(mode) == 1 else tuple(range(1, len(mode) + 1)))
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)  # type: ignore[arg-type]
        path.write_bytes(buffer.getvalue())

    return write


CASES: tuple[Callable[[Path], None], ...] = (
    _pipe, _device, _folder, _sparse, _tiles, _comments, _inflated, _scans, _blocks, _chunks,
    _large("RGB", "JPEG"), _large("RGBA", "PNG", compress_level=1), _large("I;16", "PNG", compress_level=1),
    _large("LA", "PNG", compress_level=1), _large("RGBA", "WEBP", lossless=True, quality=0),
    _large("CMYK", "JPEG"), _large("RGB", "TIFF", compression="tiff_lzw"),
)  # fmt: skip


def decode_expensive_files(trial: Trial) -> list[Row]:
    """Decode the first `trial.count` files in a decoding process each, and measure time and memory."""
    wrong: list[str] = []
    slowest = most = 0.0
    for number, make in enumerate(CASES[: trial.count]):
        path = trial.folder / f"{number}.png"
        make(path)
        seconds, megabytes, reason = _decode(path)
        slowest, most = max(slowest, seconds), max(most, megabytes)
        if seconds > SECONDS or megabytes > MEGABYTES or reason is None:
            wrong.append(f"case {number}: {seconds:.1f} s, {megabytes:.0f} MB, {reason!r}")
        if path.is_file():
            path.unlink()
    tried = min(trial.count, len(CASES))
    measured = f"at most {slowest:.0f} s and {most:.0f} MB"
    return [Row(FAULT, tried, tried - len(wrong), None, 0, measured, tuple(wrong))]


def _decode(path: Path) -> tuple[float, float, str | None]:
    """Return CPU seconds, peak MB and the reason: "" for a good image, `None` if the process died."""
    job = {"paths": [str(path)], "resize_crop": {"size": [224, 224], "resize": 256}}
    process = subprocess.Popen(
        [sys.executable, "-P", worker.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    line = process.stdout.readline()
    seconds, megabytes = cpu_seconds(process.pid), peak_memory(process.pid, "VmHWM")
    process.communicate()
    return seconds, megabytes, (json.loads(line)[0] or "") if line else None


KIND = Kind("costs", (FAULT,), decode_expensive_files, long=len(CASES), short=8)
