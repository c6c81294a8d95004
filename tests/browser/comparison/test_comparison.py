"""Navigation of comparisons by mouse, keyboard and URL, and on a phone."""

import json
import re
import shutil
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from torchlurk.web.live_server import LiveServer

from ..axe import assert_no_faults
from ..made_up_comparison import LAYERS, changes
from ..made_up_site import HOSTILE
from ..steps import heading, visit

VIEWS = [
    "#/compare:early-to-last",
    "#/compare:early-to-last?pair=1-2&by=weights&order=place",
    "#/compare:early-to-last/deep?by=mean_shift&tile=image",
    "#/compare:early-to-last/deep/7?show=overlay",
    "#/compare:two/wide",
    "#/compare:two/wide/300",
    "#/compare:alone/logits/3",
    "#/compare:strange",
    f"#/compare:strange/{quote(f'{HOSTILE} logits', safe='')}/1",
]


def by_change(values: list[float | None]) -> list[int]:
    """Return the channels, largest change first."""
    size = [-1 if value is None else abs(value) for value in values]
    return sorted(range(len(values)), key=lambda channel: (-size[channel], channel))


def numbers(page) -> list[str]:
    return page.locator(".view .tile .tile-number").all_inner_texts()


def test_navigation_by_mouse(page, compared, moments, troubles):
    page.goto(compared)
    heading(page, "Early")
    expect(page.locator(".networks a")).to_have_count(5)
    page.click("nav[aria-label=Comparisons] >> text=early → last (two)")
    heading(page, "early → last")
    expect(page.locator(".lede")).to_contain_text(
        "from early (before) to last (after), over the same 1 234 images"
    )
    expect(page.locator(".change-row")).to_have_count(4)
    # Layers are sorted by change; the unchanged layer shows no picture.
    rows = page.locator(".change-row").evaluate_all("(all) => all.map((row) => row.dataset.layer)")
    means = {
        layer["name"]: layer["changes"][0]["distributions"]["maps"]["mean"]
        for layer in json.loads((moments / "two/comparison.json").read_text())["layers"]
    }
    assert rows == sorted(means, key=lambda name: -means[name])
    assert rows[-1] == "stem"
    expect(page.locator(".change-row[data-layer=stem] img")).to_have_count(0)
    expect(page.locator(".change-row[data-layer=deep] img")).to_have_count(2)
    page.locator(".change-row[data-layer=deep]").click()
    heading(page, "deep")
    values = changes(moments, "two", "deep")["values"]
    assert [int(one) for one in numbers(page)][:8] == by_change(values["maps"])[:8]
    page.click(".measure[data-value=weights]")
    page.wait_for_url(re.compile(r"by=weights"))
    order = by_change(values["weights"])
    # The address changes before the tiles change.
    expect(page.locator(".tile .tile-number").first).to_have_text(str(order[0]))
    assert [int(one) for one in numbers(page)][:8] == order[:8]
    page.locator(".view .tile").first.click()
    heading(page, f"Filter {order[0]}")
    expect(page.locator(".status")).to_contain_text("By weights, the most changed of 23 filters")
    page.click("a[rel=next]")
    heading(page, f"Filter {order[1]}")
    page.go_back()
    heading(page, f"Filter {order[0]}")
    page.go_back()
    heading(page, "deep")
    expect(page.locator(".tile:focus .tile-number")).to_have_text(str(order[0]))
    # Two quick steps back fire two events, and both see the address of the second step.
    page.evaluate("dispatchEvent(new HashChangeEvent('hashchange'))")
    page.wait_for_timeout(50)
    expect(page.locator(".tile:focus .tile-number")).to_have_text(str(order[0]))
    page.click(".crumbs a >> nth=0")
    heading(page, "early → last")
    assert troubles == []


def test_navigation_by_keyboard(page, compared, moments, troubles):
    page.goto(f"{compared}#/compare:two")
    page.locator(".layer-bar").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    heading(page, "deep")
    page.keyboard.press("Escape")
    heading(page, "early → last")
    expect(page.locator(".change-link:focus")).to_have_text("deep")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    heading(page, "wide")
    page.locator(".measure[aria-current]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"by=means"))
    expect(page.locator(".measure:focus")).to_have_attribute("data-value", "means")
    order = by_change(changes(moments, "two", "wide")["values"]["means"])
    page.locator(".view .tile").first.focus()
    page.keyboard.press("End")
    expect(page.locator(".tile:focus .tile-number")).to_have_text(str(order[-1]))
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    heading(page, f"Filter {order[1]}")
    page.keyboard.press("ArrowRight")
    heading(page, f"Filter {order[2]}")
    page.keyboard.press("ArrowLeft")
    heading(page, f"Filter {order[1]}")
    page.keyboard.press("ArrowLeft")
    heading(page, f"Filter {order[0]}")
    page.keyboard.press("Escape")
    heading(page, "wide")
    expect(page.locator(".tile:focus .tile-number")).to_have_text(str(order[0]))
    page.keyboard.press("ArrowRight")
    page.locator("h1").focus()
    page.keyboard.press("ArrowRight")
    heading(page, "deep")
    assert "by=means" in page.url
    assert troubles == []


@pytest.mark.parametrize("view", VIEWS)
def test_deep_links_widths_and_axe(tab, compared, view, tab_troubles):
    page, troubles = tab, tab_troubles
    page.emulate_media(reduced_motion="reduce")
    visit(page, compared + view)
    before = page.inner_text("h1")
    page.reload()
    heading(page, before)
    assert page.url == compared + view
    for width in (2560, 1280, 700, 390, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(60)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        small = page.evaluate(
            """() => [...document.querySelectorAll("button, select, .choice, .chip, .measure, .layer-bar")]
                 .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44)
                 .map((e) => e.outerHTML.slice(0, 120))"""
        )
        assert small == [], width
        if width in (1280, 360):
            assert_no_faults(page)
    assert page.title() != "owned – Torchlurk"
    assert page.evaluate("document.title") != "owned"
    assert troubles == []


def test_the_state_is_in_the_address(page, compared, troubles):
    page.goto(f"{compared}#/compare:early-to-last")
    page.select_option("#measure-choice", "top_max")
    page.click(".choice:text-is('In order')")
    page.click(".choice:text-is('later → last')")
    page.wait_for_url(re.compile(r"by=top_max&pair=1-2&order=place"))
    expect(page.locator(".choice:focus")).to_have_text("later → last")
    rows = page.locator(".change-row").evaluate_all("(all) => all.map((row) => row.dataset.layer)")
    assert rows == [name for name, _ in LAYERS]
    expect(page.locator(".lede")).to_contain_text("from later (before) to last (after)")
    page.reload()
    expect(page.locator("#measure-choice")).to_have_value("top_max")
    expect(page.locator(".choice[aria-current]")).to_have_text(["later → last", "In order"])
    page.locator(".layer-bar").nth(1).click()
    heading(page, "wide")
    expect(page.locator(".measure[aria-current]")).to_have_attribute("data-value", "top_max")
    expect(page.locator(".measure[aria-current]")).to_be_in_viewport()
    page.click(".choice:text-is('Best crop')")
    page.locator(".view .tile").first.click()
    page.wait_for_selector(".view.filter")
    assert page.url.endswith("?by=top_max&pair=1-2&order=place&tile=crop")
    assert troubles == []


def test_a_comparison_without_networks_has_the_store_measures(page, compared, troubles):
    page.goto(f"{compared}#/compare:alone")
    expect(page.locator(".absent")).to_have_text("Made of the stores alone.")
    expect(page.locator("#measure-choice")).to_have_value("top_max")
    page.goto(f"{compared}#/compare:alone/logits/3")
    heading(page, "Filter 3: kind 3 of things")
    expect(page.locator(".cross")).to_have_count(0)
    expect(page.locator("main")).not_to_contain_text("Highest on average")
    expect(page.locator("svg.box")).to_have_count(0)
    assert troubles == []


def test_a_measure_that_the_layer_lacks_is_explained(page, compared, troubles):
    page.goto(f"{compared}#/compare:two/logits?by=cross")
    expect(page.locator(".status")).to_contain_text(
        "in order of number: this layer has no measure of filter images, crossed"
    )
    assert numbers(page) == [f"kind {i} of things" for i in range(10)]
    expect(page.locator('.measure[tabindex="0"]')).to_have_count(1)
    page.goto(f"{compared}#/compare:two?by=cross")
    expect(page.locator(".change-row").last).to_have_attribute("data-layer", "logits")
    expect(page.locator(".change-row").last).to_contain_text("no filter has this measure")
    assert troubles == []


def test_only_visible_tiles_of_a_large_layer_are_rendered(page, compared, troubles):
    page.goto(f"{compared}#/compare:two/wide")
    expect(page.locator(".view .tile").first).to_be_visible()
    assert page.locator(".view .tile").count() < 120
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('.tile')].slice(0, 12).map((tile) =>
             [tile.getBoundingClientRect().bottom, tile.parentElement.getBoundingClientRect().top])"""
    )
    rows = sorted({round(top) for _, top in boxes})
    assert len(rows) > 1
    assert all(bottom <= rows[rows.index(round(top)) + 1] for bottom, top in boxes if round(top) != rows[-1])
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("li[aria-posinset='512'] img").first).to_be_visible()
    assert page.locator(".view .tile").count() < 120
    assert troubles == []


def test_search_within_a_comparison(page, compared, troubles):
    page.goto(f"{compared}#/compare:early-to-last?by=weights")
    page.wait_for_selector(".change-row")
    page.keyboard.press("/")
    page.fill("#search-input", "deep 12")
    expect(page.locator(".hits a")).to_have_count(1)
    page.keyboard.press("Enter")
    heading(page, "Filter 12")
    assert page.url.endswith("#/compare:early-to-last/deep/12?by=weights")
    assert troubles == []


@pytest.mark.parametrize(
    ("view", "word", "back"),
    [
        ("#/compare:nope", "There is no comparison “nope” here", "#/"),
        ("#/compare:two/nope", "compares no layer “nope”", "#/compare:two"),
        ("#/compare:two/deep/24", "numbered from 0 to 23", "#/compare:two/deep"),
    ],
)
def test_unknown_addresses_are_reported(tab, compared, view, word, back):
    page = tab
    visit(page, compared + view)
    expect(page.locator(".message")).to_contain_text(word)
    expect(page.locator(".message a.button")).to_have_attribute("href", back)


def test_a_live_page_shows_a_new_comparison(page, compared_stores, moments, tmp_path, troubles):
    for name in ("early", "last"):
        (tmp_path / name).symlink_to(moments / name)
    with LiveServer([tmp_path / "early", tmp_path / "last", tmp_path / "two"]) as server:
        page.goto(server.url)
        heading(page, "Early")
        expect(page.locator("nav[aria-label=Comparisons]")).to_have_count(0)
        shutil.copytree(moments / "two", tmp_path / "arriving")
        (tmp_path / "arriving").rename(tmp_path / "two")
        page.click("nav[aria-label=Comparisons] a")
        heading(page, "early → last")
        page.locator(".layer-bar").nth(2).click()
        heading(page, "deep")
        expect(page.locator(".view .tile img").first).to_be_visible()
    assert troubles == []


def test_the_name_of_a_compared_layer_breaks_after_its_dots(page, compared, troubles):
    page.goto(compared + f"#/compare:strange/{quote(f'{HOSTILE} logits', safe='')}")
    expect(page.locator("h1")).to_contain_text(HOSTILE[:20])
    assert page.locator("h1 wbr").count() == len(re.findall(r"[./_-](?=.)", page.inner_text("h1")))
    assert troubles == []


def test_names_of_measures_are_not_truncated(page, compared, troubles):
    page.goto(f"{compared}#/compare:two/deep?by=cross")
    names = page.locator(".measure-name")
    expect(page.locator(".measure[aria-current] .measure-name")).to_have_text("filter images, crossed")
    cut = names.evaluate_all(
        "(all) => all.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.innerText)"
    )
    assert names.count() > 10
    assert cut == []
    assert troubles == []
