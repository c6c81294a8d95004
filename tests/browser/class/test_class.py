"""The class view: the filters of all layers that prefer a class."""

import json
import re

import pytest
from playwright.sync_api import expect

from ..made_up_site import CHAIN, HOSTILE, make_store, served
from ..steps import heading, reload_and_resize, search, visit


def test_navigation_by_mouse(page, site, troubles):
    page.goto(f"{site}#/residual")
    page.click(".chip:text-is('lighthouse')")
    heading(page, "lighthouse")
    assert page.url.endswith("#/residual?class=2")
    assert "lighthouse" in page.title()
    expect(page.locator(".crumbs a[aria-current]")).to_have_text("lighthouse")
    expect(page.locator(".layer-bars li")).to_have_count(70)
    counts = page.locator(".class-layer-count b").all_inner_texts()
    said = int(page.locator(".lede").inner_text().split()[0])
    assert sum(map(int, counts)) == said > 100
    page.locator("button.layer-bar").last.click()
    expect(page.locator(".class-layer[data-layer=head] h2")).to_be_focused()
    expect(page.locator(".class-layer[data-layer=head] h2")).to_be_in_viewport()
    tiles = page.locator(".class-layer[data-layer=head] .tile")
    expect(tiles).to_have_count(12)
    page.click(".class-layer[data-layer=head] >> text=Show all")
    expect(tiles).to_have_count(int(counts[-1]))
    expect(tiles.nth(12)).to_be_focused()
    number = tiles.nth(20).locator(".tile-number").inner_text()
    tiles.nth(20).click()
    heading(page, f"Filter {number}")
    page.go_back()
    heading(page, "lighthouse")
    expect(page.locator(".tile:focus .tile-number")).to_have_text(number)
    page.click(".class-layer[data-layer=head] h2 a")
    heading(page, "head")
    page.go_back()
    page.select_option("#class-choice", "1")
    heading(page, "tabby cat")
    assert troubles == []


def test_navigation_by_keyboard(page, site, troubles):
    page.goto(f"{site}#/chain/conv3")
    page.wait_for_selector(".view .tile")
    search(page, "tabby")
    page.keyboard.press("Enter")
    heading(page, "tabby cat")
    page.keyboard.press("ArrowRight")
    heading(page, "lighthouse")
    page.keyboard.press("ArrowLeft")
    heading(page, "tabby cat")
    page.locator('.layer-bar[tabindex="0"]').focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator(".class-layer h2").first).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    number = page.locator(".tile:focus .tile-number").inner_text()
    page.keyboard.press("Enter")
    heading(page, f"Filter {number}")
    page.go_back()
    heading(page, "tabby cat")
    page.keyboard.press("Escape")
    heading(page, "Chain")
    assert troubles == []


@pytest.mark.parametrize("view", ["#/chain?class=2", "#/residual?class=0&tile=ascent", "#/hostile?class=1"])
def test_deep_link_reload_and_widths(tab, site, tab_troubles, view):
    visit(tab, site + view)
    expect(tab.locator(".view.class .tile").first).to_be_visible()
    reload_and_resize(tab, site + view)
    assert tab_troubles == []


def test_most_selective_first_and_unknown_last(page, site):
    page.goto(f"{site}#/chain?class=0")
    tiles = page.locator(".class-layer[data-layer=conv1] .tile")
    expect(tiles).to_have_count(15)  # all except the dead filter
    numbers = [float(text) for text in tiles.locator(".tile-value").all_text_contents()]
    assert len(numbers) == 14
    assert numbers == sorted(numbers, reverse=True)
    assert tiles.last.locator(".tile-number").text_content() == "3"


def test_filter_images_are_shown_where_available(page, site, troubles):
    page.goto(f"{site}#/chain?class=0")
    page.click("text=Filter image")
    page.wait_for_url(re.compile("tile=ascent"))
    expect(page.locator(".choice[aria-current]")).to_have_text("Filter image")
    expect(page.locator(".class-layer[data-layer=conv1] .fallback-label")).to_have_count(0)
    assert page.locator(".class-layer[data-layer=conv2] .fallback-label").count() > 0
    assert troubles == []


def test_pictures_load_lazily(page, site):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(f"{site}#/residual?class=0")
    page.wait_for_selector(".view .tile")
    page.wait_for_load_state("networkidle")
    tiles = page.locator(".tile").count()
    assert tiles > 100
    assert 0 < page.locator(".tile img[src]").count() < tiles
    layers = {url.partition("/thumbs/")[2].partition("/")[0] for url in fetched if "/thumbs/" in url}
    assert 0 < len(layers) < page.locator(".class-layer").count()


def test_a_class_that_no_filter_prefers(page, site, troubles):
    page.goto(f"{site}#/chain?class=3")
    expect(page.locator(".lede")).to_contain_text("No filter")
    page.select_option("#class-choice", "0")
    heading(page, "tench")
    assert troubles == []


def test_an_older_store_is_explained(page, site):
    page.goto(f"{site}#/old?class=1")
    expect(page.locator(".message")).to_contain_text("earlier version of Torchlurk")
    page.click(".message >> text=conv3")
    page.wait_for_url(re.compile(r"conv3\?class=1"))
    heading(page, "conv3")


def test_an_unknown_class_is_reported(page, site):
    page.goto(f"{site}#/chain?class=99")
    expect(page.locator(".message")).to_contain_text("has no class 99")
    page.click("text=One level up")
    heading(page, "Chain")


def test_hostile_names_are_shown_as_text(page, site, troubles):
    page.goto(f"{site}#/hostile?class=1")
    heading(page, f"{HOSTILE} tabby cat")
    page.wait_for_selector(".view .tile")
    assert page.title() != "owned"
    assert page.locator('img[src="x"]').count() == 0
    assert troubles == []


def test_damaged_class_lists_are_reported(page, tmp_path):
    store = make_store(tmp_path / "store", "chain", CHAIN[::2], [("conv1", "conv3")])
    path = store / "classes.json"
    rows = [[0, 1, 0.5], [7, 0, 1], [0, 999, 1], None, [1, 2, HOSTILE]]
    path.write_text(json.dumps({"format": 1, "filters": [rows]}))
    with served([store], tmp_path / "host") as url:
        page.goto(f"{url}#/chain?class=0")
        expect(page.locator(".tile")).to_have_count(2)
        path.write_text('{"format": 1, "fil')
    with served([store], tmp_path / "host2") as url:
        page.goto(f"{url}#/chain?class=0")
        expect(page.locator(".message")).to_contain_text("not valid JSON")


def test_a_layer_without_crops_shows_the_images(page, tmp_path, troubles):
    layers = [("conv1", 16), ("logits", 12)]
    store = make_store(tmp_path / "store", "flat", layers, [("conv1", "logits")], flat=["logits"], rich=2)
    with served([store], tmp_path / "host") as url:
        page.goto(f"{url}#/flat?class=0")
        tile = page.locator(".class-layer[data-layer=logits] .tile")
        tile.nth(3).scroll_into_view_if_needed()
        expect(tile.nth(3).locator("img")).to_have_attribute(
            "data-picture", re.compile(r"/logits/image-\d+$")
        )
        expect(tile.nth(3).locator(".fallback-label")).to_have_text("image")
        expect(page.locator(".class-layer[data-layer=conv1] .tile img").first).to_have_attribute(
            "data-picture", re.compile(r"cropped|max_activ")
        )
    assert troubles == []
