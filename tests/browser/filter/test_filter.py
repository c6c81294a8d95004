"""The filter view: class bars with images, small inputs, prefetched neighbours."""

import pytest
from playwright.sync_api import expect

from ..made_up_site import CLASSES, make_store, served
from ..steps import LOADED, heading, wait_for

VIEW = "#/chain/conv2/7"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Serve a site whose network takes images of 32 x 32 pixels."""
    store = make_store(tmp_path_factory.mktemp("small"), "tiny", [("conv", 8)], [], side=32)
    with served([store], tmp_path_factory.mktemp("host")) as url:
        yield url


def first_panel(page):
    return page.locator(".panel").first


def test_the_first_class_is_shown_at_once(page, site, troubles):
    page.goto(site + VIEW)
    panel = first_panel(page)
    expect(panel.locator(".gallery-head")).to_contain_text(CLASSES[0])
    expect(panel.locator(".thumb.own")).to_have_count(1)
    expect(panel.locator("[aria-pressed=true]")).to_have_count(1)
    assert troubles == []


def test_pointing_at_a_bar_shows_its_class(page, site, troubles):
    page.goto(site + VIEW)
    panel = first_panel(page)
    panel.locator(".class-bar").nth(2).hover()
    expect(panel.locator(".gallery-head")).to_contain_text(CLASSES[2])
    # The images stay when the pointer moves from the bar to them.
    panel.locator(".thumb").first.hover()
    page.wait_for_timeout(200)
    expect(panel.locator(".gallery-head")).to_be_visible()


def test_keyboard_navigation_of_bars(page, site, troubles):
    page.goto(site + VIEW)
    panel = first_panel(page)
    expect(panel.locator('.class-bar[tabindex="0"]')).to_have_count(1)
    panel.locator(".class-bar").first.focus()
    page.keyboard.press("ArrowDown")
    expect(panel.locator(".gallery-head")).to_contain_text(CLASSES[1])
    page.keyboard.press("End")
    expect(panel.locator(".gallery-head")).to_contain_text(CLASSES[3][:40])
    page.keyboard.press("Escape")
    expect(panel.locator(".thumb")).to_have_count(0)
    heading(page, "Filter 7")
    page.keyboard.press("Enter")
    expect(panel.locator(".gallery-head")).to_contain_text(CLASSES[3][:40])
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    heading(page, "conv2")
    assert troubles == []


def test_tapping_a_bar_shows_its_class(chromium, site):
    context = chromium.new_context(viewport={"width": 360, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(site + VIEW)
    panel = first_panel(page)
    panel.locator(".class-bar").nth(1).tap()
    expect(panel.locator(".gallery-head")).to_contain_text(CLASSES[1])
    expect(panel.locator(".class-bar").nth(1)).to_have_attribute("aria-pressed", "true")
    context.close()


def test_the_gallery_does_not_shift_the_layout(page, site):
    page.goto(site + VIEW)
    panel = first_panel(page)
    expect(panel.locator(".class-bar")).to_have_count(4)
    tall = "document.querySelector('.panel .thumbs').offsetHeight"
    before = page.evaluate(tall)
    panel.locator(".class-bar").nth(2).hover()
    expect(panel.locator(".gallery-head")).to_contain_text(CLASSES[2])
    assert page.evaluate(tall) == pytest.approx(before, abs=4)


def test_neighbours_are_prefetched(page, site, troubles):
    ranges = []
    page.on("request", lambda r: "/pictures/conv2/" in r.url and ranges.append(r.headers["range"]))
    page.goto(site + VIEW)
    wait_for(page, lambda: len(ranges) == 2)  # its own pictures, and those of filter 8
    page.click("a[rel=next]")
    heading(page, "Filter 8")
    page.wait_for_function(LOADED)
    wait_for(page, lambda: len(ranges) == 3)
    page.click("a[rel=prev]")
    heading(page, "Filter 7")
    page.wait_for_function(LOADED)
    page.wait_for_timeout(500)
    assert len(set(ranges)) == len(ranges) == 3
    assert troubles == []


def test_neighbours_are_prefetched_where_pictures_are_files(page, site, troubles):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    with page.expect_request("**/max_grads/conv3/8.jpg"):
        page.goto(f"{site}#/old/conv3/7")
    page.wait_for_load_state("networkidle")
    assert any(url.endswith("/cropped/conv3/6.jpg") for url in fetched)
    assert not any("/conv3/9.jpg" in url for url in fetched)
    assert troubles == []


def test_small_inputs_are_enlarged_and_crisp(page, small, troubles):
    page.goto(f"{small}#/tiny/conv/0")
    image = page.locator(".figures .entry .frame img").first
    expect(image).to_have_class("pixels")
    assert image.evaluate("(e) => getComputedStyle(e).imageRendering") == "pixelated"
    assert image.bounding_box()["width"] > 120
    page.goto(f"{small}#/tiny/conv?tile=image")
    tile = page.locator(".tile img").first
    expect(tile).to_be_visible()
    expect(tile).to_have_class("whole pixels")
    assert troubles == []
