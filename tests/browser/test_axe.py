"""No accessibility fault that axe-core knows, in any view, in both themes."""

import hashlib

import pytest
from playwright.sync_api import expect

from torchlurk.web.live_server import LiveServer

from . import axe
from .axe import assert_no_faults, faults
from .growing_store import Growing
from .steps import search, visit

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


def test_axe_is_the_one_that_was_vendored():
    for line in (axe.FOLDER / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((axe.FOLDER / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("view", VIEWS)
def test_no_violations(tab, site, view):
    visit(tab, site + view)
    assert_no_faults(tab)


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
