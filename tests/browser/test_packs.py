"""Pictures that are parts of files: what is shown and what is fetched, from hosts with ranges and without."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from torchlurk.web.publish import build_site
from torchlurk.web.static_server import make_server, serve_in_thread

from .made_up_site import CHAIN, K, jpeg, make_store
from .packed import thumb
from .plain_host import serve_plainly
from .steps import LOADED, heading

HOSTS = {"ranges": lambda folder: serve_in_thread(make_server(folder, port=0)), "no ranges": serve_plainly}

PIXELS = """(image) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/png");
}"""
SCROLL_TO = """(share) => {
    const { top, height } = document.querySelector(".tiles").getBoundingClientRect();
    scrollTo(0, scrollY + top + share * height - innerHeight / 2);
}"""
FAILS = """(url) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(false);
    image.onerror = () => done(true);
    image.src = url;
})"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("packs")
    edges = [(a[0], b[0]) for a, b in pairwise(CHAIN)]
    large = make_store(base / "stores", "large", [("conv", 4)], [], side=224)
    build_site([make_store(base / "stores", "chain", CHAIN, edges), large], base / "site")
    return base / "site"


@pytest.fixture(scope="module", params=HOSTS)
def host(request, folder) -> Iterator[str]:
    with HOSTS[request.param](folder) as url:
        yield url


@pytest.fixture
def visitor(chromium, troubles):
    """A page with a cache of its own; `requested` are the URLs that it asks a server for."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(8000)
    page = context.new_page()
    troubles.watch(page)
    page.requested = []
    page.on("request", lambda request: request.url.startswith("http") and page.requested.append(request.url))
    yield page
    context.close()


def settle(page) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_function(LOADED)


def scroll_to_end(page) -> None:
    """Scroll down by half a window at a time, as a reader does."""
    for _ in range(100):
        settle(page)
        before = page.evaluate("scrollY")
        page.evaluate("scrollBy(0, innerHeight / 2)")
        page.wait_for_timeout(50)
        if page.evaluate("scrollY") == before:
            return
    raise AssertionError("the page does not end")


def difference(image, expected: bytes) -> float:
    """Return the mean difference of the pixels that an element shows from those of a JPEG file."""
    data = base64.b64decode(image.evaluate(PIXELS).partition(",")[2])
    shown = np.asarray(Image.open(BytesIO(data)).convert("RGB"), float)
    wanted = np.asarray(Image.open(BytesIO(expected)).convert("RGB"), float)
    assert shown.shape == wanted.shape
    return float(abs(shown - wanted).mean())


def picture(page, name: str):
    image = page.locator(f"img[data-picture='saved_model/chain/{name}']").first
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("complete", True)
    page.wait_for_function("(image) => image.naturalWidth > 0", arg=image.element_handle())
    return image


def seed(layer: int, channel: int) -> int:
    return (layer * 31 + channel) % 12


def test_every_picture_is_the_right_one(visitor, host, troubles):
    visitor.goto(f"{host}#/chain/conv2")
    heading(visitor, "conv2")
    for channel in (0, 7, 70, 130, 511):
        visitor.evaluate(SCROLL_TO, channel / 512)
        shown = picture(visitor, f"thumbs/conv2/cropped-{channel}")
        assert difference(shown, thumb(jpeg(seed(1, channel), 48, 48 * K), 48)) < 2
    visitor.goto(f"{host}#/chain/conv2/17")
    heading(visitor, "Filter 17")
    for kind, side in {"cropped": 48, "cropped_grad": 48, "max_activ": 64}.items():
        shown = picture(visitor, f"{kind}/conv2/17.jpg")
        assert difference(shown, jpeg(seed(1, 17), side, side * (1 if kind == "max_activ" else K))) < 2
    for i in range(K):
        assert difference(picture(visitor, f"images/{i}.jpg"), jpeg(100 + i, 64, 64)) < 2
    visitor.click("text=Overlay")
    shown = picture(visitor, "avg_grads/conv2/17.jpg")
    assert difference(shown, jpeg(seed(1, 17), 64, 64 * K)) < 2
    visitor.goto(f"{host}#/chain/conv1?tile=image")
    assert difference(picture(visitor, "thumbs/conv1/image-3"), thumb(jpeg(100, 64, 64))) < 2
    visitor.goto(f"{host}#/chain")
    shown = picture(visitor, "thumbs/conv3/max_activ-3")
    assert difference(shown, thumb(jpeg(seed(2, 3), 64, 64))) < 2
    assert troubles == []


def test_views_make_few_requests(visitor, host, troubles):
    visitor.goto(f"{host}#/chain")
    scroll_to_end(visitor)
    assert len(visitor.requested) <= 12  # five of the page, five of data, and pictures
    visitor.requested.clear()
    visitor.click(".card[data-layer=conv2]")
    heading(visitor, "conv2")
    scroll_to_end(visitor)
    packs = [url for url in visitor.requested if ".bin" in url]
    assert len(packs) == len(set(packs)) == 8
    assert len(visitor.requested) <= 10
    visitor.requested.clear()
    visitor.goto(f"{host}#/chain/conv2/17")
    heading(visitor, "Filter 17")
    scroll_to_end(visitor)
    assert len(visitor.requested) <= 6  # the images are in one file
    assert troubles == []


def test_a_host_without_ranges_sends_each_file_once(visitor, folder, troubles):
    with serve_plainly(folder) as url:
        visitor.goto(f"{url}#/chain/conv2/17")
        heading(visitor, "Filter 17")
        scroll_to_end(visitor)
        for channel in (18, 19):
            visitor.click("a[rel=next]")
            heading(visitor, f"Filter {channel}")
            scroll_to_end(visitor)
    counts = Counter(url for url in visitor.requested if ".bin" in url)
    assert counts
    assert set(counts.values()) == {1}
    assert troubles == []


def test_pictures_are_released_with_their_view(visitor, host, troubles):
    visitor.goto(f"{host}#/large/conv/0")
    settle(visitor)
    urls = visitor.locator("main img[src]").evaluate_all("(all) => [...new Set(all.map((i) => i.src))]")
    blobs = [url for url in urls if url.startswith("blob:")]
    assert blobs
    assert not any(visitor.evaluate(FAILS, url) for url in urls)
    visitor.click(".crumbs a >> nth=1")
    heading(visitor, "conv")
    assert all(visitor.evaluate(FAILS, url) for url in blobs)
    assert [text for text in troubles if "ERR_FILE_NOT_FOUND" not in text] == []


def test_leaving_a_view_abandons_its_pictures(visitor, host):
    visitor.goto(f"{host}#/chain")
    settle(visitor)
    failed = []
    visitor.on("requestfailed", lambda request: failed.append((request.failure, request.url)))
    visitor.route("**/pictures/**", lambda _: None)  # never answers
    visitor.evaluate("location.hash = '#/chain/conv2/3'")
    heading(visitor, "Filter 3")
    visitor.wait_for_timeout(300)
    assert failed == []
    visitor.evaluate("location.hash = '#/chain'")
    heading(visitor, "Chain")
    visitor.wait_for_timeout(300)
    assert failed
    assert all("ABORTED" in failure and "/pictures/conv2/" in url for failure, url in failed)


def test_a_failed_request_marks_the_pictures_and_is_made_again(visitor, host):
    visitor.route("**/images/*.bin", lambda route: route.abort())
    visitor.goto(f"{host}#/chain/conv2/3")
    heading(visitor, "Filter 3")
    expect(visitor.locator(".hero .figures .missing")).to_have_count(4)
    expect(visitor.locator(".pair .missing")).to_have_count(0)
    visitor.unroute("**/images/*.bin")
    visitor.click(".choice:text-is('Gradient')")
    visitor.click(".choice:text-is('Image')")
    expect(visitor.locator(".hero .figures .missing")).to_have_count(0)
    settle(visitor)


def test_a_redraw_keeps_the_pictures(visitor, host, troubles):
    visitor.goto(f"{host}#/chain/conv1/15")  # the last of its layer: no other is fetched ahead
    heading(visitor, "Filter 15")
    scroll_to_end(visitor)
    visitor.requested.clear()
    for choice in ("Gradient", "Overlay", "Image"):
        visitor.click(f".choice:text-is('{choice}')")
        settle(visitor)
    assert [url for url in visitor.requested if "saved_model" in url] == []
    assert troubles == []
