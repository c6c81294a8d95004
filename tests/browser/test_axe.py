"""No view has an accessibility violation that axe-core finds, in either theme."""

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


def test_the_vendored_axe_matches_its_checksums():
    for line in (axe.FOLDER / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((axe.FOLDER / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("view", VIEWS)
def test_views_have_no_violations(tab, site, view):
    visit(tab, site + view)
    assert_no_faults(tab)


def test_the_search_dialog_has_no_violations(page, site):
    page.goto(f"{site}#/chain")
    page.wait_for_selector(".card")
    search(page, "c")
    page.wait_for_selector(".hits a")
    assert faults(page, "dialog") == []


def test_a_live_page_has_no_violations(page, tmp_path):
    growing = Growing(tmp_path, packed=True)
    growing.stages()
    growing.progress("scan", "image", 120, 1234)
    with LiveServer([growing.store]) as server:
        for view in ("#/toy", "#/toy/conv1"):
            page.goto(server.url + view)
            page.wait_for_selector(".view, .message")
            expect(page.locator(".live-share")).to_be_visible()
            assert_no_faults(page)
