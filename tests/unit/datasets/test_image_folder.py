"""Folders of images as people have them: loose images, deep ones, folders of other programs."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from torch import nn

import torchlurk
from tests.unit.datasets.conftest import jpegs, noise, picture, pictures
from torchlurk.cli.main import main
from torchlurk.datasets.batches import batches
from torchlurk.datasets.image_folder import ImageFolder, list_images
from torchlurk.datasets.images import NOT_READ
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.store.read import read_manifest

SMALL = Preprocess(size=16, resize=20)


def test_images_are_listed_by_class_and_other_files_ignored(pets: Path) -> None:
    (pets / "a" / "deep" / "er").mkdir(parents=True)
    noise(0).save(pets / "a" / "deep" / "er" / "x.PNG", "PNG")
    (pets / "empty").mkdir()
    for name in ("CREDITS.csv", "README.md", ".hidden.jpg", "a/.hidden.png", "a/notes.txt"):
        (pets / name).write_text("x")
    (pets / ".git").mkdir()
    noise(0).save(pets / ".git" / "x.jpg")
    found = list_images(pets, class_names={"b": "birds, of all kinds", "z": "never"})
    assert found.name == "pets"
    assert found.classes == ("a", "birds, of all kinds")
    assert found.paths[5:8] == ("a/05.jpg", "a/deep/er/x.PNG", "b/00.jpg")
    assert found.labels == (0,) * 7 + (1,) * 5
    assert found.paths == tuple(sorted(found.paths, key=os.fsencode))


def test_a_flat_folder_is_one_class(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.webp", "B.TIFF"):
        (tmp_path / name).touch()
    (tmp_path / "notes").mkdir()
    found = list_images(tmp_path)
    assert found.paths == ("B.TIFF", "a.webp", "b.jpg")
    assert found.classes == (tmp_path.name,)
    assert found.labels == (0, 0, 0)


def test_the_digest_covers_paths_and_bytes_alone(pets: Path, tmp_path: Path) -> None:
    first = list_images(pets)
    moved = tmp_path / "elsewhere" / "pets"
    moved.parent.mkdir()
    pets.rename(moved)
    os.utime(moved / "a" / "00.jpg", (0, 0))
    second = list_images(moved)
    assert first == second
    assert first.digest == second.digest
    seen = {first.digest}
    (moved / "a" / "00.jpg").write_bytes(b"changed")
    seen.add(list_images(moved).digest)
    (moved / "a" / "01.jpg").rename(moved / "a" / "1.jpg")
    seen.add(list_images(moved).digest)
    (moved / "a" / "02.jpg").unlink()
    (moved / "a" / "02.jpg").symlink_to(moved / "nowhere")
    seen.add(list_images(moved).digest)
    assert len(seen) == 4


def test_links_are_followed_but_not_in_circles(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    noise(0).save(tmp_path / "other" / "x.jpg")
    (pets / "c").symlink_to(tmp_path / "other")
    (pets / "a" / "again").symlink_to(pets)
    os.mkfifo(pets / "a" / "pipe.jpg")
    found = list_images(pets)
    assert len(found.paths) == 12
    assert found.paths[-1] == "c/x.jpg"


@pytest.mark.parametrize("name", ["missing", "file", "void"])
def test_a_folder_without_images_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "void").mkdir()
    (tmp_path / "void" / "readme.txt").write_text("x")
    with pytest.raises(LurkError, match=f"{name}' (does not exist|is a file|holds no images)"):
        list_images(tmp_path / name)


def test_paths_that_are_not_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \n \xf0\x9f\x90\x95.png")
    noise(0).save(tmp_path / name)
    images = list_images(tmp_path)
    assert images.files == (name,)
    assert images.paths == ("caf\\udce9 \n \U0001f415.png",)
    for workers in (0, 1):
        assert [b.indices for b in batches(images, SMALL, workers=workers)] == [(0,)]


@pytest.mark.parametrize("name", ["images", "train", "VAL", "data", "test"])
def test_a_folder_of_a_generic_name_is_named_after_its_parent(tmp_path: Path, name: str) -> None:
    found = list_images(pictures(tmp_path / "pets" / name, "cat/a.png"))
    assert (found.name, found.classes) == ("pets", ("cat",))


def test_broken_and_circular_links_are_listed(tmp_path: Path) -> None:
    picture().save(tmp_path / "good.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "none.png").symlink_to("nothing")
    (tmp_path / "deep.png").symlink_to("good.png/deeper")
    os.mkfifo(tmp_path / "pipe.png")
    assert list_images(tmp_path).paths == ("deep.png", "good.png", "loop.png", "none.png")
    (batch,) = batches(list_images(tmp_path), Preprocess(size=16, resize=20), workers=1)
    assert batch.indices == (1,)


def test_names_that_are_not_text_are_reported_as_text_and_read(tmp_path: Path) -> None:
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


HEIF = NOT_READ + "the format HEIF"


def images_by_class(found: ImageFolder) -> dict[str, int]:
    return {name: found.labels.count(index) for index, name in enumerate(found.classes)}


def test_folders_of_other_programs_are_ignored(tmp_path: Path) -> None:
    alone = list_images(jpegs(tmp_path / "a" / "set", "1.jpg", "2.jpg"))
    junk = (
        "@eaDir/1.jpg/THUMB_XL.jpg",
        "__MACOSX/1.jpg",
        ".ipynb_checkpoints/1.jpg",
        "._1.jpg",
        "@Recycle/1.jpg",
    )
    root = jpegs(
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
    deep = list_images(jpegs(tmp_path / "c", "cat/1.jpg", "cat/@eaDir/1.jpg", "dog/.thumbnails/1.jpg"))
    assert (deep.paths, deep.classes) == (("cat/1.jpg",), ("cat",))


def test_loose_images_beside_class_folders_are_the_last_class(tmp_path: Path) -> None:
    root = jpegs(tmp_path / "pets", "cat/1.jpg", "zebra/1.jpg", "b.jpg", "y.jpg")
    before = list_images(root / "cat").digest
    found = list_images(root, class_names=("cats", "zebras"))
    assert found.paths == ("b.jpg", "cat/1.jpg", "y.jpg", "zebra/1.jpg")
    assert images_by_class(found) == {"cats": 1, "zebras": 1, "pets": 2}
    assert found.notes == (
        "2 images lie directly in 'pets', beside 2 subfolders with images: scanned as the class 'pets'",
    )
    assert before == list_images(root / "cat").digest


def test_a_flat_folder_with_a_stray_subfolder_is_scanned_whole(tmp_path: Path) -> None:
    found = list_images(jpegs(tmp_path / "photos", "1.jpg", "2.jpg", "3.jpg", "rejected/x.jpg"))
    assert images_by_class(found) == {"rejected": 1, "photos": 3}
    assert "3 images lie directly in 'photos', beside 1 subfolder" in found.notes[0]


def test_a_subfolder_named_like_its_folder_keeps_its_class(tmp_path: Path) -> None:
    found = list_images(jpegs(tmp_path / "pets", "1.jpg", "pets/1.jpg", "pets/2.jpg"))
    assert images_by_class(found) == {"pets": 2, "pets (no subfolder)": 1}


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (
            ("train/cat/1.jpg", "val/cat/1.jpg"),
            "the classes are the subfolders 'train', 'val' of 'set'; to use the subfolders of 'train'",
        ),
        (
            ("Test/1.jpg", "Train/cat/1.jpg"),
            "the classes are the subfolders 'Test', 'Train' of 'set'; to use the subfolders of 'Train'",
        ),
        (
            ("images/cat/1.jpg", "images/dog/1.jpg"),
            "the class is the subfolder 'images' of 'set'; .*'images'",
        ),
        (("cat/1.jpg", "dog/"), "^1 subfolder has no images that are read, and no class: 'dog'$"),
    ],
)
def test_ambiguous_folders_are_reported(tmp_path: Path, files: tuple[str, ...], note: str) -> None:
    (line,) = list_images(jpegs(tmp_path / "set", *files)).notes
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
def test_usual_folders_have_no_notes(tmp_path: Path, files: tuple[str, ...]) -> None:
    root = jpegs(tmp_path / "set", *files)
    (root / "labels").mkdir()
    (root / "labels" / "1.txt").write_text("0 0.5 0.5 1 1")
    assert list_images(root).notes == ()


def test_a_subset_has_no_notes(tmp_path: Path) -> None:
    found = list_images(jpegs(tmp_path / "set", "1.jpg", "2.jpg", "3.heic")).take([1])
    assert (found.paths, found.skipped, found.notes) == (("2.jpg",), (), ())


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 2, 3))\n"
    )
    return jpegs(tmp_path / "photos", "1.jpg", "2.jpg", "sub/3.jpg", "4.heic")


def test_precompute_reports_skipped_images_and_the_store_lists_them(mixed: Path) -> None:
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


def test_lurk_warns_about_skipped_images(mixed: Path) -> None:
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
