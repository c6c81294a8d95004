"""Hostile texts, damaged files and missing files are reported in place; the rest of the page works."""

import json
import shutil

import pytest
from playwright.sync_api import expect

from .made_up_site import CHAIN, HOSTILE, make_store, served
from .steps import LOADED, heading, search


@pytest.fixture(params=[True, False], ids=["packs", "files"])
def damaged(request, tmp_path):
    """A store, in either format, that the test damages before it is served."""
    layers, edges = [("conv1", 16), CHAIN[2]], [("conv1", "conv3")]
    store = make_store(tmp_path / "store", "chain", layers, edges, packed=request.param)

    class Damaged:
        folder = store

        def serve(self):
            return served([store], tmp_path / "host")

    return Damaged()


def test_hostile_strings_are_shown_as_text(page, site, troubles):
    for view in ["#/hostile", f"#/hostile/{HOSTILE.replace('/', '%2F')} join"]:
        page.goto("about:blank")
        page.goto(site + view)
        page.wait_for_selector(".view")
        assert "<img src=x" in page.inner_text("h1")
    page.locator(".tile").first.click()
    page.wait_for_selector(".view.filter")
    assert "<img src=x" in page.inner_text("figcaption >> nth=1")
    search(page, "<img")
    page.wait_for_selector(".hits a")
    assert page.title() != "owned"
    assert page.locator('img[src="x"]').count() == 0
    assert troubles == []


def test_a_hostile_hash_shows_a_message(page, site):
    for view in [
        "#/<img src=x onerror=alert(1)>",
        "#/chain/%E0%A4%A/9",
        "#/chain/nope",
        "#/chain/conv1/99999",
    ]:
        page.goto("about:blank")
        page.goto(site + view)
        expect(page.locator(".message")).to_be_visible()
        page.click(".message a")
        page.wait_for_selector(".view, .message")


def test_missing_pictures_are_marked(page, damaged):
    shutil.rmtree(damaged.folder / "images")
    with damaged.serve() as url:
        page.goto(f"{url}#/chain/conv1/0")
        expect(page.locator(".missing").first).to_have_text("missing")
        page.locator(".figures").last.scroll_into_view_if_needed()
        expect(page.locator(".figures .missing")).to_have_count(8)
        expect(page.locator(".stat")).to_have_count(5)


def test_a_file_that_is_cut_short_gives_what_is_in_it(page, tmp_path):
    store = make_store(tmp_path / "store", "chain", [("conv1", 16)], [])
    (pack,) = json.loads((store / "layers/conv1.json").read_text())["packs"]["pictures"]
    path = store / pack["path"]
    path.write_bytes(path.read_bytes()[: sum(map(sum, pack["lengths"][:3]))])
    with served([store], tmp_path / "host") as url:
        page.goto(f"{url}#/chain/conv1/2")
        page.wait_for_function(LOADED)
        expect(page.locator(".missing")).to_have_count(0)
        page.click("a[rel=next]")
        heading(page, "Filter 3")
        expect(page.locator(".pair .missing")).to_have_count(8)
        expect(page.locator(".figures .missing")).to_have_count(8)  # the images are whole


def test_a_damaged_layer_file_is_reported(page, damaged):
    (damaged.folder / "layers" / "conv1.json").write_text('{"format": 1, "lay')
    with damaged.serve() as url:
        page.goto(f"{url}#/chain/conv1")
        expect(page.locator(".message")).to_contain_text("not valid JSON")
        page.click("text=One level up")
        page.click(".card[data-layer=conv3]")
        expect(page.locator(".tile")).to_have_count(32)


def test_a_newer_layer_format_is_reported(page, damaged):
    path = damaged.folder / "layers" / "conv1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))
    with damaged.serve() as url:
        page.goto(f"{url}#/chain/conv1")
        expect(page.locator(".message")).to_contain_text("has format 3")


def test_a_failed_request_can_be_retried(page, damaged):
    with damaged.serve() as url:
        page.goto(url)
        page.wait_for_selector(".card")
        page.route("**/layers/*", lambda route: route.abort())
        page.click(".card >> nth=0")
        expect(page.locator(".message")).to_contain_text("connection failed")
        page.unroute("**/layers/*")
        page.click("text=Try again")
        expect(page.locator(".tile")).to_have_count(16)


def test_without_images_json_only_the_paths_are_missing(page, damaged):
    (damaged.folder / "images.json").unlink()
    with damaged.serve() as url:
        page.goto(f"{url}#/chain/conv1/0")
        expect(page.locator(".view .entry")).to_have_count(9)


def test_leaving_a_slow_layer_abandons_it(page, damaged):
    with damaged.serve() as url:
        page.goto(url)
        page.wait_for_selector(".card")
        page.route("**/layers/conv1.json", lambda _: None)  # never answers
        page.click(".card >> nth=0")
        page.wait_for_selector(".skeleton")
        page.go_back()
        page.click(".card >> nth=1")
        heading(page, "conv3")
