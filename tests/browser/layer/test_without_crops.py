"""Layers whose receptive field is the whole image: no crops, but pictures and accurate texts everywhere."""

import pytest
from playwright.sync_api import expect

from ..made_up_site import CUT, make_store, served
from ..steps import LOADED

LAYERS = [("stem", 8), ("mixed", 64), ("late", 16)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Serve a network that mixes whole maps after its first layer; six filters have every picture."""
    folder = tmp_path_factory.mktemp("mixed")
    edges = [("stem", "mixed"), ("mixed", "late")]
    store = make_store(folder, "net", LAYERS, edges, whole=["mixed", "late"], rich=6, faint=True)
    with served([store], tmp_path_factory.mktemp("host")) as url:
        yield url


def test_every_card_has_pictures(page, mixed, troubles):
    page.goto(f"{mixed}#/net")
    for name, kind in [("stem", "cropped"), ("mixed", "image"), ("late", "image")]:
        pictures = page.locator(f".card[data-layer={name}] img")
        expect(pictures).to_have_count(8)
        shown = pictures.evaluate_all("(all) => all.map((i) => i.dataset.picture)")
        assert all(f"/thumbs/{name}/{kind}-" in picture for picture in shown)
    expect(page.locator(".card[data-layer=mixed]")).to_contain_text("whole input")
    page.wait_for_function(LOADED)
    assert troubles == []


def test_a_class_shows_images_where_there_are_no_crops(page, mixed, troubles):
    page.goto(f"{mixed}#/net?class=0")
    section = page.locator(".class-layer[data-layer=mixed]")
    section.scroll_into_view_if_needed()
    expect(section.locator(".fallback-label").first).to_have_text("image")
    assert "/thumbs/mixed/image-" in section.locator("img").first.get_attribute("data-picture")
    page.click(".choice:text-is('Filter image')")
    expect(section.locator("img[data-picture*='/max_activ-']")).not_to_have_count(0)
    expect(section.locator("img[data-picture*='/image-']")).not_to_have_count(0)
    page.locator(".class-layer[data-layer=late]").scroll_into_view_if_needed()
    page.wait_for_function(LOADED)
    expect(page.locator(".missing")).to_have_count(0)
    assert troubles == []


def test_a_layer_has_a_tile_for_gradients(page, mixed, troubles):
    page.goto(f"{mixed}#/net/mixed")
    expect(page.locator(".lede")).to_contain_text("Each unit of this layer sees all of it")
    expect(page.locator(".fact", has_text="a unit sees")).to_contain_text("all")
    expect(page.locator(".tile svg.box")).to_have_count(0)
    expect(page.locator(".choice:text-is('Best crop')")).to_have_count(0)
    page.click(".choice:text-is('Gradient')")
    expect(page.locator(".lede")).to_contain_text("pixels of the best image")
    tiles = page.locator(".tile")
    assert "/mixed/gradient-" in tiles.nth(0).locator("img").get_attribute("data-picture")
    expect(tiles.nth(6).locator(".fallback-label")).to_have_text("image")
    expect(page.locator(".status")).to_contain_text("58 without this picture")
    page.wait_for_function(LOADED)
    assert troubles == []


def test_the_filter_view_does_not_mention_crops(page, mixed, troubles):
    page.goto(f"{mixed}#/net/mixed/0")
    hero = page.locator(".hero")
    expect(hero).to_contain_text("Each unit of this layer sees all of an image")
    expect(page.locator(".absent")).to_have_count(0)  # it has gradients
    expect(page.locator("svg.box, .pair .small")).to_have_count(0)
    expect(page.locator("main")).not_to_contain_text("Crop check")
    assert troubles == []


@pytest.mark.parametrize("width", [360, 1280])
def test_images_fill_the_width_without_gradients(page, mixed, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{mixed}#/net/mixed/7")
    expect(page.locator(".absent", has_text="Gradients")).to_have_count(1)
    top, mean = (page.locator(".figures").nth(i).locator(".entry").first.bounding_box() for i in (0, 1))
    assert top["width"] == pytest.approx(mean["width"], abs=2)


def test_labels_of_negative_bars_are_not_clipped(page, mixed):
    page.goto(f"{mixed}#/net/mixed/1")
    expect(page.locator(".class-bar .figure").last).to_be_visible()
    assert page.locator(".panel").nth(1).locator(".mark.below").count() == 4
    assert page.evaluate(CUT, ".plot svg") == []
