"""`python -m benchmarks.site [FOLDER]`: check the size and speed of the page against budgets."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from playwright.sync_api import Browser, Page, Response, sync_playwright

from torchlurk.comparing.assemble import NetworkResults, assemble
from torchlurk.comparing.compatibility import open_stores
from torchlurk.comparing.files import write_comparison
from torchlurk.web.page import STORES_FOLDER
from torchlurk.web.publish import build_site
from torchlurk.web.static_server import make_server, serve_in_thread

CHROMIUM = "/usr/bin/chromium"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FILTERS_PER_FIGURE = 512

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


def layers_of(store: Path) -> list[dict[str, Any]]:
    manifest: dict[str, Any] = json.loads((store / "network.json").read_text())
    return list(manifest["layers"])


def widened(store: Path, count: int, out: Path) -> Path:
    """Write a store with one layer of `count` filters, which repeats the filters of the widest layer."""
    manifest: dict[str, Any] = json.loads((store / "network.json").read_text())
    widest = max(manifest["layers"], key=lambda layer: int(layer["channels"]))
    data = json.loads((store / widest["data"]).read_text())
    records = data["filters"]
    filters = [{**records[i % len(records)], "channel": i} for i in range(count)]
    name = Path(widest["data"]).stem
    out.mkdir(parents=True)
    (out / "layers").mkdir()
    (out / widest["data"]).write_text(json.dumps({**data, "channels": count, "filters": filters}))
    layer = {**widest, "channels": count, "shape": [count, *widest["shape"][1:]]}
    wide = {**manifest, "name": out.name, "title": out.name, "layers": [layer], "edges": []}
    (out / "network.json").write_text(json.dumps(wide))
    os.link(store / "images.json", out / "images.json")
    (out / "images").mkdir()
    for path in (store / "images").glob("*.jpg"):
        os.link(path, out / "images" / path.name)
    for i, record in enumerate(filters):
        for kind in record["pictures"]:
            target = out / kind / name / f"{i}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(store / kind / name / f"{i % len(records)}.jpg", target)
    return out


def compared(wide: Path) -> tuple[Path, Path]:
    """Write the same store with its filters reversed, and the comparison of the two; return both."""
    twin = wide.parent / f"{wide.name}-after"
    shutil.copytree(wide, twin, copy_function=os.link)
    manifest: dict[str, Any] = json.loads((wide / "network.json").read_text())
    (layer,) = manifest["layers"]
    data = json.loads((wide / layer["data"]).read_text())
    records = [{**record, "channel": i} for i, record in enumerate(reversed(data["filters"]))]
    for path, record in (
        (twin / "network.json", {**manifest, "name": twin.name}),
        (twin / layer["data"], {**data, "filters": records}),
    ):
        path.unlink()  # a hard link: writing to it would change the original
        path.write_text(json.dumps(record))
    out = wide.parent / f"{wide.name}-compared"
    out.mkdir()
    write_comparison(assemble(out.name, open_stores([wide, twin]), NetworkResults()), out)
    return twin, out


def fresh_page(browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    return page


def first_view(browser: Browser, url: str) -> Figure:
    """Measure the size of everything that the first view fetches, without images."""
    page = fresh_page(browser)
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))  # Playwright sets an attribute on it
    page.goto(url)
    page.wait_for_selector(".view")
    page.wait_for_load_state("networkidle")
    weight = sum(packed(r.body()) for r in responses if not r.url.endswith((".jpg", ".png")))
    page.context.close()
    return Figure("first view without images", weight, "KB gzip", 350)


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
            figures.append(first_view(browser, url))
        figures.append(heaviest_layer(stores))
        for count in (512, 2048):
            wide = widened(widest, count, workspace / f"wide{count}")
            built = build_site([wide], workspace / f"site{count}").out
            with serve_in_thread(make_server(built, port=0)) as url:
                layer = str(layers_of(wide)[0]["name"])
                figures += opening(browser, url, wide.name, layer, f"{count} filters", repeats)
        twin, comparison = compared(wide)
        built = build_site([wide, twin, comparison], workspace / "compared").out
        with serve_in_thread(make_server(built, port=0)) as url:
            route = f"compare:{comparison.name}"
            figures += opening(browser, url, route, layer, f"{count} filters compared", repeats)
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
