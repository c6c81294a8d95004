"""No accessibility fault that axe-core knows, in any view, in both themes."""

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import expect

from torchlurk.web.live_server import LiveServer

from .steps import search
from .test_live import Growing

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1"
VIEWS = [
    "#/chain",
    "#/fork",
    "#/chain/conv3",
    "#/fork/join?tile=ascent",
    "#/chain/conv3/1",
    "#/chain/conv2/300",
    "#/residual",
    "#/residual?class=0",
    "#/chain?class=2&tile=ascent",
    "#/chain?class=3",
    "#/old?class=1",
    "#/nope",
]


def faults(page, what="html"):
    """What axe finds wrong, each with some of the elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.joinpath("axe.min.js").read_text())
    found = page.evaluate("what => axe.run(what, {resultTypes: ['violations']})", what)["violations"]
    return [(v["id"], [n["html"][:140] for n in v["nodes"][:3]]) for v in found]


def assert_no_faults(page):
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # a colour half way would fail
        page.wait_for_timeout(60)
        assert faults(page) == [], (page.url, theme)


def test_axe_is_the_one_that_was_vendored():
    for line in (AXE / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((AXE / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("view", VIEWS)
def test_no_violations(page, site, view):
    page.goto(site + view)
    page.wait_for_selector(".view, .message")
    assert_no_faults(page)


def test_axe_on_the_search_dialog(page, site):
    page.goto(f"{site}#/chain")
    page.wait_for_selector(".card")
    search(page, "c")
    page.wait_for_selector(".hits a")
    assert faults(page, "dialog") == []


def test_axe_on_a_page_that_follows_a_store(page, tmp_path):
    growing = Growing(tmp_path)
    growing.stages()
    growing.progress("scan", "image", 120, 1234)
    with LiveServer([growing.store]) as server:
        for view in ("#/toy", "#/toy/conv1"):
            page.goto(server.url + view)
            page.wait_for_selector(".view, .message")
            expect(page.locator(".live-share")).to_be_visible()
            assert_no_faults(page)
