"""The layer view with 2,048 filters: navigation, sorting, and restored state."""

import re

import pytest
from playwright.sync_api import expect

from ..axe import assert_no_faults
from ..made_up_site import CUT, make_store, served
from ..steps import heading, visit

COUNT = 2048


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Serve a site with a layer of 2,048 filters and a layer without a spatial map."""
    layers = [("wide", COUNT), ("logits", 24)]
    store = make_store(tmp_path_factory.mktemp("wide"), "big", layers, [("wide", "logits")], flat=["logits"])
    with served([store], tmp_path_factory.mktemp("host")) as url:
        yield url


def number(page) -> int:
    """Return the number of the filter whose tile has the focus."""
    return int(page.locator(".view .tile:focus .tile-number").inner_text())


def in_window(page, selector: str) -> bool:
    return page.evaluate(
        """(selector) => { const box = document.querySelector(selector).getBoundingClientRect();
             return box.top >= 0 && box.bottom <= innerHeight; }""",
        selector,
    )


def test_only_visible_tiles_are_rendered(page, wide, troubles):
    page.goto(f"{wide}#/big/wide")
    expect(page.locator(".view .tile").first).to_be_visible()
    assert page.locator(".view .tile").count() < 200
    tall = page.evaluate("document.querySelector('.tiles').offsetHeight")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator(f"li[aria-posinset='{COUNT}'] .tile-number")).to_have_text(str(COUNT - 1))
    expect(page.locator(f"li[aria-posinset='{COUNT}'] img")).to_be_visible()
    assert page.locator(".view .tile").count() < 200
    assert page.evaluate("document.querySelector('.tiles').offsetHeight") == tall
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    page.wait_for_timeout(300)
    seen = page.evaluate(
        """() => [...document.querySelectorAll('.tiles > li')]
             .filter((li) => li.getBoundingClientRect().bottom > 0)
             .map((li) => Number(li.ariaPosInSet))[0]"""
    )
    assert COUNT * 0.3 < seen < COUNT * 0.7
    assert troubles == []


def test_the_keyboard_reaches_all_tiles(page, wide, troubles):
    page.goto(f"{wide}#/big/wide")
    page.locator(".view .tile").first.focus()
    page.keyboard.press("End")
    assert number(page) == COUNT - 1
    assert in_window(page, ".tile:focus")
    page.keyboard.press("ArrowRight")
    assert number(page) == COUNT - 1
    page.keyboard.press("PageUp")
    up = number(page)
    assert COUNT - 120 < up < COUNT - 20
    page.keyboard.press("PageDown")
    assert number(page) == COUNT - 1
    for _ in range(30):
        page.keyboard.press("ArrowUp")
    assert in_window(page, ".tile:focus")
    middle = number(page)
    assert middle < COUNT - 250
    # Rendered tiles are in order, and only one is in the tab order.
    order = page.evaluate(
        "[...document.querySelectorAll('.tiles > li')].map((li) => Number(li.getAttribute('aria-posinset')))"
    )
    assert order == sorted(order)
    assert len(order) < 250
    expect(page.locator('.view .tile[tabindex="0"]')).to_have_count(1)
    # Scrolling away keeps the focus.
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(200)
    assert number(page) == middle
    page.keyboard.press("Home")
    assert number(page) == 0
    assert in_window(page, ".tile:focus")
    assert troubles == []


def test_back_restores_focus_and_scroll_position(page, wide, troubles):
    page.goto(f"{wide}#/big/wide?sort=selectivity&tile=image")
    page.locator(".view .tile").first.focus()
    for _ in range(9):
        page.keyboard.press("PageDown")
    here = number(page)
    page.keyboard.press("Enter")
    heading(page, f"Filter {here}")
    page.go_back()
    heading(page, "wide")
    expect(page.locator(".view .tile:focus .tile-number")).to_have_text(str(here))
    assert in_window(page, ".tile:focus")
    assert page.evaluate("scrollY") > 1000
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".view.filter")
    page.keyboard.press("Escape")
    page.wait_for_selector(".view.layer")
    assert in_window(page, ".tile:focus")
    assert page.url.endswith("sort=selectivity&tile=image")
    assert troubles == []


def test_deep_links_survive_a_reload(page, wide, troubles):
    page.goto(f"{wide}#/big/wide?sort=dead&tile=image&class=1")
    for _ in range(2):
        expect(page.locator(".choice[aria-current]")).to_have_text(["Best image", "Least active"])
        expect(page.locator("#class-choice")).to_have_value("1")
        expect(page.locator(".status")).to_contain_text("tabby cat")
        expect(page.locator(".view .tile").first.locator(".tile-value")).to_have_text(re.compile(r"^0.%$"))
        expect(page.locator(".view .tile").first.locator("svg.box")).to_have_count(1)
        page.reload()
    assert troubles == []


def test_a_choice_keeps_the_focus_on_its_control(page, wide):
    page.goto(f"{wide}#/big/wide")
    choice = page.locator(".choice", has_text="Least active")
    choice.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".choice:focus")).to_have_text("Least active")
    expect(page.locator(".view .tile").first.locator(".tile-number")).to_have_text("5")


def test_an_empty_result_is_explained(page, wide, troubles):
    page.goto(f"{wide}#/big/wide?class=99")
    expect(page.locator(".status")).to_contain_text("0 filters with an image of")
    expect(page.locator(".view .tile")).to_have_count(0)
    page.click("text=Show all filters")
    expect(page.locator(".view .tile").first).to_be_visible()
    assert troubles == []


def test_the_statistics_of_the_layer_are_plotted(page, wide):
    page.goto(f"{wide}#/big/wide")
    expect(page.locator(".layer-histogram svg")).to_have_count(4)
    labels = page.locator(".layer-histogram .plot").evaluate_all("(all) => all.map((e) => e.ariaLabel)")
    assert len(labels) == 4
    assert all(label.startswith("Histogram of ") and "most (" in label for label in labels)
    bars = page.locator(".layer-histogram").first.locator("rect.mark")
    expect(bars).to_have_count(20)
    expect(page.locator(".layer-histogram").nth(1)).to_contain_text("1 filter responds to none: dead")


def test_a_layer_without_a_map(page, wide, troubles):
    page.goto(f"{wide}#/big/logits")
    expect(page.locator(".lede")).to_contain_text("one number per image")
    expect(page.locator(".choice[aria-current]").first).to_have_text("Best image")
    expect(page.locator(".choice:text-is('Best crop')")).to_have_count(0)
    expect(page.locator("svg.box")).to_have_count(0)
    page.locator(".view .tile").first.click()
    heading(page, "Filter 0: kind 0 of things")
    expect(page.locator("main")).to_contain_text(
        "This layer has no map: each filter gives one number per image"
    )
    expect(page.locator("main")).not_to_contain_text("Highest on average")
    expect(page.locator("main")).not_to_contain_text("map row")
    expect(page.locator("svg.box")).to_have_count(0)
    expect(page.locator(".absent")).to_have_count(0)
    page.click(".choice:text-is('Overlay')")
    expect(page.locator(".overlay")).to_have_count(4)
    assert troubles == []


def test_a_plot_that_is_not_yet_drawn_again_does_not_widen_the_page(page, wide):
    visit(page, f"{wide}#/big/logits/0")
    expect(page.locator(".plot svg").first).to_be_visible()
    # The script ends before the observer of the width runs, so the plot still has its former width.
    overflow = page.locator(".plot").first.evaluate(
        """(plot) => { const parent = plot.parentElement; parent.style.width = "100px";
             return parent.scrollWidth - parent.clientWidth; }"""
    )
    assert overflow == 0


@pytest.mark.parametrize("width", [360, 1280, 2560])
@pytest.mark.parametrize("view", ["wide", "logits", "logits/0"])
def test_every_width_and_theme(tab, wide, width, view, tab_troubles):
    page, troubles = tab, tab_troubles
    page.set_viewport_size({"width": width, "height": 900})
    visit(page, f"{wide}#/big/{view}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert_no_faults(page)
    assert troubles == []


def test_resizing_keeps_the_scroll_position(page, wide):
    page.goto(f"{wide}#/big/wide")
    expect(page.locator(".view .tile").first).to_be_visible()
    page.evaluate("scrollTo(0, 9000)")
    page.wait_for_timeout(250)
    top = """() => [...document.querySelectorAll('.tiles > li')]
      .filter((li) => li.getBoundingClientRect().bottom > 0).map((li) => Number(li.ariaPosInSet))[0]"""
    before = page.evaluate(top)
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_timeout(300)
    assert abs(page.evaluate(top) - before) <= 12


def test_on_a_phone_tiles_start_near_the_top(page, wide, troubles):
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto(f"{wide}#/big/wide?sort=score")
    tile = page.locator(".view .tile").first
    expect(tile).to_be_visible()
    assert tile.bounding_box()["y"] < 520
    expect(page.locator(".choice:visible, .fact:visible")).to_have_count(0)
    line = page.locator(".disclosure > summary")
    expect(line).to_have_text("Show and sort: Best crop, strongest")
    line.click()
    page.click(".choice:text-is('Least active')")
    expect(line).to_have_text("Show and sort: Best crop, least active")
    expect(page.locator(".choice[aria-current]:visible")).to_have_count(2)  # the menu stays open
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(line).to_be_hidden()
    expect(page.locator(".choice[aria-current]:visible")).to_have_count(2)
    page.set_viewport_size({"width": 360, "height": 780})
    expect(page.locator(".choice:visible")).to_have_count(0)
    assert troubles == []


def test_bars_have_tooltips(page, wide, troubles):
    page.goto(f"{wide}#/big/wide")
    panel = page.locator(".layer-histogram").first
    line = panel.locator(".readout")
    usual = line.inner_text()
    assert usual.startswith("most (")
    expect(panel.locator(".bin")).to_have_count(20)
    expect(panel.locator('.bin[tabindex="0"]')).to_have_count(1)
    panel.locator(".bin").nth(2).hover()
    expect(line).to_have_text(re.compile(r"^0\.1 to 0\.15: \d+ filters$"))
    page.mouse.move(1, 1)
    expect(line).to_have_text(usual)
    panel.locator('.bin[tabindex="0"]').focus()
    page.keyboard.press("End")
    expect(line).to_have_text(re.compile(r"^0\.95 to 1: \d+ filters$"))
    expect(panel.locator(".bin:focus")).to_have_attribute("aria-label", line.inner_text())
    page.keyboard.press("ArrowLeft")
    expect(line).to_have_text(re.compile(r"^0\.9 to 0\.95: "))
    page.keyboard.press("Tab")
    expect(line).to_have_text(usual)
    assert troubles == []


def test_bars_have_tooltips_on_touch(chromium, wide):
    context = chromium.new_context(viewport={"width": 360, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{wide}#/big/wide/3")
    line = page.locator(".responses .readout")
    usual = line.inner_text()
    bins = page.locator(".responses .bin")
    bins.first.tap()
    expect(line).not_to_have_text(usual)
    expect(line).to_have_text(bins.first.get_attribute("aria-label"))
    context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_plot_texts_are_not_clipped(page, wide, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{wide}#/big/wide")
    page.locator(".layer-numbers").evaluate("(e) => (e.open = true)")
    expect(page.locator(".layer-histogram svg")).to_have_count(4)
    assert page.evaluate(CUT, ".layer-histogram") == []


def test_a_long_name_is_truncated_before_the_value(page, wide):
    page.goto(f"{wide}#/big/logits?sort=selectivity")
    expect(page.locator(".view .tile").first).to_be_visible()
    page.locator(".tile-number").evaluate_all(
        "(all) => all.forEach((e) => (e.textContent += ' and more of it'))"
    )
    cut = page.locator(".tile-value").evaluate_all(
        "(all) => all.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"
    )
    assert cut == []
    feet = page.locator(".tile-foot").evaluate_all(
        "(all) => all.filter((e) => e.scrollWidth > e.clientWidth).length"
    )
    assert feet == 0


def test_neighbours_follow_the_selected_order(page, wide, troubles):
    page.goto(f"{wide}#/big/wide?sort=selectivity")
    tiles = page.locator(".view .tile .tile-number")
    first, second, third = (int(tiles.nth(i).inner_text()) for i in range(3))
    assert (first, second) != (0, 1)
    tiles.nth(1).click()
    expect(page.locator("h1")).to_have_text(f"Filter {second}")
    expect(page.locator(".sorted-position")).to_have_text(
        "2 of 2\u202f048 filters, most selective for one class first"
    )
    assert page.locator(".step.before").inner_text() == str(first)
    page.locator(".step.after").click()
    expect(page.locator("h1")).to_have_text(f"Filter {third}")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text(f"Filter {second}")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text(f"Filter {first}")
    expect(page.locator(".step.before")).to_have_count(0)
    page.click(".choice:text-is('Overlay')")
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text(f"Filter {second}")
    assert "show=overlay" in page.url
    assert troubles == []
