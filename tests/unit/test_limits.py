"""What an image file may cost, and which files are not opened at all."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from torchlurk.cli.main import main
from torchlurk.cli.terminal import SILENT
from torchlurk.datasets import decode as decoding
from torchlurk.datasets import limits
from torchlurk.datasets.batches import batches
from torchlurk.datasets.csv_table import read_table
from torchlurk.datasets.decode import decode_image, to_rgb
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.limits import BadImage
from torchlurk.datasets.validate import check_images
from torchlurk.errors import LurkError
from torchlurk.pipeline import pipeline


def picture(mode: str = "RGB", side: int = 40) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


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
def test_a_tiff_that_breaks_off_is_no_trouble(tmp_path: Path, data: bytes) -> None:
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


def test_what_lies_behind_a_jpeg_is_not_taken_for_its_scans(tmp_path: Path) -> None:
    # a film, as telephones put there, in which any bytes may be
    (tmp_path / "x").write_bytes(encoded("JPEG") + b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x02" * 500)
    assert decode_image(tmp_path / "x").size == (40, 40)


def test_a_plain_ppm_may_have_some_comments(tmp_path: Path) -> None:
    numbers = " ".join(["7"] * 48).encode()
    (tmp_path / "x").write_bytes(b"P3\n4 4\n255\n" + b"# so\n" * 1000 + numbers)
    assert decode_image(tmp_path / "x").getpixel((0, 0)) == (7, 7, 7)
    (tmp_path / "x").write_bytes(b"P3\n4 4\n255\n" + b"# so\n" * 1001 + numbers)
    with pytest.raises(BadImage, match=r"^a PPM in words of more than .* 1,000 comments$"):
        decode_image(tmp_path / "x")


def test_a_file_of_very_many_pieces_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_READS", 1000)
    (tmp_path / "x").write_bytes(b"GIF89a\4\0\4\0\0\0\0" + b"!\xfe\1c\0" * 500 + encoded("GIF")[13:])
    with pytest.raises(BadImage, match=r"^in more than 1,000 pieces$"):
        decode_image(tmp_path / "x")
    (tmp_path / "x").write_bytes(encoded("GIF"))
    assert decode_image(tmp_path / "x").size == (40, 40)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
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


def test_a_table_that_names_a_pipe_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    picture().save(tmp_path / "good.png")
    (tmp_path / "t.csv").write_text("pipe.png,a\ngood.png,a\n")
    table = read_table(tmp_path / "t.csv")
    (batch,) = batches(table, Preprocess(size=16, resize=20), workers=1)
    assert batch.indices == (1,)
    assert [s.reason for s in batch.skipped] == ["a pipe or a device, not a file"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "PA", "P"])
def test_large_images_become_rgb_strip_by_strip_as_at_once(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (53, 40), dtype=np.uint16))
        image.format = "PNG"
    elif mode == "P":
        image = picture("RGB").quantize(16)
        image.info["transparency"] = bytes(range(0, 256, 16))
    else:
        image = picture("RGBA").convert(mode)
    whole = to_rgb(image)
    for strip in (1, 40, 41, 999):
        monkeypatch.setattr(decoding, "STRIP", strip)
        assert to_rgb(image).tobytes() == whole.tobytes()


def test_links_to_nothing_and_to_themselves_are_listed(tmp_path: Path) -> None:
    picture().save(tmp_path / "good.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "none.png").symlink_to("nothing")
    (tmp_path / "deep.png").symlink_to("good.png/deeper")
    os.mkfifo(tmp_path / "pipe.png")
    assert list_images(tmp_path).paths == ("deep.png", "good.png", "loop.png", "none.png")
    (batch,) = batches(list_images(tmp_path), Preprocess(size=16, resize=20), workers=1)
    assert batch.indices == (1,)


def test_names_that_are_no_text_are_told_as_text_and_read_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"cl\xffass")
    folder.mkdir()
    picture().save(folder / os.fsdecode(b"\xe9.png"))
    (folder / os.fsdecode(b"\xea\n.png")).write_bytes(b"nothing")
    found = list_images(tmp_path)
    assert found.classes == ("cl\\udcffass",)
    assert found.paths == ("cl\\udcffass/\\udce9.png", "cl\\udcffass/\\udcea\n.png")
    for workers in (0, 1):
        (batch,) = batches(found.take([0, 1]), Preprocess(size=16, resize=20), workers=workers)
        assert batch.indices == (0,)
        assert [s.path for s in batch.skipped] == ["cl\\udcffass/\\udcea\n.png"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(70):
        picture().save(tmp_path / f"{number:02}.png")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_strict_names_the_first_bad_image_and_counts_them(photos: Path, workers: int) -> None:
    def check() -> None:
        check_images(list_images(photos), Preprocess(size=16, resize=20), workers=workers, bar=SILENT.bar)

    check()
    for number in (69, 34, 41):
        (photos / f"{number}.png").write_bytes(b"")
    with pytest.raises(LurkError) as caught:
        check()
    assert str(caught.value) == (
        "3 of 70 images cannot be read, '34.png' first (the file is empty): mend them or take them out, "
        "or leave out --strict to go on without them"
    )


@pytest.fixture
def precompute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        picture().save(tmp_path / f"photos/{number}.png")
    (tmp_path / "nets.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 2, 3))\n"
    )

    def run(*more: str) -> tuple[int, str]:
        given = ("--model", "nets.py:net", "--images", "photos", "--out", "saved/net", "--workers", "0")
        fixed = ("--device", "cpu", "--stages", "scan", "--size", "16", "--batch-size", "1", "--strict")
        done = CliRunner().invoke(main, ["precompute", *given, *fixed, *more])
        return done.exit_code, done.stderr.strip().splitlines()[-1]

    return run


def test_strict_refuses_before_anything_is_written(
    precompute: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "photos/2.png").write_bytes(b"text")
    code, line = precompute()
    assert code == 1
    assert line.startswith("torchlurk: 1 of 3 images cannot be read, '2.png' first (not an image of a known")
    assert not (tmp_path / "saved/net/network.json").exists()
    picture().save(tmp_path / "photos/2.png")
    assert precompute()[0] == 0


def test_strict_tells_of_an_image_that_went_bad_meanwhile(
    precompute: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = pipeline.precompute

    def after_all_were_decoded(*given: Any) -> Any:
        (tmp_path / "photos/1.png").unlink()
        return begin(*given)

    monkeypatch.setattr(pipeline, "precompute", after_all_were_decoded)
    code, line = precompute()
    assert code == 1
    assert "1 of 3 images cannot be read, '1.png' first (the file is gone)" in line
