"""The fixed subset of tiny-ImageNet, and what is refused."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.datasets.conftest import TRAIN, Site, archive_bytes
from torchlurk.datasets.class_names import read_class_names
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.tiny_imagenet import TinyImageNetSubset, choose_images, fetch_tiny_imagenet
from torchlurk.errors import LurkError

EXPECTED = [
    "n01443537/n01443537_1.JPEG",
    "n01443537/n01443537_2.JPEG",
    "n01443537/n01443537_3.JPEG",
]


def never(*_: object) -> None:
    raise AssertionError("nothing was to be said")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.zip"
    path.write_bytes(archive_bytes())
    return path


@pytest.fixture
def fetch(tmp_path: Path, archive: Path) -> Callable[..., TinyImageNetSubset]:
    def call(**changes: object) -> TinyImageNetSubset:
        options: dict[str, object] = {
            "out": tmp_path / "data" / "tiny",
            "per_class": 3,
            "archive": archive,
            "cache": tmp_path / "cache",
            "report": never,
            "progress": False,
        }
        options.update(changes)
        return fetch_tiny_imagenet(options.pop("out"), **options)  # type: ignore[arg-type]

    return call


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_folder_of_images_is_extracted(tmp_path: Path, fetch: Callable[..., TinyImageNetSubset]) -> None:
    out = tmp_path / "data" / "tiny"
    assert fetch() == TinyImageNetSubset(out, classes=3, images=9, fresh=True)
    found = list_images(out, class_names=read_class_names(out / "classes.txt"))
    assert len(found.paths) == 9
    assert found.classes == ("goldfish, Carassius auratus", "salamander", "n02000000")
    assert (out / "n01443537").is_dir()
    assert [p.name for p in out.parent.iterdir()] == ["tiny"]
    assert (out / found.paths[0]).read_text().startswith("n01443537 ")


def test_the_choice_is_fixed_and_nested(tmp_path: Path, fetch: Callable[..., TinyImageNetSubset]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fetch(out=first)
    fetch(out=second, per_class=5)
    names = {n for n in tree(first) if n.endswith("JPEG")}
    # written down: a change of the order would change everyone's dataset
    assert sorted(n for n in names if n.startswith("n01443537")) == EXPECTED
    assert names < set(tree(second))
    members = [f"{TRAIN}/n01443537/images/n01443537_{i}.JPEG" for i in range(7)]
    assert choose_images(members, 3) == choose_images(members[::-1], 3)


def test_an_earlier_result_is_kept_grown_or_repaired(
    tmp_path: Path, fetch: Callable[..., TinyImageNetSubset]
) -> None:
    out = tmp_path / "data" / "tiny"
    fetch()
    before = tree(out)
    assert fetch(archive=tmp_path / "none.zip") == TinyImageNetSubset(out, 3, 9, fresh=False)
    assert fetch(per_class=4).images == 12
    assert len(tree(out)) == 14
    fetch()
    next(out.glob("n*/*.JPEG")).unlink()
    assert fetch().fresh
    assert tree(out) == before


def test_an_empty_folder_is_filled(tmp_path: Path, fetch: Callable[..., TinyImageNetSubset]) -> None:
    (tmp_path / "data" / "tiny").mkdir(parents=True)
    assert fetch().fresh


@pytest.mark.parametrize("kind", ["file", "photos", "added"])
def test_the_users_own_files_are_never_replaced(
    tmp_path: Path, fetch: Callable[..., TinyImageNetSubset], kind: str
) -> None:
    out = tmp_path / "data" / "tiny"
    if kind == "file":
        out.parent.mkdir()
        out.write_text("mine")
    else:
        if kind == "added":
            fetch()
        mine = out / "n01443537" / "mine.jpg"
        mine.parent.mkdir(parents=True, exist_ok=True)
        mine.write_text("mine")
    before = out.read_bytes() if out.is_file() else tree(out)
    with pytest.raises(LurkError, match="holds other files; choose a new or an empty folder"):
        fetch(per_class=2)
    assert before == (out.read_bytes() if out.is_file() else tree(out))


@pytest.mark.parametrize("per_class", [-1, 0, 501])
def test_per_class_has_bounds(fetch: Callable[..., TinyImageNetSubset], per_class: int) -> None:
    with pytest.raises(
        LurkError, match=f"per_class={per_class}: the archive has 500 images of each class; choose 1 to 500"
    ):
        fetch(per_class=per_class)


def other_layout() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("cifar/train/x.png", "x")
    return buffer.getvalue()


def wrong_crc() -> bytes:
    return archive_bytes().replace(b"n01443537 ", b"n01443537-")  # in every image of that class


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no zip", "cannot be extracted .* not a zip"),
        (archive_bytes()[:3000], "cannot be extracted"),
        (wrong_crc(), "Bad CRC-32"),
        (other_layout(), "is not tiny-ImageNet"),
        (archive_bytes(2), "has 2 images of n01443537; set per_class=2 or fewer"),
        (
            archive_bytes(2, **{f"{TRAIN}/n01443537/images/n01443537_9.JPEG": bytes(2 << 20)}),
            "more",
        ),
        (None, "No such file"),
    ],
)
def test_a_wrong_archive_is_one_line_and_leaves_nothing(
    tmp_path: Path, fetch: Callable[..., TinyImageNetSubset], archive: Path, data: bytes | None, message: str
) -> None:
    archive.unlink()
    if data is not None:
        archive.write_bytes(data)
    with pytest.raises(LurkError, match=message) as caught:
        fetch(per_class=3 if data is None or len(data) < 1 << 20 else 2)
    assert "\n" not in str(caught.value)
    data_folder = tmp_path / "data"
    assert not data_folder.exists() or not list(data_folder.iterdir())


def test_names_that_lead_out_of_the_folder_are_not_extracted(
    tmp_path: Path, fetch: Callable[..., TinyImageNetSubset], archive: Path
) -> None:
    evil = {
        f"{TRAIN}/../../../evil.JPEG": b"x",
        f"{TRAIN}/n01443537/images/../../../../../n01443537_9.JPEG": b"x",
        f"{TRAIN}/n01443537/images/n01629819_9.JPEG": b"x",
        f"{TRAIN}/n01443537/images/n01443537_9.JPEG\n": b"x",
        "/tmp/evil.JPEG": b"x",
    }
    archive.write_bytes(archive_bytes(**evil))
    fetch(per_class=7)
    assert len(tree(tmp_path / "data")) == 21 + 2
    assert not list(tmp_path.rglob("*_9.JPEG*")) + list(tmp_path.rglob("evil*"))


def test_the_archive_is_downloaded_once(
    tmp_path: Path, site: Site, fetch: Callable[..., TinyImageNetSubset]
) -> None:
    said: list[str] = []
    options = {
        "archive": None,
        "report": said.append,
        "url": site.url,
        "sha256": hashlib.sha256(site.data).hexdigest(),
    }
    site.drops = [2000]
    assert fetch(**options).images == 9
    assert fetch(**options, out=tmp_path / "more", per_class=7).images == 21
    assert len(said) == 1
    assert len(site.asked) == 2
