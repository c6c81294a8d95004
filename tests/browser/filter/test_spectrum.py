"""The images of a filter from the lowest to the highest response, below the histogram."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from ..axe import assert_no_faults
from ..steps import LOADED, visit

FILTER = "#/chain/conv3/7"


def open_strip(page, address):
    """Open a filter page, scroll to the strip, and wait until it is read."""
    visit(page, address)
    page.locator(".spectrum-body").scroll_into_view_if_needed()
    expect(page.locator(".spectrum-body[aria-busy]")).to_have_count(0)


def test_images_are_read_when_they_come_near(page, site, troubles):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    page.set_viewport_size({"width": 800, "height": 500})
    visit(page, site + FILTER)
    page.wait_for_load_state("networkidle")
    assert not any("/spectrum/" in url for url in fetched)
    open_strip(page, site + FILTER)
    page.wait_for_function(LOADED)
    assert [url.rpartition("/")[2] for url in fetched if "/spectrum/" in url] == ["conv3.json"]
    names = page.locator(".spectrum-name").all_inner_texts()
    assert names == ["minimum", "5\u00a0%", "25\u00a0%", "median", "75\u00a0%", "95\u00a0%"]
    expect(page.locator(".spectrum .thumb img")).to_have_count(12)
    scores = page.locator(".spectrum figcaption").all_inner_texts()
    assert scores[:4] == ["−2.00", "−1.75", "−1.00", "−0.750"]


def test_a_bin_of_the_histogram_highlights_its_images(page, site, troubles):
    open_strip(page, site + FILTER)
    texts = page.locator(".responses .bin").evaluate_all(
        "bars => bars.map(bar => bar.getAttribute('aria-label'))"
    )
    at = next(i for i, text in enumerate(texts) if text.startswith("1.00 to 2.00"))
    page.locator(".responses .bin").nth(at).dispatch_event("pointerover")
    lit = page.locator(".spectrum .in-bin figcaption")
    assert [1 <= float(text) < 2 for text in lit.all_inner_texts()] == [True] * 2
    expect(page.locator(".spectrum-body.marked")).to_have_count(1)
    page.locator(".responses .bin").first.dispatch_event("pointerover")
    expect(page.locator(".spectrum-body.marked")).to_have_count(0)


@pytest.mark.parametrize("text", ["", "{", '{"format":2,"layer":"conv3","quantiles":[0],"filters":[]}'])
def test_a_damaged_file_leaves_the_rest_of_the_page(page, site, text):
    page.route("**/spectrum/conv3.json", lambda route: route.fulfill(body=text))
    open_strip(page, site + FILTER)
    expect(page.locator(".spectrum-body")).to_contain_text("cannot be shown")
    expect(page.locator(".responses .bin").first).to_be_visible()


def test_a_store_without_spectra_has_no_strip(page, site, troubles):
    manifest = None

    def without(route):
        nonlocal manifest
        manifest = route.fetch().json()
        del manifest["spectra"]
        route.fulfill(json=manifest)

    page.route("**/chain/network.json", without)
    visit(page, site + FILTER)
    expect(page.locator(".responses .bin").first).to_be_visible()
    expect(page.locator(".spectrum-body")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_strip_has_no_violations(page, site, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    open_strip(page, site + FILTER)
    assert_no_faults(page)
