"""`python -m benchmarks.site [FOLDER]`: check the requests, size and speed of the page against budgets."""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from playwright.sync_api import Browser, Page, Response, sync_playwright

from benchmarks.widened import compared, layers_of, widened
from torchlurk.web.page import STORES_FOLDER
from torchlurk.web.publish import build_site
from torchlurk.web.static_server import make_server, serve_in_thread

CHROMIUM = "/usr/bin/chromium"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FILTERS_PER_FIGURE = 512
FILTERS_MEASURED = 6

CIRCUIT = "() => document.querySelector('.circuit-section')?.scrollIntoView()"

GO = "(hash) => { location.hash = hash; }"

# Measure from the arrival of a layer's data to the frame that shows its tiles. The second
# animation frame after the insertion of the tiles starts when the first one is painted.
OPEN = """(hash) => new Promise((done) => {
  const watch = new MutationObserver(() => {
    if (!document.querySelector('.view.layer .tile')) return;
    watch.disconnect();
    requestAnimationFrame(() => requestAnimationFrame((painted) => {
      const data = performance.getEntriesByType('resource').filter((e) => e.name.includes('/layers/')).at(-1);
      done(painted - data.responseEnd);
    }));
  });
  watch.observe(document.querySelector('main'), { childList: true, subtree: true });
  location.hash = hash;
})"""

# Scroll down by a quarter of the window per frame, then jump to scattered positions; time every frame.
SCROLL = """() => new Promise((done) => {
  const frames = [];
  const most = 240;
  let last = null;
  const height = document.documentElement.scrollHeight;
  const step = (now) => {
    if (last !== null) frames.push(now - last);
    last = now;
    if (frames.length >= most) return done(frames);
    if (frames.length < most * 2 / 3) scrollBy(0, innerHeight / 4);
    else scrollTo(0, height * ((frames.length * 0.37) % 1));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


@dataclass(frozen=True)
class Figure:
    """A row of the table.

    Attributes:
        name: The quantity.
        value: The measured value.
        unit: The unit of the value and of the budget.
        budget: The largest value that is allowed.
    """

    name: str
    value: float
    unit: str
    budget: float

    @property
    def within_budget(self) -> bool:
        """Whether the value is within the budget."""
        return self.value <= self.budget


def packed(data: bytes) -> float:
    """Return the size in KB after gzip, as a static host sends it."""
    return len(gzip.compress(data, 6, mtime=0)) / 1000


def fresh_page(browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    return page


class Traffic:
    """What a page fetches: a static host compresses texts, and sends pictures as they are."""

    def __init__(self, page: Page) -> None:
        self._responses: list[Response] = []
        page.on("response", self._add)

    def _add(self, response: Response) -> None:
        if response.url.startswith("http"):  # a picture of a pack has an address of its own in the page
            self._responses.append(response)

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self._responses)

    def kilobytes(self, *, pictures: bool = True) -> float:
        """Return the size of the answers, with or without pictures."""
        return sum(
            len(response.body()) / 1000 if is_picture(response.url) else packed(response.body())
            for response in self._responses
            if pictures or not is_picture(response.url)
        )

    def figures(self, name: str, requests: int, kilobytes: int | None = None) -> list[Figure]:
        """Return rows for the requests and, if there is a budget, for their size."""
        rows = [Figure(f"{name}: requests", self.requests, "", requests)]
        if kilobytes is not None:
            rows.append(Figure(f"{name}: all that is sent", self.kilobytes(), "KB", kilobytes))
        return rows


def is_picture(url: str) -> bool:
    return url.partition("?")[0].endswith((".jpg", ".png", ".bin"))


def settle(page: Page) -> None:
    page.wait_for_selector(".view")
    page.wait_for_load_state("networkidle")


def scroll_to_end(page: Page) -> None:
    """Scroll down by half a window at a time, and wait for what is fetched."""
    before = -1.0
    while before != (before := float(page.evaluate("scrollY"))):
        settle(page)
        page.evaluate("scrollBy(0, innerHeight / 2)")
        page.wait_for_timeout(100)
    settle(page)


def first_view(browser: Browser, url: str) -> list[Figure]:
    """Measure what the view of the first network fetches."""
    page = fresh_page(browser)
    traffic = Traffic(page)
    page.goto(url)
    settle(page)
    rows = [
        Figure("first view without images", traffic.kilobytes(pictures=False), "KB gzip", 350),
        *traffic.figures("network view", 40, 600),
    ]
    scroll_to_end(page)
    rows += traffic.figures("network view, scrolled to its end", 40, 600)
    page.context.close()
    return rows


def layer_traffic(browser: Browser, url: str, route: str, layer: str, label: str) -> list[Figure]:
    """Measure what a layer fetches that is opened from the view of its network and scrolled to its end."""
    page = fresh_page(browser)
    page.goto(f"{url}#/{route}")
    settle(page)
    traffic = Traffic(page)
    page.evaluate(GO, f"#/{route}/{layer}")
    page.wait_for_selector(".view.layer .tile")
    scroll_to_end(page)
    rows = traffic.figures(f"{label}, scrolled to its end", 20, 1500)
    page.context.close()
    return rows


def filter_traffic(
    browser: Browser, url: str, layer: str, channels: Sequence[int], circuits: bool
) -> list[Figure]:
    """Measure what the page of a filter fetches, coming from its network: the most of some filters.

    `layer` is the route of the layer, with its network. With `circuits`, the page has more pictures.
    """
    network = layer.partition("/")[0]
    opened: list[int] = []
    scrolled: list[int] = []
    for channel in channels:
        page = fresh_page(browser)
        page.goto(f"{url}#/{network}")
        settle(page)
        traffic = Traffic(page)
        page.evaluate(GO, f"#/{layer}/{channel}")
        page.wait_for_selector(".view.filter")
        page.wait_for_timeout(1000)  # the neighbours are fetched when the browser has nothing else to do
        settle(page)
        opened.append(traffic.requests)
        scroll_to_end(page)
        scrolled.append(traffic.requests)
        page.context.close()
    return [
        Figure("filter page: requests", max(opened), "", 12),
        Figure("filter page, scrolled to its end: requests", max(scrolled), "", 32 if circuits else 16),
    ]


def circuit_traffic(browser: Browser, url: str, layer: str, channels: Sequence[int]) -> list[Figure]:
    """Measure what circuits fetch, on the page of a filter and in their own view: the most of some."""
    network, _, name = layer.partition("/")
    section: list[int] = []
    view: list[int] = []
    for channel in channels:
        page = fresh_page(browser)
        page.goto(f"{url}#/{layer}/{channel}")
        settle(page)
        traffic = Traffic(page)
        page.evaluate(CIRCUIT)
        page.wait_for_timeout(1000)
        settle(page)
        section.append(traffic.requests)
        page.context.close()
        page = fresh_page(browser)
        page.goto(f"{url}#/{network}")
        settle(page)
        traffic = Traffic(page)
        page.evaluate(GO, f"#/{network}/circuit/{name}/{channel}")
        page.wait_for_selector(".view.circuit")
        settle(page)
        view.append(traffic.requests)
        page.context.close()
    return [
        Figure("circuit of a filter page: requests", max(section), "", 24),
        Figure("circuit over two layers: requests", max(view), "", 20),
    ]


def has_circuits(store: Path) -> bool:
    """Return whether a store has circuits."""
    stages = json.loads((store / "network.json").read_text("utf-8"))["stages"]
    return bool(stages.get("circuits", {}).get("complete"))


def heaviest_layer(stores: list[Path]) -> Figure:
    """Measure the data size per filter of the layer where it is largest."""
    weights = [
        packed((store / layer["data"]).read_bytes()) / int(layer["channels"]) * FILTERS_PER_FIGURE
        for store in stores
        for layer in layers_of(store)
    ]
    return Figure(f"heaviest layer's data per {FILTERS_PER_FIGURE} filters", max(weights), "KB gzip", 300)


def opening(browser: Browser, url: str, route: str, layer: str, label: str, repeats: int) -> list[Figure]:
    """Open a layer from the page of its network or comparison, then scroll it: median and worst frame."""
    waits: list[float] = []
    worst: list[float] = []
    for _ in range(repeats):
        page = fresh_page(browser)
        page.goto(f"{url}#/{route}")
        page.wait_for_selector(".view")
        page.wait_for_load_state("networkidle")
        waits.append(float(page.evaluate(OPEN, f"#/{route}/{layer}")))
        page.wait_for_load_state("networkidle")
        worst.append(max(float(frame) for frame in page.evaluate(SCROLL)))
        page.context.close()
    median = sorted(waits)[len(waits) // 2]
    return [
        Figure(f"{label}: from data to painted tiles", median, "ms", 300),
        Figure(f"{label}: worst frame while scrolling", sorted(worst)[len(worst) // 2], "ms", 100),
    ]


def stores_of(folder: Path) -> list[Path]:
    """Return the stores in the folder of a site, or the store itself."""
    if (folder / "network.json").is_file():
        return [folder]
    root = folder / STORES_FOLDER if (folder / STORES_FOLDER).is_dir() else folder
    stores = sorted(path.parent for path in root.glob("*/network.json"))
    if not stores:
        raise click.ClickException(f"{folder}: neither a site nor a store; build one with `torchlurk site`")
    return stores


def measure(folder: Path, repeats: int) -> list[Figure]:
    """Measure all figures of a site, or of the site built from a store."""
    stores = stores_of(folder)
    widest = max(stores, key=lambda store: max(int(layer["channels"]) for layer in layers_of(store)))
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent) as scratch, sync_playwright() as play:
        workspace = Path(scratch)
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        site = folder
        if not (folder / "index.html").is_file():
            site = build_site(stores, workspace / "own").out
        figures: list[Figure] = []
        with serve_in_thread(make_server(site, port=0)) as url:
            figures += first_view(browser, url)
            layer = max(layers_of(widest), key=lambda layer: int(layer["channels"]))
            channels = [int(layer["channels"]) * i // FILTERS_MEASURED for i in range(FILTERS_MEASURED)]
            circuits = has_circuits(widest)
            figures += filter_traffic(browser, url, f"{widest.name}/{layer['name']}", channels, circuits)
            if circuits:
                figures += circuit_traffic(browser, url, f"{widest.name}/{layer['name']}", channels)
        figures.append(heaviest_layer(stores))
        for count in (FILTERS_PER_FIGURE, 2048):
            wide = widened(widest, count, workspace / f"wide{count}")
            built = build_site([wide], workspace / f"site{count}").out
            with serve_in_thread(make_server(built, port=0)) as url:
                name = str(layers_of(wide)[0]["name"])
                if count == FILTERS_PER_FIGURE:
                    figures += layer_traffic(browser, url, wide.name, name, f"{count} filters")
                figures += opening(browser, url, wide.name, name, f"{count} filters", repeats)
        twin, comparison = compared(wide)
        built = build_site([wide, twin, comparison], workspace / "compared").out
        with serve_in_thread(make_server(built, port=0)) as url:
            route = f"compare:{comparison.name}"
            figures += opening(browser, url, route, name, f"{count} filters compared", repeats)
        browser.close()
    return figures


@click.command()
@click.argument("folder", default="_site", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--repeats", default=3, show_default=True, help="Number of repeats; the median counts.")
def run(folder: Path, repeats: int) -> None:
    """Check the page of FOLDER, a built site or a store, against budgets."""
    figures = measure(folder, repeats)
    # Other work on the machine delays frames; the load shows whether the figures are reliable.
    click.echo(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for figure in figures:
        verdict = "kept" if figure.within_budget else "BROKEN"
        click.echo(f"{verdict:7} {figure.value:8.1f} of {figure.budget:4.0f} {figure.unit:8} {figure.name}")
    sys.exit(0 if all(figure.within_budget for figure in figures) else 1)


if __name__ == "__main__":
    run()
