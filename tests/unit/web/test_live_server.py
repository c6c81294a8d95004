"""The live server: what it serves, and when it ends."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import torchlurk
from tests.unit.web.stores import Ask, asking, make_store
from torchlurk.errors import LurkError
from torchlurk.web.live_server import LiveServer
from torchlurk.web.publish import SITE_MARKER


@pytest.fixture
def ask(store: Path, tmp_path: Path) -> Iterator[Ask]:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.json").write_text("secret")
    (store / "layers" / "out.json").symlink_to(tmp_path / "secret.json")
    (store / "pictures" / "away").symlink_to(tmp_path)
    (store / "cropped" / "away").symlink_to(tmp_path)
    for name in ("0.jpg", "0.0123456789ab.bin"):
        (tmp_path / name).write_text("secret")
    (store / "images" / "7.jpg").symlink_to(store / "images" / "7.jpg")
    with LiveServer([store]) as server:
        yield asking(server)


def test_it_serves_the_page_and_the_current_files(ask: Ask, store: Path) -> None:
    status, headers, body = ask("/")
    assert status == 200
    assert b'data-live="saved_model/live.json"' in body
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert ask("/dist/app.js")[1]["Content-Type"].startswith("text/javascript")
    assert ask("/saved_model/toy/images/0.0123456789ab.bin")[2] == b"picture"
    assert ask("/saved_model/toy/pictures/a%2520b/0.0123456789ab.bin")[2] == b"crop"
    assert ask("/saved_model/toy/thumbs/a/max_activ-64.0123456789ab.bin")[2] == b"made"
    assert ask("/saved_model/toy/circuits/a.json")[2] == b"{}"
    assert ask("/saved_model/toy/images/0.jpg")[2] == b"old picture"
    assert ask("/saved_model/toy/cropped/a%2520b/0.jpg")[2] == b"old crop"
    (store / "images" / "32.abcdef012345.bin").write_text("new")
    assert ask("/saved_model/toy/images/32.abcdef012345.bin")[2] == b"new"
    assert json.loads(ask("/saved_model/index.json")[2]) == {
        "format": 2,
        "networks": [{"name": "toy", "path": "toy", "title": "TOY"}],
    }


def test_a_range_of_a_pack_is_served(ask: Ask) -> None:
    path = "/saved_model/toy/pictures/a%2520b/0.0123456789ab.bin"
    status, headers, body = ask(path, Range="bytes=1-2")
    assert (status, body) == (206, b"ro")
    assert headers["Content-Range"] == "bytes 1-2/4"
    assert headers["Content-Type"] == "application/octet-stream"


def test_head_has_no_body(ask: Ask) -> None:
    status, headers, body = ask("/", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 500


def test_an_unchanged_file_is_not_sent_again(ask: Ask, store: Path) -> None:
    for path in ("/saved_model/live.json", "/saved_model/toy/images/0.jpg"):
        tag = ask(path)[1]["ETag"]
        status, headers, body = ask(path, If_None_Match=tag)
        assert (status, body, headers["ETag"]) == (304, b"", tag)
    (store / "images" / "0.jpg").write_text("another")
    assert ask("/saved_model/toy/images/0.jpg", If_None_Match=tag)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(ask: Ask, method: str) -> None:
    assert ask("/", method)[0] == 501


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/saved_model/../secret.txt",
        "/saved_model/toy/../../secret.txt",
        "/saved_model/toy/%2e%2e/%2e%2e/secret.txt",
        "/saved_model/toy/..%2f..%2fsecret.txt",
        "/saved_model/toy/images/..%2f..%2f..%2fsecret.txt",
        "/saved_model/toy/..%5c..%5csecret.txt",
        "/saved_model/toy//etc/passwd",
        "/saved_model/toy/%2fetc%2fpasswd",
        "//etc/passwd",
        "/etc/passwd",
        "/saved_model/toy/layers/out.json",
        "/saved_model/toy/pictures/away/0.0123456789ab.bin",
        "/saved_model/toy/cropped/away/0.jpg",
        "/saved_model/toy/pictures/a%2520b/.16.0123456789ab.bin",
        "/saved_model/toy/pictures/a%2520b/0.0123456789ab.bin.tmp",
        "/saved_model/toy/partial/crops/a/00000-0.block",
        "/saved_model/toy/images/7.jpg",
        "/saved_model/toy/SHA256SUMS",
        "/saved_model/toy/shards/0.pt",
        "/saved_model/toy/progress.json",
        "/saved_model/toy/images/0.jpg%00",
        "/saved_model/toy/images/",
        "/saved_model/toy/",
        "/saved_model/toy",
        "/saved_model/",
        "/saved_model/%74oy/.hidden",
        "/saved_model/nobody/network.json",
        "/js/",
        "/js/../../pyproject.toml",
        "/" + SITE_MARKER,
        "/" + "a" * 5000,
        "/%ff",
        "index.html",
        "http://127.0.0.1/../secret.txt",
    ],
)
def test_files_outside_the_stores_are_not_served(ask: Ask, path: str) -> None:
    status, _, body = ask(path)
    assert status == 404
    assert b"secret" not in body
    assert b"root:" not in body


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ([], "no store"),
        (["a/toy", "b/toy"], "same folder name"),
        (["file"], "not a folder"),
        (["."], "folder of stores"),
    ],
)
def test_folders_that_cannot_be_served_are_rejected(tmp_path: Path, names: list[str], word: str) -> None:
    make_store(tmp_path, "real")
    (tmp_path / "file").write_text("")
    with pytest.raises(LurkError, match=word) as caught:
        LiveServer([tmp_path / name for name in names])
    assert "\n" not in str(caught.value)


def test_it_starts_and_stops(store: Path) -> None:
    server = torchlurk.LiveServer([store])
    assert server.url == ""
    url = server.start()
    assert server.start() == url == server.url
    assert url.startswith("http://127.0.0.1:")
    assert asking(server)("/")[0] == 200
    with pytest.raises(LurkError, match="cannot listen"):
        LiveServer([store], port=int(url.rstrip("/").rpartition(":")[2])).start()
    server.close()
    server.close()
    assert server.url == ""


def test_closing_ends_open_connections(store: Path) -> None:
    server = LiveServer([store])
    connection = http.client.HTTPConnection(server.start().removeprefix("http://").rstrip("/"), timeout=5)
    connection.request("GET", "/saved_model/toy/images/0.jpg")
    assert connection.getresponse().read() == b"old picture"
    server.close()

    def again() -> None:
        connection.request("GET", "/saved_model/toy/images/0.jpg")
        connection.getresponse()

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        again()
    connection.close()
