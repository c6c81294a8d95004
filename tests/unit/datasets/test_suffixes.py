"""Which files are read as images by their suffixes, and why others are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image, features

from tests.unit.datasets.conftest import jpegs
from torchlurk.datasets.batches import batches
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.images import NOT_READ, SkippedImage
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.suffixes import supported_suffixes
from torchlurk.errors import LurkError

HEIF = NOT_READ + "the format HEIF"

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def test_all_suffixes_of_decoded_formats_are_read(tmp_path: Path) -> None:
    names = ("a.jpg", "b.jfif", "c.jpe", "d.JPEG", "e.mpo", "f.dib", "g.pgm", "h.apng")
    found = list_images(jpegs(tmp_path / "set", *names))
    assert found.paths == names
    (batch,) = batches(found, Preprocess(size=8, resize=8), workers=0)
    assert len(batch.indices) == len(names)
    assert (found.notes, found.skipped) == ((), ())


def test_no_suffix_of_another_format_is_read() -> None:
    kinds = {Image.registered_extensions()[suffix] for suffix in supported_suffixes()}
    assert {"JPEG", "MPO", "PNG", "BMP", "DIB", "GIF", "TIFF", "PPM"} <= kinds
    assert not kinds & {"EPS", "PDF", "JPEG2000", "PSD", "TGA", "WMF", "FITS"}


def test_images_that_are_not_read_are_listed_with_a_reason(tmp_path: Path) -> None:
    root = jpegs(tmp_path / "set", "cat/1.jpg", "cat/2.HEIC", "dog/1.heic", "cat/big.jpg_large", "cat/bare")
    for name in ("cat/a.psd", "cat/b.svg", "cat/c.CR2", "cat/d.jp2", "e.nii.gz"):
        (root / name).write_bytes(b"x")
    found = list_images(root)
    assert (found.paths, found.classes) == (("cat/1.jpg",), ("cat",))
    assert found.skipped == (
        SkippedImage("cat/2.HEIC", HEIF),
        SkippedImage("cat/a.psd", NOT_READ + "the format Photoshop"),
        SkippedImage("cat/b.svg", NOT_READ + "the format SVG"),
        SkippedImage("cat/bare", NOT_READ + "JPEG whose name does not end in .jpg"),
        SkippedImage("cat/big.jpg_large", NOT_READ + "JPEG whose name does not end in .jpg"),
        SkippedImage("cat/c.CR2", NOT_READ + "the format camera raw"),
        SkippedImage("cat/d.jp2", NOT_READ + "the format JPEG 2000"),
        SkippedImage("dog/1.heic", HEIF),
        SkippedImage("e.nii.gz", NOT_READ + "the format NIfTI"),
    )
    assert found.notes == (
        "9 files are skipped, of formats that are not read: 2 .heic, 1 .psd, 1 .svg, 1 without a suffix, "
        "1 .jpg_large, 3 others, such as 'cat/2.HEIC'",
        "1 subfolder has no images that are read, and no class: 'dog'",
    )


def test_unknown_suffixes_are_counted_and_texts_are_not(tmp_path: Path) -> None:
    root = jpegs(tmp_path / "set", "1.jpg")
    for name in (
        "Thumbs.db",
        "desktop.ini",
        "notes.TXT",
        "boxes.xml",
        "README",
        ".hidden",
        "data.zip",
        "a.csv",
    ):
        (root / name).write_bytes(b"x")
    assert list_images(root).notes == ()
    for name in ("film.mp4", "b.qqq"):
        (root / name).write_bytes(b"x")
    found = list_images(root)
    assert found.skipped == ()
    assert found.notes == (
        "2 files are skipped, of formats that are not read: 1 .qqq, 1 .mp4, such as 'b.qqq'",
    )


def test_a_folder_of_unsupported_formats_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        LurkError, match=r"holds no images: .*2 \.heic, such as 'a/1\.heic'; put images \(\.apng"
    ):
        list_images(jpegs(tmp_path / "set", "a/1.heic", "a/2.heic"))


def test_names_that_are_not_text_are_reported_as_text(tmp_path: Path) -> None:
    root = jpegs(tmp_path / "set", "1.jpg", os.fsdecode(b"\xe9.heic"), os.fsdecode(b"d\xff/"))
    found = list_images(root)
    assert found.skipped == (SkippedImage("\\udce9.heic", HEIF),)
    assert "\n".join(found.notes).encode()
