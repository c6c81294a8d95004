"""Folders of images as people have them: other suffixes, other programs' folders, loose images, deep ones."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image, features
from torch import nn

import torchlurk
from torchlurk.cli.main import main
from torchlurk.cli.terminal import SILENT
from torchlurk.datasets.batches import batches
from torchlurk.datasets.decode import decode_image
from torchlurk.datasets.image_folder import ImageFolder, list_images
from torchlurk.datasets.images import NOT_READ, SkippedImage
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.limits import BadImage
from torchlurk.datasets.open import open_images
from torchlurk.datasets.suffixes import supported_suffixes
from torchlurk.datasets.validate import check_images
from torchlurk.errors import LurkError
from torchlurk.store.read import read_manifest

HEIF = NOT_READ + "the format HEIF"
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def folder(root: Path, *files: str) -> Path:
    """Files that hold JPEGs, whatever their names; one that ends in a slash is an empty folder."""
    for index, file in enumerate(files):
        path = root / file
        if file.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (30, 24), (20 * index, 99, 200)).save(path, "JPEG")
    return root


def counted(found: ImageFolder) -> dict[str, int]:
    return {name: found.labels.count(index) for index, name in enumerate(found.classes)}


# suffixes


def test_all_suffixes_of_the_formats_that_are_decoded_are_read(tmp_path: Path) -> None:
    names = ("a.jpg", "b.jfif", "c.jpe", "d.JPEG", "e.mpo", "f.dib", "g.pgm", "h.apng")
    found = list_images(folder(tmp_path / "set", *names))
    assert found.paths == names
    (batch,) = batches(found, Preprocess(size=8, resize=8), workers=0)
    assert len(batch.indices) == len(names)
    assert (found.notes, found.skipped) == ((), ())


def test_no_suffix_is_read_of_a_format_that_is_not_decoded() -> None:
    kinds = {Image.registered_extensions()[suffix] for suffix in supported_suffixes()}
    assert {"JPEG", "MPO", "PNG", "BMP", "DIB", "GIF", "TIFF", "PPM"} <= kinds
    assert not kinds & {"EPS", "PDF", "JPEG2000", "PSD", "TGA", "WMF", "FITS"}


@needs_avif
def test_avif_is_decoded_upright_and_on_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 24), "black")
    image.paste("white", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.avif", exif=exif)
    found = decode_image(list_images(tmp_path).file(0))
    assert found.size == (24, 40)
    assert found.getpixel((20, 4)) == (255, 255, 255)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "x.avif")
    assert decode_image(tmp_path / "x.avif").getpixel((0, 0)) == (255, 255, 255)


@needs_avif
def test_an_avif_of_too_many_pixels_is_refused_from_its_header(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "x.avif")
    with pytest.raises(BadImage, match=r"^64 x 64 pixels are more than 4,000$"):
        decode_image(tmp_path / "x.avif", max_pixels=4000)


def test_images_that_are_not_read_are_listed_with_a_reason(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", "cat/1.jpg", "cat/2.HEIC", "dog/1.heic", "cat/big.jpg_large", "cat/bare")
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


def test_files_of_unknown_suffixes_are_counted_and_side_files_are_not(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", "1.jpg")
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


def test_a_folder_of_unread_formats_alone_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match=r"holds no images: .*2 \.heic, such as 'a/1\.heic'$"):
        list_images(folder(tmp_path / "set", "a/1.heic", "a/2.heic"))


def test_strict_refuses_images_that_are_not_read(tmp_path: Path) -> None:
    images = list_images(folder(tmp_path / "set", "1.jpg", "2.heic"))
    with pytest.raises(
        LurkError, match=r"^1 of 2 images cannot be read, '2\.heic' first \(not read: the form"
    ):
        check_images(images, Preprocess(size=8, resize=8), workers=0, bar=SILENT.bar)


# folders


def test_folders_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    alone = list_images(folder(tmp_path / "a" / "set", "1.jpg", "2.jpg"))
    junk = (
        "@eaDir/1.jpg/THUMB_XL.jpg",
        "__MACOSX/1.jpg",
        ".ipynb_checkpoints/1.jpg",
        "._1.jpg",
        "@Recycle/1.jpg",
    )
    root = folder(
        tmp_path / "b" / "set",
        "1.jpg",
        "2.jpg",
        *junk,
        "$RECYCLE.BIN/1.jpg",
        "#recycle/1.jpg",
        "lost+found/1.jpg",
    )
    found = list_images(root)
    assert found == alone
    assert (found.notes, found.skipped) == ((), ())
    deep = list_images(folder(tmp_path / "c", "cat/1.jpg", "cat/@eaDir/1.jpg", "dog/.thumbnails/1.jpg"))
    assert (deep.paths, deep.classes) == (("cat/1.jpg",), ("cat",))


def test_loose_images_beside_class_folders_are_the_last_class(tmp_path: Path) -> None:
    root = folder(tmp_path / "pets", "cat/1.jpg", "zebra/1.jpg", "b.jpg", "y.jpg")
    before = list_images(root / "cat").digest
    found = list_images(root, class_names=("cats", "zebras"))
    assert found.paths == ("b.jpg", "cat/1.jpg", "y.jpg", "zebra/1.jpg")
    assert counted(found) == {"cats": 1, "zebras": 1, "pets": 2}
    assert found.notes == (
        "2 images lie directly in 'pets', beside 2 subfolders with images: scanned as the class 'pets'",
    )
    assert before == list_images(root / "cat").digest


def test_a_flat_folder_with_a_stray_subfolder_is_scanned_whole(tmp_path: Path) -> None:
    found = list_images(folder(tmp_path / "photos", "1.jpg", "2.jpg", "3.jpg", "rejected/x.jpg"))
    assert counted(found) == {"rejected": 1, "photos": 3}
    assert "3 images lie directly in 'photos', beside 1 subfolder" in found.notes[0]


def test_a_subfolder_called_like_its_folder_keeps_its_class(tmp_path: Path) -> None:
    found = list_images(folder(tmp_path / "pets", "1.jpg", "pets/1.jpg", "pets/2.jpg"))
    assert counted(found) == {"pets": 2, "pets (no subfolder)": 1}


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (
            ("train/cat/1.jpg", "val/cat/1.jpg"),
            "the classes are the subfolders 'train', 'val' .* folder 'train'",
        ),
        (
            ("Test/1.jpg", "Train/cat/1.jpg"),
            "the classes are the subfolders 'Test', 'Train' .* folder 'Train'",
        ),
        (
            ("images/cat/1.jpg", "images/dog/1.jpg"),
            "the class is the subfolder 'images' of 'set': .*'images'",
        ),
        (("cat/1.jpg", "dog/"), "^1 subfolder has no images that are read, and no class: 'dog'$"),
    ],
)
def test_what_may_be_meant_otherwise_is_said(tmp_path: Path, files: tuple[str, ...], note: str) -> None:
    (line,) = list_images(folder(tmp_path / "set", *files)).notes
    assert re.search(note, line)


@pytest.mark.parametrize(
    "files",
    [
        ("cat/1.jpg", "dog/1.jpg"),
        ("cat/1.jpg", "cat/young/2.jpg", "dog/old/3.jpg"),
        ("cat/1.jpg",),
        ("cat/images/1.jpg",),
        ("train/1.jpg", "val/1.jpg"),
        ("1.jpg", "2.jpg"),
    ],
)
def test_nothing_is_said_of_usual_folders(tmp_path: Path, files: tuple[str, ...]) -> None:
    root = folder(tmp_path / "set", *files)
    (root / "labels").mkdir()
    (root / "labels" / "1.txt").write_text("0 0.5 0.5 1 1")
    assert list_images(root).notes == ()


def test_names_that_are_no_text_are_told_as_text(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", "1.jpg", os.fsdecode(b"\xe9.heic"), os.fsdecode(b"d\xff/"))
    found = list_images(root)
    assert found.skipped == (SkippedImage("\\udce9.heic", HEIF),)
    assert "\n".join(found.notes).encode()


def test_a_subset_has_no_notes_of_its_own(tmp_path: Path) -> None:
    found = list_images(folder(tmp_path / "set", "1.jpg", "2.jpg", "3.heic")).take([1])
    assert (found.paths, found.skipped, found.notes) == (("2.jpg",), (), ())


# what is told


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 2, 3))\n"
    )
    return folder(tmp_path / "photos", "1.jpg", "2.jpg", "sub/3.jpg", "4.heic")


def test_precompute_tells_it_and_the_store_lists_it(mixed: Path) -> None:
    given = ("--model", "nets.py:net", "--images", str(mixed), "--out", "saved/net", "--workers", "0")
    done = CliRunner().invoke(
        main, ["precompute", *given, "--device", "cpu", "--stages", "scan", "--size", "16"]
    )
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    assert lines[0].startswith("1 file is skipped, of formats that are not read: 1 .heic, such as '4.heic'")
    assert lines[1].startswith("2 images lie directly in 'photos'")
    assert "3 images, 1 skipped" in done.stdout
    dataset = read_manifest(Path("saved/net")).dataset
    assert (dataset.images, dataset.classes) == (3, ["sub", "photos"])
    assert [(one.path, one.reason) for one in dataset.skipped] == [("4.heic", HEIF)]
    # an image of such a format more or less changes nothing of what was computed
    (mixed / "4.heic").unlink()
    again = CliRunner().invoke(
        main, ["precompute", *given, "--device", "cpu", "--stages", "scan", "--size", "16"]
    )
    assert "scan: complete already" in again.stderr


def test_lurk_warns_of_it(mixed: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torchlurk.Lurk(
            model, Preprocess(size=16, resize=16), images=mixed, out="saved/net", progress=False, workers=0
        )
    told = [str(one.message) for one in caught if one.filename == __file__]
    assert [line.split(",")[0] for line in told] == [
        "1 file is skipped",
        "2 images lie directly in 'photos'",
    ]


def test_names_found_beside_a_flat_folder_may_be_for_others(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", "cat/1.jpg", "dog/1.jpg", "unsorted/1.jpg")
    (root / "classes.txt").write_text("cat\tcats\ndog\tdogs\n")
    found = open_images(str(root / "unsorted"), class_names_file=None, data_root=tmp_path)
    assert isinstance(found, ImageFolder)
    assert found.classes == ("unsorted",)
    assert found.notes[0].startswith(
        "names of classes are not used: none of the 2 class words is for a class"
    )
    assert open_images(str(root / "cat"), class_names_file=None, data_root=tmp_path).classes == ("cats",)
    with pytest.raises(LurkError, match="none of the 2 class words is for a class"):
        open_images(str(root / "unsorted"), class_names_file=root / "classes.txt", data_root=tmp_path)
