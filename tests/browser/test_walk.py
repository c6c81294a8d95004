"""Navigation of the site by mouse, keyboard and URL."""

import re
import time
from itertools import combinations

import pytest
from playwright.sync_api import expect

from .steps import heading, reload_and_resize, search, visit

VIEWS = [
    "#/chain",
    "#/chain/conv2",
    "#/chain/conv2/7",
    "#/chain/conv2/300",
    "#/fork",
    "#/fork/join",
    "#/residual",
]


def test_a_visitor_who_comes_back_before_the_next_page_is_drawn_stays(page, site, troubles):
    visit(page, site + "#/chain/conv2")
    page.route("**/fork/**", lambda route: (time.sleep(0.2), route.continue_()))
    page.evaluate("location.hash = '#/fork'; setTimeout(() => history.back(), 50)")
    page.wait_for_timeout(800)
    heading(page, "conv2")
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator(".tile img").first).to_be_visible()
    assert troubles == []


def test_navigation_by_mouse(page, site, troubles):
    page.goto(site)
    heading(page, "Chain")
    page.click(".card[data-layer=conv2]")
    heading(page, "conv2")
    expect(page.locator(".status")).to_contain_text("512 filters")
    page.click(".choice:text-is('Selectivity')")
    page.wait_for_url(re.compile(r"sort=selectivity"))
    first = page.locator(".tile").first
    expect(first.locator(".tile-value")).to_have_text("0.99")
    first.click()
    heading(page, "Filter 27")
    page.click("a[rel=next]")
    heading(page, "Filter 127")  # the next most selective
    page.go_back()
    heading(page, "Filter 27")
    page.go_back()
    heading(page, "conv2")
    expect(page.locator(".tile:focus .tile-number")).to_have_text("27")
    page.go_forward()
    heading(page, "Filter 27")
    page.click(".crumbs a >> nth=0")
    heading(page, "Chain")
    assert troubles == []


def test_navigation_by_keyboard(page, site, troubles):
    page.goto(site)
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    heading(page, "conv2")
    page.locator(".tile").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    number = int(page.locator(".tile:focus .tile-number").inner_text())
    assert number > 3
    page.keyboard.press("Enter")
    heading(page, f"Filter {number}")
    page.keyboard.press("ArrowRight")
    heading(page, f"Filter {number + 1}")
    page.keyboard.press("Escape")
    heading(page, "conv2")
    page.keyboard.press("Escape")
    heading(page, "Chain")
    expect(page.locator(".card:focus")).to_have_attribute("data-layer", "conv2")
    assert troubles == []


def test_one_tile_is_in_the_tab_order(page, site):
    page.goto(f"{site}#/chain/conv2")
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.locator('.tile[tabindex="0"]')).to_have_count(1)


@pytest.mark.parametrize("view", ["#/hostile", *VIEWS])
def test_deep_links_reload_without_horizontal_scrolling(tab, site, tab_troubles, view):
    visit(tab, site + view)
    reload_and_resize(tab, site + view)
    assert tab_troubles == []


def test_layer_json_is_fetched_only_when_opened(page, site):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(site)
    page.wait_for_selector(".card")
    page.wait_for_load_state("networkidle")
    assert not [url for url in fetched if "/layers/" in url]
    page.click(".card[data-layer=conv1]")
    page.wait_for_selector(".view .tile")
    assert [url.rpartition("/")[2] for url in fetched if "/layers/" in url] == ["conv1.json"]


def test_tiles_load_lazily(page, site):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(f"{site}#/chain/conv2")
    page.wait_for_selector(".view .tile")
    page.wait_for_load_state("networkidle")
    packs = [url.rpartition("/")[2].partition(".")[0] for url in fetched if "/thumbs/conv2/" in url]
    assert 0 < len(set(packs)) < 8


def test_class_and_tile_kind_are_in_the_address(page, site, troubles):
    page.goto(f"{site}#/fork/join")
    page.click(".choice:text-is('Filter image')")
    expect(page.locator(".fallback-label")).to_have_count(6)
    expect(page.locator(".status")).to_contain_text("6 without this picture")
    page.select_option("#class-choice", "2")
    page.wait_for_url(re.compile(r"class=2"))
    expect(page.locator(".status")).to_contain_text("lighthouse")
    page.reload()
    expect(page.locator("#class-choice")).to_have_value("2")
    assert troubles == []


def test_show_gradient_and_overlay(page, site, troubles):
    page.goto(f"{site}#/chain/conv2/7")
    expect(page.locator(".figures svg.box")).to_have_count(4)
    page.click("text=Overlay")
    expect(page.locator(".overlay")).to_have_count(8)
    page.click(".choice:text-is('Gradient')")
    expect(page.locator(".overlay")).to_have_count(0)
    expect(page.locator(".choice[aria-current]")).to_have_text("Gradient")
    assert page.url.endswith("show=gradient")
    assert troubles == []


def test_missing_results_are_explained(tab, site, tab_troubles):
    page, troubles = tab, tab_troubles
    visit(page, f"{site}#/chain/conv2/300?show=gradient")
    expect(page.locator(".absent")).to_have_count(3)
    expect(page.locator(".absent").first).to_contain_text("larger --filters")
    assert troubles == []


def test_search_finds_filters_and_classes(page, site, troubles):
    page.goto(f"{site}#/chain")
    page.wait_for_selector(".card")
    search(page, "conv2 142")
    expect(page.locator(".hits a")).to_have_count(1)
    page.keyboard.press("Enter")
    heading(page, "Filter 142")
    page.click("[aria-label^=Search]")
    page.fill("#search-input", "lightho")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"chain\?class=2"))
    heading(page, "lighthouse")
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).not_to_be_visible()
    heading(page, "lighthouse")
    assert troubles == []


def test_switching_network_and_theme(page, site, troubles):
    page.goto(site)
    page.click(".networks >> text=Fork")
    heading(page, "Fork")
    expect(page.locator(".wires path")).to_have_count(7)
    dark = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(dark)
    page.click("[aria-label='Light or dark']")
    assert page.evaluate(dark) != before
    page.reload()
    heading(page, "Fork")
    assert page.evaluate(dark) != before
    assert troubles == []


@pytest.mark.parametrize("view", [*VIEWS[:3], "#/residual", "#/chain?class=0"])
def test_controls_are_large_enough_to_tap(tab, site, view):
    page = tab
    visit(page, site + view)
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        small = page.evaluate(
            """() => [...document.querySelectorAll("button, select, summary, .choice, .button, .card")]
                 .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44)
                 .map((e) => e.outerHTML.slice(0, 120))"""
        )
        assert small == [], width


@pytest.mark.parametrize("view", ["#/chain", "#/fork"])
def test_cards_do_not_overlap(tab, site, view):
    page = tab
    visit(page, site + view)
    for width in (2560, 1280, 700):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(60)
        boxes = page.evaluate(
            "[...document.querySelectorAll('.card')].map(e => e.getBoundingClientRect().toJSON())"
        )
        for a, b in combinations(boxes, 2):
            separate = a["right"] <= b["left"] or b["right"] <= a["left"]
            assert separate or a["bottom"] <= b["top"] or b["bottom"] <= a["top"], width
