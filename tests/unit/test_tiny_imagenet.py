"""tiny-ImageNet: the fixed subset, what is refused, and a download that breaks off."""

import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from torchlurk.datasets.class_names import read_class_names
from torchlurk.datasets.download import download
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.tiny_imagenet import TinyImageNetSubset, choose_images, fetch_tiny_imagenet
from torchlurk.errors import LurkError

EXPECTED = [
    "n01443537/n01443537_1.JPEG",
    "n01443537/n01443537_2.JPEG",
    "n01443537/n01443537_3.JPEG",
]
WNIDS = ("n01443537", "n01629819", "n02000000")
TRAIN = "tiny-imagenet-200/train"


def never(*_: object) -> None:
    raise AssertionError("nothing was to be said")


def archive_bytes(per_class: int = 7, **more: bytes) -> bytes:
    """An archive of Stanford's layout; the images are their own names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as out:
        out.writestr("tiny-imagenet-200/wnids.txt", "\n".join(WNIDS))
        out.writestr(
            "tiny-imagenet-200/words.txt",
            "n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\nn01629819\tsalamander\n",
        )
        for wnid in reversed(WNIDS):
            out.writestr(f"{TRAIN}/{wnid}/{wnid}_boxes.txt", "boxes")
            for index in reversed(range(per_class)):
                out.writestr(f"{TRAIN}/{wnid}/images/{wnid}_{index}.JPEG", f"{wnid} {index}" * 50)
        out.writestr("tiny-imagenet-200/val/images/val_0.JPEG", "val")
        out.writestr("tiny-imagenet-200/test/images/test_0.JPEG", "test")
        for name, data in more.items():
            out.writestr(name, data)
    return buffer.getvalue()


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
            "say": never,
            "progress": False,
        }
        options.update(changes)
        return fetch_tiny_imagenet(options.pop("out"), **options)  # type: ignore[arg-type]

    return call


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


# the subset


def test_unpacks_a_folder_of_images(tmp_path: Path, fetch: Callable[..., TinyImageNetSubset]) -> None:
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


def test_an_earlier_result_is_kept_grown_or_mended(
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


def test_an_empty_folder_will_do(tmp_path: Path, fetch: Callable[..., TinyImageNetSubset]) -> None:
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
    with pytest.raises(LurkError, match="holds other files: give a new or an empty folder"):
        fetch(per_class=2)
    assert before == (out.read_bytes() if out.is_file() else tree(out))


@pytest.mark.parametrize("per_class", [-1, 0, 501])
def test_per_class_has_bounds(fetch: Callable[..., TinyImageNetSubset], per_class: int) -> None:
    with pytest.raises(LurkError, match=f"--per-class {per_class}: the archive has 1 to 500"):
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
        (b"no zip", "cannot be unpacked .* not a zip"),
        (archive_bytes()[:3000], "cannot be unpacked"),
        (wrong_crc(), "Bad CRC-32"),
        (other_layout(), "is not tiny-ImageNet"),
        (archive_bytes(2), "has 2 images of n01443537: give --per-class 2 or fewer"),
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


def test_names_that_lead_out_stay_in_the_archive(
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


# the download


@dataclass
class Site:
    """A host whose misbehaviour the test sets."""

    data: bytes
    drops: list[int] = field(default_factory=list)  # bytes after which each answer breaks off
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site(archive_bytes())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if not state.ranges:
                start, wanted = 0, None
            if self.path != "/tiny.zip":
                self.send_error(404)
                return
            if wanted and start >= len(state.data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.data)}")
                self.end_headers()
                return
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(state.data) - start))
            self.end_headers()
            drop = state.drops.pop(0) if state.drops else len(state.data)
            self.wfile.write(state.data[start : start + drop])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/tiny.zip"
        yield state
        server.shutdown()
        thread.join()


def get(site: Site, path: Path, sha256: str = "") -> None:
    sha256 = sha256 or hashlib.sha256(site.data).hexdigest()
    download(
        site.url, path, sha256=sha256, advice="do else", progress=False, timeout_s=5, sleep=lambda _: None
    )


def test_downloads_whole(tmp_path: Path, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    sha256 = hashlib.sha256(site.data).hexdigest()
    download(site.url, tmp_path / "new" / "x", sha256=sha256, advice="", progress=True)
    assert tree(tmp_path) == {"new/x": site.data}
    assert site.asked == [None]
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err


def test_goes_on_where_it_broke_off(tmp_path: Path, site: Site) -> None:
    site.drops = [1000, 500]
    get(site, tmp_path / "x")
    assert tree(tmp_path) == {"x": site.data}
    assert site.asked == [None, "bytes=1000-", "bytes=1500-"]


def test_goes_on_in_a_later_call(tmp_path: Path, site: Site) -> None:
    site.drops = [1000, 0, 0, 0, 0, 0]
    with pytest.raises(LurkError, match="1,000 bytes are here: run it again to go on"):
        get(site, tmp_path / "x")
    assert tree(tmp_path) == {"x.part": site.data[:1000]}
    site.drops, site.asked = [], []
    get(site, tmp_path / "x")
    assert site.asked == ["bytes=1000-"]
    assert tree(tmp_path) == {"x": site.data}


def test_a_host_without_ranges_starts_anew(tmp_path: Path, site: Site) -> None:
    site.ranges, site.drops = False, [1000]
    get(site, tmp_path / "x")
    assert tree(tmp_path) == {"x": site.data}


@pytest.mark.parametrize("surplus", [0, 7])
def test_a_part_that_is_complete_or_too_long(tmp_path: Path, site: Site, surplus: int) -> None:
    (tmp_path / "x.part").write_bytes(site.data + bytes(surplus))
    get(site, tmp_path / "x")
    assert tree(tmp_path) == {"x": site.data}


def test_another_file_is_refused_and_not_kept(tmp_path: Path, site: Site) -> None:
    with pytest.raises(LurkError, match="it is another file now; do else"):
        get(site, tmp_path / "x", sha256="0" * 64)
    assert tree(tmp_path) == {}


def test_a_host_out_of_reach_is_one_line(tmp_path: Path, site: Site) -> None:
    site.url = site.url.replace("tiny.zip", "gone.zip")
    with pytest.raises(LurkError, match=r"gone\.zip cannot be fetched \(HTTP Error 404.*do else"):
        get(site, tmp_path / "x")
    site.url = "http://127.0.0.1:1/x.zip"
    with pytest.raises(LurkError, match=r"x\.zip cannot be fetched \(.*refused"):
        get(site, tmp_path / "x")


def test_the_command_downloads_once(
    tmp_path: Path, site: Site, fetch: Callable[..., TinyImageNetSubset]
) -> None:
    said: list[str] = []
    options = {
        "archive": None,
        "say": said.append,
        "url": site.url,
        "sha256": hashlib.sha256(site.data).hexdigest(),
    }
    site.drops = [2000]
    assert fetch(**options).images == 9
    assert fetch(**options, out=tmp_path / "more", per_class=7).images == 21
    assert len(said) == 1
    assert len(site.asked) == 2
