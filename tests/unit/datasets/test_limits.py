"""What an image file may cost, and which files are not opened at all."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.datasets.conftest import picture
from torchlurk.datasets import limits
from torchlurk.datasets.decode import decode_image
from torchlurk.datasets.limits import BadImage


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def tiff(tiles: int, *, big: bool = False) -> bytes:
    """A TIFF that says it has so many tiles, and has none."""
    if big:
        entry = struct.pack("<HHQQ", 324, 4, tiles, 0)
        return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 1) + entry + bytes(8)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHII", 324, 4, tiles, 0) + bytes(4)


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_too_many_tiles_is_refused_before_they_are_listed(tmp_path: Path, big: bool) -> None:
    (tmp_path / "x").write_bytes(tiff(400_001, big=big))
    with pytest.raises(BadImage, match=r"^in 400,001 pieces, more than 400,000$"):
        decode_image(tmp_path / "x")
    (tmp_path / "x").write_bytes(tiff(400_000, big=big))
    with pytest.raises(BadImage, match=r"^(damaged|not an image)"):
        decode_image(tmp_path / "x")


@pytest.mark.parametrize(
    "data", [b"II*\0", b"II", b"MM\0*\xff\xff\xff\xff" + bytes(20), b"II+\0" + b"\xff" * 40]
)
def test_a_truncated_tiff_does_no_harm(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(BadImage, match=r"not an image|damaged"):
        decode_image(tmp_path / "x")


def scans(times: int) -> bytes:
    """A JPEG that goes over its pixels so many times more than usual."""
    data = encoded("JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * times + data[-2:]


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(scans(20))
    assert decode_image(tmp_path / "x").size == (40, 40)
    (tmp_path / "x").write_bytes(scans(100))
    with pytest.raises(BadImage, match=r"^a JPEG of more than 100 scans$"):
        decode_image(tmp_path / "x")


def test_a_file_behind_a_jpeg_is_not_counted_as_scans(tmp_path: Path) -> None:
    # a film, as telephones put there, in which any bytes may be
    (tmp_path / "x").write_bytes(encoded("JPEG") + b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x02" * 500)
    assert decode_image(tmp_path / "x").size == (40, 40)


def test_a_plain_ppm_may_have_some_comments(tmp_path: Path) -> None:
    numbers = " ".join(["7"] * 48).encode()
    (tmp_path / "x").write_bytes(b"P3\n4 4\n255\n" + b"# so\n" * 1000 + numbers)
    assert decode_image(tmp_path / "x").getpixel((0, 0)) == (7, 7, 7)
    (tmp_path / "x").write_bytes(b"P3\n4 4\n255\n" + b"# so\n" * 1001 + numbers)
    with pytest.raises(BadImage, match=r"^a plain PPM of more than .* 1,000 comments$"):
        decode_image(tmp_path / "x")


def test_a_file_of_very_many_reads_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_READS", 1000)
    (tmp_path / "x").write_bytes(b"GIF89a\4\0\4\0\0\0\0" + b"!\xfe\1c\0" * 500 + encoded("GIF")[13:])
    with pytest.raises(BadImage, match=r"^in more than 1,000 pieces$"):
        decode_image(tmp_path / "x")
    (tmp_path / "x").write_bytes(encoded("GIF"))
    assert decode_image(tmp_path / "x").size == (40, 40)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(limits.MAX_BYTES + 1)
    for name, reason in {
        "pipe": "a pipe or a device, not a file",
        "zeros": "a pipe or a device, not a file",
        "folder": "a folder, not a file",
        "sparse": "1,073,741,825 bytes are more than 1,073,741,824",
    }.items():
        with pytest.raises(BadImage, match=f"^{reason}$"):
            decode_image(tmp_path / name)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # what is open while it is listed
    for name in ("pipe", "zeros", "folder", "sparse"):
        with pytest.raises(BadImage):
            decode_image(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
