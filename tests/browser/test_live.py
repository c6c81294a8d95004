"""Pages of stores that are written while the page is open."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from torchlurk.web.live_server import LiveServer

from .growing_store import LAYERS, Growing
from .steps import heading

WAIT = 12_000
"""Milliseconds: a page polls every two seconds, and a busy browser may take longer."""


@pytest.fixture(params=[True, False], ids=["packs", "files"])
def growing(request, tmp_path):
    return Growing(tmp_path, packed=request.param)


GRADIENTS = ("cropped", "max_grads", "cropped_grad", "avg_grads")
ALL = (*GRADIENTS, "max_activ")


def expect_loaded(page, selector: str, count: int) -> None:
    """Check that `count` pictures are present and loaded."""
    expect(page.locator(selector)).to_have_count(count, timeout=WAIT)
    page.wait_for_function(
        "selector => [...document.querySelectorAll(selector)].every(i => i.complete && i.naturalWidth > 0)",
        arg=selector,
    )


def test_the_page_shows_a_store_as_it_is_written(page, growing, troubles):
    with LiveServer([growing.store]) as server:
        page.goto(server.url)
        page.evaluate("window.kept = true")
        status = page.locator(".live [role=status]")
        expect(status).to_have_text("Waiting for the first results of toy")
        expect(page.locator(".message")).to_contain_text("Not there yet")

        growing.stages()
        growing.progress("scan", "image", 120, 1234)
        expect(page.locator(".card")).to_have_count(4, timeout=WAIT)
        expect(status).to_have_text("Scanning the images")
        expect(page.locator(".live-detail")).to_have_text("120 of 1234 images")
        assert page.locator(".card img").count() == 0

        page.click(".card[data-layer=conv3]")
        expect(page.locator(".message")).to_contain_text("This layer is not computed yet")
        page.go_back()

        growing.pictures("cropped", "images")
        growing.file("images.json")
        growing.layer("conv1", "cropped")
        growing.layer("conv2", "cropped")
        expect_loaded(page, ".card img", 16)
        page.click(".card[data-layer=conv3]")
        expect(page.locator(".message")).to_be_visible()

        growing.layer("conv3", "cropped")
        expect_loaded(page, ".tile img", 8)
        growing.layer("fc", "cropped")
        growing.file("classes.json")
        growing.stages("scan")
        growing.progress("max gradients", "filter", 3, 52)
        expect(status).to_have_text("Computing gradients of the strongest units", timeout=WAIT)
        page.click(".tile >> nth=2")
        heading(page, "Filter 2")
        expect(page.locator(".pair img")).to_have_count(4)

        growing.pictures(*GRADIENTS)
        for name, _ in LAYERS:
            growing.layer(name, *GRADIENTS)
        expect_loaded(page, ".pair img", 8)
        growing.progress("ascent", "filter", 51, 52)
        expect(status).to_have_text("Making filter images", timeout=WAIT)
        growing.pictures(*ALL)
        for name, _ in LAYERS:
            growing.layer(name, *ALL)
        growing.stages("scan", "circuits", "gradients", "ascent")
        (growing.store / "progress.json").unlink()
        expect(page.locator(".filter-image img")).to_have_count(1, timeout=WAIT)
        expect(status).to_have_text("All is computed", timeout=WAIT)

        # A page loads the pictures of the next filters when it has nothing else to do.
        requests = []
        page.on("request", lambda r: r.url.endswith((".jpg", ".bin")) or requests.append(r.url))
        page.wait_for_timeout(3000)
        assert requests == []
        assert page.evaluate("window.kept")
    assert troubles == []


def test_a_layer_without_crops_shows_its_best_images(page, growing, troubles):
    growing.stages("scan")
    growing.pictures("cropped", "images")
    growing.file("images.json")
    for name, _ in LAYERS:
        growing.layer(name, "cropped")
    with LiveServer([growing.store]) as server:
        page.goto(server.url)
        expect_loaded(page, ".card[data-layer=fc] img[data-picture*='/image']", 4)
        expect_loaded(page, ".card[data-layer=conv1] img[data-picture*='/cropped']", 8)
    assert troubles == []


def test_updates_keep_scroll_position_and_focus(page, growing, troubles):
    growing.pictures(*ALL, "images")
    for name in ("images.json", "classes.json"):
        growing.file(name)
    for name, _ in LAYERS:
        growing.layer(name, "cropped")
    growing.stages("scan")
    with LiveServer([growing.store]) as server:
        page.set_viewport_size({"width": 700, "height": 500})
        page.goto(f"{server.url}#/toy/conv2?sort=selectivity")
        page.wait_for_selector(".view .tile")
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        expect(page.locator(".tile")).to_have_count(24)
        page.locator(".tile").nth(17).focus()
        page.wait_for_function("() => document.activeElement.querySelector('img')?.naturalWidth > 0")
        before = page.evaluate("[scrollY, document.activeElement.href]")
        assert before[0] > 100
        page.evaluate("window.picture = document.activeElement.querySelector('img')")
        growing.layer("conv2", *ALL)
        expect(page.locator(".choice:text-is('Filter image')")).to_be_visible(timeout=WAIT)
        assert page.evaluate("[scrollY, document.activeElement.href]") == before
        assert page.evaluate("window.picture.isConnected")  # the picture is never replaced
    assert troubles == []


def test_a_hidden_page_sends_no_requests(page, growing):
    growing.stages()
    with LiveServer([growing.store]) as server:
        page.goto(server.url)
        page.wait_for_selector(".card")
        hide = """value => {
            Object.defineProperty(document, "hidden", { value, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        page.evaluate(hide, True)
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        page.wait_for_timeout(2600)
        assert requests == []
        with page.expect_request("**/live.json"):
            page.evaluate(hide, False)


def test_an_unreachable_server_is_reported(page, growing):
    growing.stages()
    with LiveServer([growing.store]) as server:
        page.goto(server.url)
        page.wait_for_selector(".card")
    expect(page.locator(".live [role=status]")).to_have_text("The server does not answer", timeout=WAIT)
    expect(page.locator(".card")).to_have_count(4)


def test_a_static_site_does_not_poll(page, site):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(site)
    page.wait_for_selector(".card")
    page.wait_for_timeout(2600)
    assert page.locator(".live").count() == 0
    assert not [url for url in requests if "live.json" in url]


@pytest.mark.parametrize("width", [1280, 360])
def test_the_status_bar_fits_the_page(page, growing, width):
    growing.stages()
    growing.progress("scan", "image", 12, 1234)
    with LiveServer([growing.store]) as server:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(server.url)
        page.wait_for_selector(".card")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".live").bounding_box()
        assert box["y"] + box["height"] == pytest.approx(800, abs=1)
        assert box["height"] < 60
