"""`build_site`: what it writes, what it leaves out, and what it rejects."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.helpers import refusal
from tests.unit.web.stores import make_store, manifest_of, tree
from torchlurk.errors import LurkError
from torchlurk.runtime.resources import site_folder
from torchlurk.store.schema import STAGES
from torchlurk.web import publish, sizes
from torchlurk.web.page import static_files
from torchlurk.web.publish import SITE_MARKER, build_site

WAITING = {"complete": False, "config": None}


def test_a_site_has_the_files_of_the_format_and_the_page(store, tmp_path):
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
        "saved_model/toy/previews.bin",
        "saved_model/toy/images/0.0123456789ab.bin",
        "saved_model/toy/circuits/a.json",
        "saved_model/toy/layers/a.json",
        "saved_model/toy/pictures/a%20b/0.0123456789ab.bin",
        "saved_model/toy/thumbs/a/max_activ-64.0123456789ab.bin",
        "saved_model/toy/images/0.jpg",
        "saved_model/toy/cropped/a%20b/0.jpg",
    }
    assert json.loads(written["saved_model/index.json"]) == {
        "format": 2,
        "networks": [{"name": "toy", "path": "toy", "title": "TOY"}],
    }
    assert json.loads(written["saved_model/comparisons.json"]) == {"comparisons": [], "format": 2}
    page = {"index.html", "dist/app.css", "dist/app.js", "js/theme.js", "mark.svg"}
    assert {name for name in written if "saved_model" not in name} == {*page, ".nojekyll", SITE_MARKER}
    assert set(static_files(site_folder())) == page - {"index.html"}
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
    assert {"dist/app.css", "js/theme.js", "dist/app.js", "mark.svg"} <= set(references)
    for reference in references:
        if not reference.startswith(("#", "data:image/svg+xml;base64,")):
            assert not reference.startswith(("/", "http", "."))
            assert (tmp_path / "site" / reference).is_file(), reference
    assert "default-src &#39;self&#39;" in page
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)


def test_the_page_loads_nothing_from_other_hosts():
    for path in site_folder().glob("[cj]s/**/*.*s*"):
        for line in path.read_text().splitlines():
            if "//" in line and re.search(r"https?://", line):
                assert "externalLink(" in line or "w3.org" in line, (path.name, line)


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
    made = tmp_path / "site" / "saved_model" / "toy" / "images" / "0.0123456789ab.bin"
    assert made.samefile(store / "images" / "0.0123456789ab.bin")


def test_a_store_that_grows_meanwhile_is_published_with_the_packs_that_its_json_names(
    store, tmp_path, monkeypatch
):
    pack, link = store / "images/0.0123456789ab.bin", publish._link

    def growing(source, target):
        if source == pack and not (store / "images/0.abcdef012345.bin").exists():
            pack.unlink()
            (store / "images/0.abcdef012345.bin").write_text("new")
            (store / "images.json").write_text('{"format":2,"images":{},"packs":[]}')
        link(source, target)

    monkeypatch.setattr(publish, "_link", growing)
    build_site([store], tmp_path / "site")
    published = tmp_path / "site/saved_model/toy"
    assert (published / "images/0.abcdef012345.bin").read_text() == "new"
    assert "format" in (published / "images.json").read_text()


def test_copies_where_links_are_not_possible(store, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    build_site([store], tmp_path / "linked")
    monkeypatch.setattr(os, "link", refuse)
    build_site([store], tmp_path / "copied")
    assert tree(tmp_path / "linked") == tree(tmp_path / "copied")


def test_a_site_may_be_written_to_an_empty_folder(store, tmp_path):
    (tmp_path / "site").mkdir()
    build_site([store], tmp_path / "site")
    assert (tmp_path / "site" / "index.html").is_file()


def test_no_store_is_rejected(tmp_path):
    assert "at least one" in refusal(lambda: build_site([], tmp_path / "site"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "network.json"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (manifest_of("toy", format=3), "has format 3"),
        (manifest_of("../toy"), "cannot be a folder"),
        (manifest_of(""), "cannot be a folder"),
        ('{"format": 1}', "missing required field"),
        (manifest_of("toy", stages=dict.fromkeys(STAGES, WAITING)), "scan is not complete"),
    ],
)
def test_an_unreadable_store_is_rejected(store, tmp_path, text, word):
    (store / "network.json").unlink()
    if text is not None:
        (store / "network.json").write_text(text)
    message = refusal(lambda: build_site([store], tmp_path / "site"))
    assert str(store) in message
    assert word in message
    assert not (tmp_path / "site").exists()


def test_two_stores_of_one_name_are_rejected(store, tmp_path):
    other = make_store(tmp_path / "elsewhere")
    message = refusal(lambda: build_site([store, other], tmp_path / "site"))
    assert "'toy'" in message
    assert str(other) in message


def test_other_files_are_not_overwritten(store, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    assert "neither empty nor an earlier site" in refusal(lambda: build_site([store], mine))
    assert "not a plain folder" in refusal(lambda: build_site([store], mine / "thesis.txt"))
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_site_is_not_written_into_a_store_or_around_it(store):
    before = tree(store)
    assert "is inside the store" in refusal(lambda: build_site([store], store / "site"))
    assert "contains the store" in refusal(lambda: build_site([store], store.parent))
    assert tree(store) == before


def test_an_unwritable_folder_is_rejected(store, tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(lambda: build_site([store], tmp_path / "file" / "site"))


def test_a_failed_build_leaves_the_old_site(store, tmp_path, monkeypatch):
    out = tmp_path / "site"
    build_site([store], out)
    before = tree(out)

    def fail(*_):
        raise OSError(28, "No space left on device", "x.jpg")

    monkeypatch.setattr(publish, "_link", fail)
    assert "No space left" in refusal(lambda: build_site([store], out))
    assert tree(out) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".site")]


def test_warns_of_sizes_that_hosts_refuse(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "_MAX_FILE_BYTES", 200_000)
    monkeypatch.setattr(sizes, "_MAX_SITE_BYTES", 200_000)
    warnings = build_site([store], tmp_path / "site").warnings
    assert any("dist/app.js" in warning for warning in warnings)
    assert any("the site has" in warning for warning in warnings)


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
