"""Views of a store that the pipeline wrote, served under a path prefix."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.golden.run import EXPECTED

from .made_up_site import served
from .steps import LOADED, heading, visit

FORMAT_1 = EXPECTED.parent / "format1"
BROKEN = "() => [...document.images].filter((i) => i.src && i.complete && !i.naturalWidth).map((i) => i.src)"
HIDDEN_BARS = """() => [...document.querySelectorAll('g:has(> text.figure) > rect.mark')]
    .filter((bar) => { const box = bar.getBoundingClientRect(); return !box.width || !box.height; }).length"""


@pytest.fixture(scope="module", params=[EXPECTED, FORMAT_1], ids=["format 2", "format 1"])
def real(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = Path(request.param) / "branching"
    with served([store], tmp_path_factory.mktemp("real")) as url:
        yield url


def test_network_layer_and_filter_views_load_all_pictures(page, real, troubles):
    page.goto(real)
    heading(page, "Branching")
    expect(page.locator(".card")).to_have_count(4)
    page.wait_for_function(LOADED)
    page.click(".card[data-layer=head]")
    expect(page.locator(".tile")).to_have_count(5)
    page.wait_for_function(LOADED)
    page.locator(".tile").first.click()
    heading(page, "Filter 0")
    page.wait_for_function(LOADED)
    expect(page.locator("g:has(> text.figure) > rect.mark")).to_have_count(4)
    # Three images by maximum with crop and gradient, three by average, and the filter image.
    assert page.locator("main img").count() >= 13
    expect(page.locator(".figures svg.box")).to_have_count(3)
    assert page.evaluate(BROKEN) == []
    assert troubles == []


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_bars_are_visible_at_every_width(tab, real, width):
    page = tab
    page.set_viewport_size({"width": width, "height": 900})
    visit(page, f"{real}#/branching/head/0")
    heading(page, "Filter 0")
    expect(page.locator("g:has(> text.figure) > rect.mark")).to_have_count(4)
    assert page.evaluate(HIDDEN_BARS) == 0
