import http.client
import json
import os
import re
import socket
from pathlib import Path

import pytest

from torchlurk.errors import LurkError
from torchlurk.runtime.resources import site_folder
from torchlurk.store.schema import STAGES
from torchlurk.web import publish, sizes
from torchlurk.web.publish import SITE_MARKER, build_site
from torchlurk.web.static_server import make_server, serve_in_thread

WAITING = {"complete": False, "config": None}


def manifest_of(name: str, **changes: object) -> str:
    """The manifest of the format document's example, under another name."""
    text = (Path(__file__).parents[2] / "docs/format.md").read_text("utf-8")
    example = json.loads(re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[-1])
    return json.dumps({**example["toy/network.json"], "name": name, "title": name.upper(), **changes})


def make_store(folder: Path, name: str = "toy", **manifest: object) -> Path:
    """A store as far as publishing looks, and some files that do not belong to it."""
    store = folder / name
    files = {
        "network.json": manifest_of(name, **manifest),
        "images.json": "{}",
        "classes.json": "{}",
        "images/0.jpg": "picture",
        "layers/a.json": "{}",
        "cropped/a%20b/0.jpg": "crop",
        "max_activ/a/0.jpg": "made",
        "shards/0.pt": "not to be published",
        "cropped/a%20b/0.jpg.tmp": "nor this",
        "cropped/a%20b/.1.jpg": "nor this",
        "SHA256SUMS": "nor this",
    }
    for path, text in files.items():
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_text(text)
    return store


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "stores")


def test_what_is_written(store, tmp_path):
    out = tmp_path / "a" / "site"
    report = build_site([store], out)
    written = tree(out)
    assert {name for name in written if name.startswith("saved_model/")} == {
        "saved_model/index.json",
        "saved_model/comparisons.json",
        "saved_model/toy/network.json",
        "saved_model/toy/images.json",
        "saved_model/toy/classes.json",
        "saved_model/toy/previews.json",
        "saved_model/toy/images/0.jpg",
        "saved_model/toy/layers/a.json",
        "saved_model/toy/cropped/a%20b/0.jpg",
        "saved_model/toy/max_activ/a/0.jpg",
    }
    assert json.loads(written["saved_model/index.json"]) == {
        "format": 1,
        "networks": [{"name": "toy", "path": "toy", "title": "TOY"}],
    }
    assert json.loads(written["saved_model/comparisons.json"]) == {"comparisons": [], "format": 1}
    assert {"index.html", ".nojekyll", SITE_MARKER, "js/app.js", "css/1-base.css"} <= set(written)
    assert report.total.files == len(written)
    assert report.total.bytes == sum(map(len, written.values()))
    assert report.networks == ("toy",)
    assert report.comparisons == ()
    assert report.warnings == ()
    assert not list(out.parent.glob(".site*"))


def test_first_view_stays_small(store, tmp_path):
    assert build_site([store], tmp_path / "site").first_view_gzip_bytes < 350_000


def test_page_refers_only_to_files_of_the_site(store, tmp_path):
    build_site([store], tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    references = re.findall(r'(?:src|href|data-index)="([^"]+)"', page)
    assert len(references) > 20
    for reference in references:
        if not reference.startswith("#"):
            assert not reference.startswith(("/", "http", "."))
            assert (tmp_path / "site" / reference).is_file(), reference
    assert "default-src &#39;self&#39;" in page
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)


def test_no_other_host_is_fetched_from():
    for path in site_folder().glob("[cj]s/**/*.*s*"):
        for line in path.read_text().splitlines():
            if "//" in line and re.search(r"https?://", line):
                assert "paper(" in line or "w3.org" in line, (path.name, line)


def test_same_input_same_bytes(store, tmp_path):
    build_site([store], tmp_path / "one")
    build_site([store], tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_rebuild_leaves_nothing_stale(store, tmp_path):
    out = tmp_path / "site"
    build_site([store, make_store(tmp_path / "stores", "other")], out)
    (out / "stale.html").write_text("old")
    build_site([store], out)
    assert not (out / "stale.html").exists()
    assert not (out / "saved_model" / "other").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".site")]


def test_pictures_are_linked_where_possible(store, tmp_path):
    build_site([store], tmp_path / "site")
    made = tmp_path / "site" / "saved_model" / "toy" / "images" / "0.jpg"
    assert made.samefile(store / "images" / "0.jpg")


def test_copies_where_links_are_not_possible(store, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    build_site([store], tmp_path / "linked")
    monkeypatch.setattr(os, "link", refuse)
    build_site([store], tmp_path / "copied")
    assert tree(tmp_path / "linked") == tree(tmp_path / "copied")


def test_an_empty_folder_is_taken(store, tmp_path):
    (tmp_path / "site").mkdir()
    build_site([store], tmp_path / "site")
    assert (tmp_path / "site" / "index.html").is_file()


def refused(stores, out) -> str:
    with pytest.raises(LurkError) as caught:
        build_site(stores, out)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_refuses_no_store(tmp_path):
    assert "at least one" in refused([], tmp_path / "site")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "network.json"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (manifest_of("toy", format=2), "has format 2"),
        (manifest_of("../toy"), "cannot be a folder"),
        (manifest_of(""), "cannot be a folder"),
        ('{"format": 1}', "missing required field"),
        (manifest_of("toy", stages=dict.fromkeys(STAGES, WAITING)), "scan is not complete"),
    ],
)
def test_refuses_unreadable_store(store, tmp_path, text, word):
    (store / "network.json").unlink()
    if text is not None:
        (store / "network.json").write_text(text)
    message = refused([store], tmp_path / "site")
    assert str(store) in message
    assert word in message
    assert not (tmp_path / "site").exists()


def test_refuses_two_of_a_name(store, tmp_path):
    other = make_store(tmp_path / "elsewhere")
    message = refused([store, other], tmp_path / "site")
    assert "'toy'" in message
    assert str(other) in message


def test_refuses_to_overwrite_other_things(store, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    assert "neither empty nor an earlier site" in refused([store], mine)
    assert "not a plain folder" in refused([store], mine / "thesis.txt")
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_refuses_to_write_into_a_store_or_around_it(store):
    before = tree(store)
    assert "is inside the store" in refused([store], store / "site")
    assert "contains the store" in refused([store], store.parent)
    assert tree(store) == before


def test_refuses_where_nothing_can_be_written(store, tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused([store], tmp_path / "file" / "site")


def test_a_failed_build_leaves_the_old_site(store, tmp_path, monkeypatch):
    out = tmp_path / "site"
    build_site([store], out)
    before = tree(out)

    def fail(*_):
        raise OSError(28, "No space left on device", "x.jpg")

    monkeypatch.setattr(publish, "_link", fail)
    assert "No space left" in refused([store], out)
    assert tree(out) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".site")]


def test_warns_of_sizes_that_hosts_refuse(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "_MAX_FILE_BYTES", 200_000)
    monkeypatch.setattr(sizes, "_MAX_SITE_BYTES", 200_000)
    warnings = build_site([store], tmp_path / "site").warnings
    assert any("d3.min.js" in warning for warning in warnings)
    assert any("the site has" in warning for warning in warnings)


@pytest.fixture
def served(store, tmp_path):
    """Asks a server of a site: `(status, headers, body)` for a path sent as it is."""
    out = tmp_path / "site"
    build_site([store], out)
    (tmp_path / "secret.txt").write_text("secret")
    (out / "way-out.txt").symlink_to(tmp_path / "secret.txt")
    server = make_server(out, port=0)

    def ask(path: str, method: str = "GET"):
        connection = http.client.HTTPConnection(*server.server_address, timeout=5)
        connection.request(method, path)
        response = connection.getresponse()
        answer = response.status, response.headers, response.read()
        connection.close()
        return answer

    with serve_in_thread(server):
        yield ask


def test_serves_files(served):
    status, headers, body = served("/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-cache"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert b"<main" in body
    status, headers, body = served("/saved_model/toy/cropped/a%2520b/0.jpg?x=1")
    assert (status, headers["Content-Type"], body) == (200, "image/jpeg", b"crop")
    assert served("/js/app.js")[1]["Content-Type"].startswith("text/javascript")


def test_head_has_no_body(served):
    status, headers, body = served("/index.html", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 500


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(served, method):
    assert served("/index.html", method)[0] == 501


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/js/..%2f..%2fsecret.txt",
        "/js/%2e%2e/%2e%2e/secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/..%5csecret.txt",
        "/way-out.txt",
        "/js",
        "/js/",
        "/saved_model/",
        "/nothing.html",
        "/index.html%00.jpg",
        "/%ff",
        "/" + SITE_MARKER,
        "index.html",
    ],
)
def test_what_is_not_in_the_folder_is_not_served(served, path):
    status, _, body = served(path)
    assert status == 404
    assert b"secret" not in body
    assert b"root:" not in body


def test_server_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(LurkError, match="is not a folder"):
        make_server(tmp_path / "nothing")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LurkError, match="another port="):
            make_server(tmp_path, port=taken.getsockname()[1])


def test_the_page_begins_with_the_first_store(tmp_path: Path) -> None:
    stores = [make_store(tmp_path / "stores", name) for name in ("b", "c", "a")]
    build_site(stores, tmp_path / "site")
    index = json.loads((tmp_path / "site/saved_model/index.json").read_text())
    assert [network["name"] for network in index["networks"]] == ["b", "c", "a"]
    with pytest.raises(LurkError, match="distinct names"):
        build_site([*stores, make_store(tmp_path / "others", "b")], tmp_path / "site")


def test_a_link_out_of_a_store_is_not_published(tmp_path):
    store = make_store(tmp_path / "stores")
    (tmp_path / "secret.json").write_text("secret")
    out = tmp_path / "site"
    build_site([store], out)
    before = sorted(out.rglob("*"))
    (store / "layers" / "out.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(LurkError, match=r"layers/out\.json' is a link to a file outside the store"):
        build_site([store], out)
    assert sorted(out.rglob("*")) == before
    (store / "layers" / "out.json").unlink()
    (store / "layers" / "same.json").symlink_to(next((store / "layers").glob("*.json")).name)
    build_site([store], out)
    assert not (out / "saved_model/toy/layers/same.json").is_symlink()
