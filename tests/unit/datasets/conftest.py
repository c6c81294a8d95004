"""Images and folders that several tests of data sets use."""

from __future__ import annotations

import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NAMES = (
    "tench", "goldfish", "shark", "ray", "cock", "hen", "ostrich", "finch", "junco", "robin", "jay", "magpie",
)  # fmt: skip
"""Twelve class names: more than ten, so that the order of numbers and of texts differs."""


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of 6 and 5 images, of which "b/02.jpg" and "b/03.jpg" are bad."""
    root = tmp_path / "pets"
    for name, count in (("a", 6), ("b", 5)):
        (root / name).mkdir(parents=True)
        for index in range(count):
            noise(index).save(root / name / f"{index:02}.jpg")
    (root / "b" / "02.jpg").write_text("no image")
    (root / "b" / "03.jpg").write_bytes(b"")
    return root


def noise(seed: int, width: int = 60, height: int = 47) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def pictures(folder: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (20 * index, 80, 200)).save(folder / name)
    return folder


def picture(mode: str = "RGB", side: int = 40) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def jpegs(root: Path, *files: str) -> Path:
    """Files that hold JPEGs, whatever their names; one that ends in a slash is an empty folder."""
    for index, file in enumerate(files):
        path = root / file
        if file.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (30, 24), (20 * index, 99, 200)).save(path, "JPEG")
    return root


WNIDS = ("n01443537", "n01629819", "n02000000")

TRAIN = "tiny-imagenet-200/train"


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
