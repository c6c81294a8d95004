"""The network view with many branches: a map with pan, zoom and a minimap."""

from itertools import combinations

import pytest
from playwright.sync_api import expect

from ..steps import heading

SCALE = "() => new DOMMatrix(getComputedStyle(document.querySelector('.world')).transform).a"
PLACE = "() => getComputedStyle(document.querySelector('.world')).transform"
INSIDE = """(card) => {
    const [a, b] = [card.getBoundingClientRect(), document.querySelector('.graph').getBoundingClientRect()];
    return a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom
        && a.top >= 0 && a.bottom <= innerHeight;
}"""


@pytest.fixture
def residual(page, site):
    page.emulate_media(reduced_motion="reduce")  # disables animations
    page.goto(f"{site}#/residual")
    expect(page.locator(".graph.map")).to_be_visible()
    page.locator(".graph").evaluate("(e) => scrollTo(0, e.getBoundingClientRect().top + scrollY - 180)")
    page.wait_for_timeout(400)
    return page


def middle(page, selector):
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def whole(page):
    page.click("[aria-label^='Show the whole']")
    expect(page.locator(".minimap")).to_be_hidden()


def test_zoom_and_pan_by_mouse(residual, troubles):
    page = residual
    expect(page.locator(".card")).to_have_count(70)
    whole(page)
    least = page.evaluate(SCALE)
    page.wait_for_timeout(400)  # a click may have scrolled the page
    page.mouse.move(*middle(page, ".graph"))
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"() => ({SCALE})() > {least * 1.2}")
    expect(page.locator(".minimap")).to_be_visible()
    before = page.evaluate(SCALE)
    page.click("[aria-label^='Zoom in']")
    assert page.evaluate(SCALE) == pytest.approx(before * 1.5, rel=1e-4)
    page.click("[aria-label^='Zoom out']")
    assert page.evaluate(SCALE) == pytest.approx(before, rel=1e-4)
    at, url = page.evaluate(PLACE), page.url
    page.mouse.move(*middle(page, ".graph"))
    page.mouse.down()
    page.mouse.move(500, 500, steps=4)
    page.mouse.up()
    assert page.evaluate(PLACE) != at
    assert page.url == url  # a drag that starts or ends on a card does not open it
    whole(page)
    assert page.evaluate(SCALE) == pytest.approx(least, rel=1e-4)
    assert troubles == []


def test_the_first_visit_shows_the_whole_network(page, site, troubles):
    page.goto(f"{site}#/residual")
    expect(page.locator(".graph.map")).to_be_visible()
    expect(page.locator(".minimap")).to_be_hidden()
    out = page.evaluate(
        """() => {
            const room = document.querySelector('.graph').getBoundingClientRect();
            return [...document.querySelectorAll('.card')].filter((card) => {
                const box = card.getBoundingClientRect();
                const across = box.left < room.left || box.right > room.right;
                return across || box.top < room.top || box.bottom > room.bottom;
            }).map((card) => card.dataset.layer);
        }"""
    )
    assert out == []
    assert troubles == []


def test_the_minimap_moves_the_view(residual, troubles):
    page = residual
    page.click("[aria-label^='Zoom in']")
    small = page.locator(".minimap")
    expect(small.locator(".minimap-cards rect")).to_have_count(70)
    box = small.bounding_box()
    corner = box["x"] + box["width"] - 12, box["y"] + 12
    page.mouse.click(*corner)
    expect(page.locator(".card[data-layer=stem]")).not_to_be_in_viewport()
    page.mouse.move(*corner)
    page.mouse.down()
    page.mouse.move(*middle(page, ".minimap-cards rect >> nth=69"), steps=3)
    page.mouse.up()
    expect(page.locator(".card[data-layer=head]")).to_be_in_viewport()
    expect(page.locator(".card[data-layer=stem]")).not_to_be_in_viewport()
    assert troubles == []


def test_zoom_and_pan_by_keyboard(residual, troubles):
    page = residual
    page.locator(".card").first.focus()
    page.keyboard.press("0")
    least = page.evaluate(SCALE)
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert page.evaluate(SCALE) == pytest.approx(least * 2.25, rel=1e-4)
    page.keyboard.press("-")
    assert page.evaluate(SCALE) == pytest.approx(least * 1.5, rel=1e-4)
    page.keyboard.press("+")
    page.keyboard.press("+")
    for key in ["End", "ArrowLeft", "ArrowUp", "Home", *["ArrowRight"] * 7]:
        page.keyboard.press(key)
        page.wait_for_timeout(50)
        assert page.locator(".card:focus").evaluate(INSIDE), key
    name = page.locator(".card:focus").get_attribute("data-layer")
    at = page.evaluate(PLACE)
    page.keyboard.press("Enter")
    heading(page, name)
    page.keyboard.press("Escape")
    expect(page.locator(f".card:focus[data-layer='{name}']")).to_be_visible()
    assert page.evaluate(PLACE) == at  # the map keeps its position
    assert page.locator(".card:focus").evaluate(INSIDE)
    assert troubles == []


def test_a_wheel_gesture_that_scrolls_the_page_continues(page, site):
    page.goto(f"{site}#/residual")
    page.wait_for_selector(".graph.map")
    at = page.evaluate(PLACE)
    page.mouse.move(640, 300)
    for _ in range(8):
        page.mouse.wheel(0, 40)
        page.wait_for_timeout(30)
    assert page.evaluate("scrollY") > 200
    assert page.evaluate(PLACE) == at


def test_a_chain_scrolls_as_a_page(page, site):
    page.goto(f"{site}#/chain")
    page.wait_for_selector(".card")
    page.set_viewport_size({"width": 1280, "height": 500})
    page.mouse.move(*middle(page, ".card >> nth=0"))
    page.mouse.wheel(0, 120)
    page.wait_for_function("() => scrollY > 50")
    expect(page.locator(".minimap, .map-tools:visible")).to_have_count(0)


def test_list_on_a_phone_map_on_a_screen(residual, troubles):
    page = residual
    for width in (360, 2560, 360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(150)
        expect(page.locator(".graph.map")).to_have_count(0 if width == 360 else 1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = page.evaluate(
            "[...document.querySelectorAll('.card')].map(e => e.getBoundingClientRect().toJSON())"
        )
        for a, b in combinations(boxes, 2):
            apart = a["right"] <= b["left"] + 1 or b["right"] <= a["left"] + 1
            assert apart or a["bottom"] <= b["top"] + 1 or b["bottom"] <= a["top"] + 1, width
    assert troubles == []


def test_zoom_and_pan_by_touch(chromium, site):
    context = chromium.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
    page = context.new_page()
    page.goto(f"{site}#/residual")
    page.wait_for_selector(".graph.map")
    page.locator(".graph").evaluate("(e) => scrollTo(0, e.getBoundingClientRect().top + scrollY - 180)")
    least = page.evaluate(SCALE)
    x, y = middle(page, ".graph")
    client = context.new_cdp_session(page)
    for kind, apart in [("touchStart", 40), ("touchMove", 80), ("touchMove", 140)]:
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.evaluate(SCALE) > least * 1.3
    page.touchscreen.tap(*middle(page, "[aria-label^='Show the whole']"))
    expect(page.locator(".minimap")).to_be_hidden()
    page.wait_for_timeout(400)
    page.touchscreen.tap(*middle(page, ".card >> nth=0"))
    heading(page, "stem")
    context.close()


def test_a_layer_is_prefetched_once(page, site):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(f"{site}#/chain")
    page.wait_for_selector(".card")
    page.mouse.move(1, 1)
    page.mouse.move(*middle(page, ".card[data-layer=conv1]"))
    with page.expect_response("**/layers/conv1.json"):
        pass
    page.click(".card[data-layer=conv1]")
    expect(page.locator(".tile")).to_have_count(16)
    assert len([url for url in fetched if "/layers/" in url]) == 1
