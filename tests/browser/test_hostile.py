"""Hostile names of images, labels and layers stay harmless in the store, the site and the page."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from playwright.sync_api import expect

from torchlurk.cli.main import main
from torchlurk.web.live_server import LiveServer

from .made_up_site import served
from .steps import visit

IMAGE = '<img src=x onerror="window.owned = 1">'
SCRIPT = '"><script>window.owned = 2</script>'
DRAWING = "</text></svg><svg onload='window.owned = 3'>"
LINK = "javascript:window.owned = 4"
LONG = "<b>very</b> long " * 600
CLASSES = (
    IMAGE,
    SCRIPT,
    DRAWING,
    LINK,
    LONG,
    "line\nbreak\r\nSet-Cookie: x",
    "\u202egnp.exe\u2066",
    "{{7*7}} ${7*7}",
)
NETWORK = "<img src=x onerror=window.owned=5>"

NETS = """
    from torch import nn

    class Net(nn.Module):
        def __init__(self, first, second, outputs):
            super().__init__()
            self.add_module(first, nn.Conv2d(3, 4, 3))
            self.add_module(second, nn.Conv2d(4, 5, 3))
            self.add_module("head", nn.Linear(5, outputs))
            self.names = first, second

        def forward(self, x):
            for name in self.names:
                x = self._modules[name](x).relu()
            return self.head(x.mean((2, 3)))

    def net():
        network = Net({first!r}, {second!r}, {outputs})
        network.__class__ = type({title!r}, (Net,), {{}})
        return network, None, {classes!r}
"""
FIRST, SECOND = f"{IMAGE} a/b".replace(".", ""), f"{DRAWING} ?c=d#e%41".replace(".", "")
CLEAN = """() => [...document.querySelectorAll("*")].flatMap((node) => [
    ...[...node.attributes].filter((a) => a.name.startsWith("on") || /^\\s*javascript:/i.test(a.value))
        .filter((a) => !["title", "aria-label", "alt"].includes(a.name) && !a.name.startsWith("data-"))
        .map((a) => `${node.tagName} ${a.name}=${a.value}`),
    ...(node.tagName === "SCRIPT" && !node.src ? ["a script in the page"] : []),
    ...(node.tagName === "IMG" && node.getAttribute("src") === "x" ? ["an image from a name"] : []),
])"""
VIEWS = (
    "",
    "#/{network}",
    "#/{network}/{first}",
    "#/{network}/{second}",
    "#/{network}/head",
    "#/{network}/{first}/0",
    "#/{network}/{second}/3",
    "#/{network}/head/1",
    *(f"#/{{network}}?class={number}" for number in range(len(CLASSES))),
    "#/{network}/{second}?class=2",
    "#/{first}",
    "#/{network}/{second}/99999",
    "#/%3Cimg%20src=x%20onerror=window.owned=6%3E/<img src=x onerror=window.owned=7>",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the command line computes."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = []
    for number, label in enumerate(CLASSES * 2):
        name = f"{number} {os.fsdecode(IMAGE.encode().replace(b'/', b'')) if number % 2 else 'x'}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(folder / name)
        rows.append('"{}","{}"'.format(name.replace('"', '""'), label.replace('"', '""')))
    (folder / "t.csv").write_text("path,label\n" + "\n".join(rows) + "\n", "utf-8", newline="")
    text = textwrap.dedent(NETS).format(
        first=FIRST, second=SECOND, outputs=len(CLASSES), title=SCRIPT, classes=CLASSES
    )
    (folder / "nets.py").write_text(text, "utf-8")
    command = ["precompute", "--model", "nets.py:net", "--images", "t.csv", "--out", f"saved/{NETWORK}"]
    command += ["--layers", "kind:Conv2d", "--layers", "logits", "--size", "48", "--filters", "2"]
    command += ["--ascent", "naive", "--device", "cpu", "--workers", "0"]
    with chdir(folder):
        result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return folder / "saved" / NETWORK


@pytest.fixture(scope="module")
def site(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served([store], tmp_path_factory.mktemp("host")) as url:
        yield url


@pytest.fixture(scope="module")
def live(store: Path) -> Iterator[str]:
    with LiveServer([store]) as server:
        yield server.url


def check_harmless(page, troubles) -> None:
    assert page.evaluate("() => window.owned") is None
    assert page.evaluate(CLEAN) == []
    assert troubles == []


@pytest.mark.parametrize("server", ["site", "live"])
def test_no_view_runs_or_renders_markup_in_names(page, server, request, troubles):
    url = request.getfixturevalue(server)
    hosts: set[str] = set()
    page.on("request", lambda r: hosts.add(r.url.split("/")[2]))
    page.on("dialog", lambda dialog: troubles.append(f"a dialog: {dialog.message}"))
    parts = {
        "network": quote(NETWORK, safe=""),
        "first": quote(FIRST, safe=""),
        "second": quote(SECOND, safe=""),
    }
    for view in VIEWS:
        visit(page, url + view.format(**parts))
        check_harmless(page, troubles)
    page.reload()  # with a hash that is not a route
    page.wait_for_selector(".view, .message")
    check_harmless(page, troubles)
    assert hosts == {url.split("/")[2]}


def test_names_are_shown_verbatim(page, site, troubles):
    page.goto(site)
    expect(page.locator("h1")).to_have_text(SCRIPT)
    assert page.title().startswith(SCRIPT)
    cards = page.locator(".card")
    expect(cards).to_have_count(3)
    expect(page.locator(".card", has_text=FIRST).first).to_be_visible()
    page.locator(".card", has_text=SECOND).first.click()
    page.locator(".tile").first.click()
    page.wait_for_selector(".view.filter")
    titles = page.evaluate(
        "() => [...document.querySelectorAll('[title]')].map((node) => node.title).join(' ')"
    )
    assert "<" in titles
    expect(page.locator("main")).to_contain_text("<")
    page.goto(f"{site}#/{quote(NETWORK, safe='')}?class=0")
    page.wait_for_selector(".view")
    assert any(name in page.inner_text("main") for name in (IMAGE, SCRIPT, DRAWING, LINK))
    check_harmless(page, troubles)


@pytest.mark.parametrize("query", ["<img", "script", "javascript:", "very", "{{"])
def test_search_finds_names_as_text(page, site, troubles, query):
    page.goto(site)
    page.wait_for_selector(".card")
    page.keyboard.press("/")
    page.fill("#search-input", query)
    page.wait_for_selector(".hits a")
    page.keyboard.press("ArrowDown")
    check_harmless(page, troubles)


@pytest.mark.parametrize("width", [390, 1280])
def test_very_long_names_do_not_widen_the_page(page, site, width):
    page.set_viewport_size({"width": width, "height": 900})
    parts = {
        "network": quote(NETWORK, safe=""),
        "first": quote(FIRST, safe=""),
        "second": quote(SECOND, safe=""),
    }
    for view in VIEWS[:16]:
        visit(page, site + view.format(**parts))
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, view


def test_the_content_security_policy_blocks_injected_scripts(page, site, troubles):
    page.goto(site)
    page.wait_for_selector(".card")
    page.evaluate(
        """() => {
            document.body.insertAdjacentHTML("beforeend", '<img src=x onerror="window.owned = 8">');
            const script = document.createElement("script");
            script.textContent = "window.owned = 9";
            document.body.append(script);
            const far = document.createElement("script");
            far.src = "http://127.0.0.2:9/evil.js";
            document.body.append(far);
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("() => window.owned") is None
    refused = [line for line in troubles if "Content Security Policy" in line]
    assert len(refused) >= 3
