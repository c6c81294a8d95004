"""Fixtures: the synthetic site, comparisons and a browser."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright import sync_api

from .made_up_comparison import NAMES, make_comparison, make_moment
from .made_up_site import BRANCH_EDGES, BRANCHES, CHAIN, HOSTILE, make_store, residual, served
from .packed import pack_store

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def stores(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("stores")
    chain = [(a[0], b[0]) for a, b in pairwise(CHAIN)]
    return [
        make_store(folder, "chain", CHAIN, chain),
        make_store(folder, "fork", BRANCHES, BRANCH_EDGES, rich=2),
        make_store(folder, "hostile", BRANCHES, BRANCH_EDGES, text=HOSTILE),
        make_store(folder, "old", CHAIN[::2], [("conv1", "conv3")], by_class=False, packed=False),
        make_store(folder, "residual", *residual(), rich=2),
    ]


@pytest.fixture(scope="session")
def site(stores, tmp_path_factory) -> Iterator[str]:
    """Serve the synthetic site and yield its URL."""
    with served(stores, tmp_path_factory.mktemp("host"), circuits=("chain", "fork", "hostile")) as url:
        yield url


@pytest.fixture(scope="session")
def moments(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("moments")


@pytest.fixture(scope="session")
def compared_stores(moments) -> list[Path]:
    """Return three snapshots of a network, two hostile stores, and comparisons of them."""
    stores = [make_moment(moments, name, moment) for moment, name in enumerate(NAMES)]
    few = [("stem", 4), ("logits", 3)]
    strange = [make_moment(moments, f"odd{i}", i, few, text=HOSTILE) for i in range(2)]
    comparisons = [
        make_comparison(moments, "early-to-last", stores),
        make_comparison(moments, "two", [stores[0], stores[2]]),
        make_comparison(moments, "alone", [stores[0], stores[2]], networks=False),
        make_comparison(moments, "strange", strange),
    ]
    for store in (stores[0], stores[1], *strange):
        pack_store(store)
    return [*stores, *strange, *comparisons]


@pytest.fixture(scope="session")
def compared(compared_stores, tmp_path_factory):
    with served(compared_stores, tmp_path_factory.mktemp("host")) as url:
        yield url


@pytest.fixture(scope="session")
def chromium():
    assert CHROMIUM.exists(), "the browser tests need Debian's chromium: run make chromium"
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield browser
        browser.close()


class Troubles(list):
    """Problems of a page: console errors and warnings, exceptions, failed requests."""

    def watch(self, page) -> None:
        page.on("console", lambda m: m.type in ("error", "warning") and self.append(m.text))
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("response", lambda r: r.status >= 400 and self.append(f"{r.status} {r.url}"))
        page.on("requestfailed", self.failed)

    def failed(self, request) -> None:
        # Leaving a view aborts its pending requests, which is intended.
        if request.failure != "net::ERR_ABORTED":
            self.append(f"{request.failure} {request.url}")


@pytest.fixture
def troubles() -> Troubles:
    return Troubles()


SIZE = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def profile(chromium):
    """A browser profile that all tests share, so that cached files are only revalidated."""
    context = chromium.new_context(viewport=SIZE)
    context.set_default_timeout(8000)
    yield context
    context.close()


@pytest.fixture
def page(profile, troubles):
    """A new page, 1280 pixels wide, with empty local storage; `troubles` collects its problems."""
    page = profile.new_page()
    troubles.watch(page)
    yield page
    clear_storage(page)
    page.close()


def clear_storage(page) -> None:
    """Remove the theme that the page stores for the next visit."""
    if page.url.startswith("http"):
        page.evaluate("localStorage.clear()")


@pytest.fixture(scope="session")
def shared_page(profile) -> Iterator[tuple]:
    page = profile.new_page()
    collected = Troubles()
    collected.watch(page)
    yield page, collected
    page.close()


@pytest.fixture
def tab(shared_page):
    """A shared page, for tests that only visit views and change the size and the theme of the page.

    These tests navigate within a site as a visitor does, so scripts and data are not loaded again.
    `tab_troubles` collects the problems of the page.
    """
    page, collected = shared_page
    page.set_viewport_size(SIZE)
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    page.mouse.move(0, 0)
    collected.clear()
    return page


@pytest.fixture
def tab_troubles(shared_page) -> Troubles:
    return shared_page[1]
