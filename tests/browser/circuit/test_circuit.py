"""Circuits: the section of a filter page, and the view of several layers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from ..axe import assert_no_faults
from ..made_up_site import HOSTILE
from ..steps import LOADED, heading, visit, wait_for

FILTER = "#/chain/conv3/7"
CIRCUIT = "#/chain/circuit/conv3/7"
HOSTILE_JOIN = f"{HOSTILE.replace('/', '%2F')} join"


def open_section(page, address):
    """Open a filter page, scroll to its circuit, and wait until that is read."""
    visit(page, address)
    page.locator(".circuit-section").scroll_into_view_if_needed()
    expect(page.locator(".circuit-body[aria-busy]")).to_have_count(0)


def nodes(page):
    return page.locator(".node")


def node(page, key):
    return page.locator(f".node[data-key='{key}']")


def test_the_section_is_read_when_it_comes_near(page, site, troubles):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    visit(page, site + FILTER)
    page.wait_for_load_state("networkidle")
    assert not any("/circuits/" in url or "/layers/conv2" in url for url in fetched)
    open_section(page, site + FILTER)
    page.wait_for_function(LOADED)
    assert [url.rpartition("/")[2] for url in fetched if "/circuits/" in url] == ["conv3.json"]
    total = page.inner_text(".balance-sum")
    assert re.fullmatch(r"[\d.]+ = [\d.]+ excitation − [\d.]+ inhibition \+ 0\.1 rest", total)
    group = page.locator(".part-group").first
    expect(group.locator(".chart-note")).to_have_text(
        re.compile(r"^These six filters give [\d.]+\s% of the excitation, in these four images\.$")
    )
    expect(group.locator(".part-row")).to_have_count(6)
    expect(group.locator(".part-row .kernel")).to_have_count(6)
    expect(group.locator(".part-row .frame img")).to_have_count(6)  # no filter images of filters above 24
    group.get_by_text("Show 6 more").click()
    expect(group.locator(".part-row")).to_have_count(12)
    expect(group.locator(".part-row >> nth=6")).to_be_focused()
    expect(group.locator(".chart-note")).to_contain_text("These twelve filters give")
    expect(page.locator(".part-group >> nth=1").locator(".chart-note")).to_contain_text("of the inhibition")
    expect(page.locator(".circuit-section")).to_contain_text("No layer reads this one: it is the last.")
    label = group.locator(".part-label").first.inner_text()
    group.locator(".part-row").first.click()
    heading(page, f"Filter {label.partition(':')[2]}")
    assert "/conv2/" in page.url
    assert troubles == []


def test_several_layers_upstream_are_grouped_with_their_sums(tab, site, tab_troubles):
    open_section(tab, f"{site}#/fork/join/3")
    first = tab.locator(".part-group").first
    assert first.locator(".part-layer").count() >= 2
    shares = [
        float(re.search(r"([\d.]+)\s%", text)[1]) for text in first.locator(".part-layer").all_inner_texts()
    ]
    assert shares == sorted(shares, reverse=True)
    expect(tab.locator(".circuit-part >> nth=1").locator(".part-row")).to_have_count(6)
    open_section(tab, f"{site}#/fork/stem/3")
    expect(tab.locator(".circuit-part").first).to_contain_text("This layer reads the input image directly.")
    assert tab_troubles == []


def test_a_store_without_circuits_is_shown_without_them(page, site, troubles):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    visit(page, f"{site}#/residual/head/3")
    expect(page.locator(".stat")).to_have_count(5)
    expect(page.locator(".circuit-section")).to_have_count(0)
    visit(page, f"{site}#/residual/circuit/head/3")
    expect(page.locator(".message")).to_contain_text("has no circuits")
    page.click("text=One level up")
    heading(page, "Filter 3")
    assert not any("/circuits/" in url for url in fetched)
    assert troubles == []


@pytest.mark.parametrize("text", ['{"format": 2, "lay', '{"format": 2}', "[]", None])
def test_a_damaged_file_leaves_the_rest_of_the_page(page, site, text):
    answer = {"status": 404} if text is None else {"body": text, "content_type": "application/json"}
    page.route("**/circuits/conv3.json", lambda route: route.fulfill(**answer))
    open_section(page, site + FILTER)
    expect(page.locator(".circuit-body")).to_contain_text("The circuit cannot be shown.")
    expect(page.locator(".stat")).to_have_count(5)
    visit(page, site + CIRCUIT)
    expect(page.locator(".message")).to_be_visible()


def test_a_damaged_file_upstream_ends_the_tree(page, site):
    page.route("**/circuits/conv2.json", lambda route: route.fulfill(body="{}"))
    visit(page, f"{site}{CIRCUIT}?depth=3")
    expect(nodes(page)).to_have_count(5)
    expect(page.locator("[role=status].chart-note")).to_contain_text("The circuits of conv2 cannot be read.")


def test_nodes_are_opened_folded_and_removed(page, site, troubles):
    visit(page, f"{site}{FILTER}")
    page.locator(".circuit-section").scroll_into_view_if_needed()
    page.click(".circuit-head a[data-direction=up]")
    heading(page, "Circuit of conv3:7")
    expect(nodes(page)).to_have_count(21)
    node(page, "0").locator(".node-handle").click()
    expect(nodes(page)).to_have_count(17)
    assert page.url.endswith("?folded=0")
    page.go_back()
    expect(nodes(page)).to_have_count(21)
    node(page, "").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(node(page, "0")).to_be_focused()
    page.keyboard.press("Enter")
    expect(node(page, "0")).to_have_attribute("aria-expanded", "false")
    expect(node(page, "0")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")
    expect(nodes(page)).to_have_count(12)
    expect(node(page, "")).to_be_focused()
    assert page.url.endswith("?folded=0&removed=1")
    page.reload()
    expect(nodes(page)).to_have_count(12)
    page.click("text=Show all again")
    expect(nodes(page)).to_have_count(17)
    node(page, "1").click(position={"x": 40, "y": 30})
    expect(page.locator(".node-panel")).to_contain_text(
        re.compile(r"It (excites|inhibits) conv3:7: .+ of its sum")
    )
    page.click(".node-panel >> text=Hide inputs")
    expect(nodes(page)).to_have_count(13)
    expect(page.locator(".node-panel >> text=Show inputs")).to_be_focused()
    page.click(".node-panel >> text=Make root")
    heading(page, re.compile(r"^Circuit of conv2:\d+$"))
    page.click("text=To the filter")
    page.wait_for_selector(".view.filter")
    assert troubles == []


def test_the_panel_shows_the_expanded_weights_of_a_filter_two_layers_on(page, site, troubles):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    visit(page, f"{site}{CIRCUIT}?depth=2&width=3")
    expanded = page.locator(".node-expanded")
    node(page, "1").click()
    expect(page.locator(".node-panel .kernel")).to_have_count(1)
    expect(expanded).to_have_count(0)
    assert not any("/expanded/" in url for url in fetched), "only a filter two layers on needs them"
    node(page, "1.2").click()
    expect(expanded).to_contain_text("Expanded weights to conv3:7: the sum over all paths")
    expect(expanded.locator(".kernel title")).to_have_text(re.compile("^kernel of 5 by 5 weights, "))
    assert [url.rpartition("/")[2] for url in fetched if "/expanded/" in url] == ["conv3.json"]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert_no_faults(page)
    node(page, "").click()
    expect(expanded).to_have_count(0)
    visit(page, f"{site}#/chain/circuit/conv1/3?depth=2&width=3&direction=down")
    node(page, "0.0").click()
    expect(page.locator(".node-panel-name")).to_contain_text("conv3:")


@pytest.mark.parametrize(
    "text", ["", "{", '{"format":2,"layer":"conv3","upstream":[],"filters":[null,{"channel":7}]}']
)
def test_damaged_expanded_weights_are_left_out(page, site, text):
    page.route("**/expanded/conv3.json", lambda route: route.fulfill(body=text))
    visit(page, f"{site}{CIRCUIT}?depth=2&width=3")
    with page.expect_response("**/expanded/conv3.json"):
        node(page, "1.2").click()
    expect(page.locator(".node-panel-name")).to_contain_text("conv1:")
    expect(page.locator(".node-expanded")).to_have_count(0)


def test_depth_width_and_direction_are_in_the_address(page, site, troubles):
    visit(page, f"{site}#/chain/circuit/conv1/3?direction=down&depth=1&width=2")
    expect(nodes(page)).to_have_count(3)
    page.click("[data-value=depth-2]")
    expect(nodes(page)).to_have_count(7)
    page.click("[data-value=width-3]")
    expect(nodes(page)).to_have_count(13)
    expect(page.locator("[data-value=width-3]")).to_be_focused()
    page.click("[data-value=direction-up]")
    expect(nodes(page)).to_have_count(1)
    expect(page.locator("[role=status].chart-note")).to_contain_text("this layer reads the input image")
    page.keyboard.press("Escape")
    heading(page, "Filter 3")
    assert troubles == []


def test_a_filter_that_occurs_twice_is_marked(tab, site):
    visit(tab, f"{site}#/fork/circuit/head/2?depth=4&width=4")
    marked = tab.locator(".node:has(.node-copies)")
    assert marked.count() >= 2
    marked.first.focus()
    name = marked.first.get_attribute("data-filter")
    expect(tab.locator(".node.same").first).to_have_attribute("data-filter", name)


def test_the_drawing_is_saved_with_its_pictures(page, site, tmp_path, troubles):
    visit(page, site + CIRCUIT)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.node image')].every((e) => e.hasAttribute('href'))"
    )
    with page.expect_download() as saved:
        page.click("[aria-label='Save as SVG']")
    assert saved.value.suggested_filename == "circuit-chain-conv3-7.svg"
    saved.value.save_as(tmp_path / "circuit.svg")
    root = ET.parse(tmp_path / "circuit.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    images = root.findall(".//{*}image")
    assert len(images) == 21
    assert all(image.get("href").startswith("data:image/jpeg;base64,") for image in images)
    names = {name for element in root.iter() for name in element.attrib}
    assert not names & {"class", "style", "tabindex", "aria-label"}
    with page.expect_download() as saved:
        page.click("[aria-label='Save as PNG']")
    saved.value.save_as(tmp_path / "circuit.png")
    with Image.open(tmp_path / "circuit.png") as picture:
        assert picture.size == tuple(2 * int(float(root.get(side))) for side in ("width", "height"))
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 500
    assert troubles == []


def test_hostile_names_stay_text(page, site, tmp_path, troubles):
    open_section(page, f"{site}#/hostile/{HOSTILE_JOIN}/3")
    expect(page.locator(".part-label").first).to_contain_text(":")
    visit(page, f"{site}#/hostile/circuit/{HOSTILE_JOIN}/3")
    expect(nodes(page).first).to_be_visible()
    with page.expect_download() as saved:
        page.click("[aria-label='Save as SVG']")
    saved.value.save_as(tmp_path / "circuit.svg")
    assert "<img" not in Path(tmp_path / "circuit.svg").read_text("utf-8")
    with page.expect_download():
        page.click("[aria-label='Save as PNG']")
    assert page.title() != "owned"
    assert page.locator('img[src="x"]').count() == 0
    for view in ("#/chain/circuit/%3Cimg%3E/1", f"{CIRCUIT}7777", f"{CIRCUIT}?opened=%3Cimg%3E&depth=9"):
        visit(page, site + view)
    assert troubles == []


@pytest.mark.parametrize("view", [CIRCUIT, "#/fork/circuit/head/2?depth=4&width=3"])
def test_the_view_fits_every_window(tab, site, view, tab_troubles):
    visit(tab, site + view)
    for width in (2560, 1280, 360):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.wait_for_timeout(80)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, width
        rows = tab.locator(".circuit-drawing.rows").count()
        assert rows == (width == 360)
        inside = tab.evaluate(
            """() => { const room = document.querySelector('.circuit-map').getBoundingClientRect();
                return [...document.querySelectorAll('.node')].every((node) => {
                    const { left, right } = node.querySelector('.node-back').getBoundingClientRect();
                    return left >= room.left - 1 && right <= room.right + 1;
                }); }"""
        )
        assert inside, width
    assert tab_troubles == []


def test_circuits_have_no_violations(tab, site):
    for address in (f"{site}#/fork/join/3", site + FILTER):
        open_section(tab, address)
        tab.wait_for_function(LOADED)
        assert_no_faults(tab)
        for width in (2560, 360):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, width
    for width in (1280, 360):
        tab.set_viewport_size({"width": width, "height": 900})
        visit(tab, f"{site}{CIRCUIT}?width=2")
        assert_no_faults(tab)


def test_zooming_keeps_the_tree_in_reach(page, site):
    visit(page, f"{site}{CIRCUIT}?depth=2&width=6")
    scale = "() => new DOMMatrix(getComputedStyle(document.querySelector('.circuit-map .world')).transform).a"
    before = page.evaluate(scale)
    assert before < 0.7
    node(page, "5").focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    wait_for(page, lambda: page.evaluate(scale) > before * 1.4)
    page.keyboard.press("0")
    wait_for(page, lambda: abs(page.evaluate(scale) - before) < 1e-3)
