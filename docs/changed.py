"""The filters that changed most from one store to another: give them pictures, and draw them on a sheet.

`make transfer-photos` calls it twice; docs/worked-transfer.md shows how, and what comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from PIL import Image, ImageDraw, ImageFont

from torchlurk import Comparison, Lurk
from torchlurk.api.reading import FilterView
from torchlurk.comparing.table import ComparisonRow

SIDE, GAP, MARGIN, LINE = 68, 4, 14, 22
"""Pixels: a tile, the space between two, around a card, and a line of text."""

COLUMNS = 2
"""Cards side by side."""

BESIDE = 50
"""Pixels for the words before a row of tiles."""

PAPER, INK, PALE, NEW = "#f3f4f6", "#1b1f24", "#59636e", "#d9480f"
"""Colours of the page, of words, of lesser words, and around a crop whose photograph the other list lacks."""


@dataclass(frozen=True)
class Card:
    """A filter before and after.

    Attributes:
        row: how it changed.
        before: the filter in the first store.
        after: the same in the last.
    """

    row: ComparisonRow
    before: FilterView
    after: FilterView


def by_layer(rows: Iterable[ComparisonRow]) -> dict[str, list[int]]:
    """The channels of each layer that has some."""
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row.layer, []).append(row.channel)
    return found


def stores_of(comparison: Path, found: Comparison) -> list[Path]:
    """Where the stores of a comparison lie."""
    return [comparison.resolve().parent / store.path for store in found.record.stores]


def cards(comparison: Path, found: Comparison, rows: Iterable[ComparisonRow]) -> list[Card]:
    """What the first and the last store say of these filters."""
    stores = stores_of(comparison, found)
    first, last = Lurk.load(stores[0]), Lurk.load(stores[-1])
    return [Card(row, first[row.layer][row.channel], last[row.layer][row.channel]) for row in rows]


def sheet(shown: Sequence[Card], by: str) -> Image.Image:
    """All cards on one picture, the first at the top left, row by row."""
    tiles = 1 + max(len(card.before.max) for card in shown)
    width = MARGIN + BESIDE + tiles * (SIDE + GAP) + 2 * GAP
    height = MARGIN + LINE + 2 * (SIDE + GAP) + GAP
    down = -(-len(shown) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * width + MARGIN, down * height + MARGIN), PAPER)
    for number, card in enumerate(shown):
        _draw(page, card, by, (number % COLUMNS * width + MARGIN, number // COLUMNS * height + MARGIN))
    return page


def _draw(page: Image.Image, card: Card, by: str, at: tuple[int, int]) -> None:
    write = ImageDraw.Draw(page)
    left, top = at
    title, small = ImageFont.load_default(size=15), ImageFont.load_default(size=12)
    name = f"{card.row.layer} · {card.row.channel}"
    write.text((left, top), name, fill=INK, font=title)
    told = f"   {by} {card.row[by]:.2g}"
    if by != "weights" and card.row.values.get("weights") is not None:
        told += f" · weights {card.row['weights']:.1%}"
    write.text((left + title.getlength(name), top + 3), told, fill=PALE, font=small)
    for number, (word, own, other) in enumerate(
        (("before", card.before, card.after), ("after", card.after, card.before))
    ):
        y = top + LINE + number * (SIDE + GAP)
        write.text((left, y + SIDE // 2 - 8), word, fill=PALE, font=small)
        for column, (tile, new) in enumerate(_tiles(own, other)):
            # The filter image stands a little apart from the photographs.
            x = left + BESIDE + column * (SIDE + GAP) + (2 * GAP if column else 0)
            page.paste(tile.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
            if new:
                write.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=NEW, width=3)


def _tiles(own: FilterView, other: FilterView) -> Iterator[tuple[Image.Image, bool]]:
    """The filter image, then the crops, each with whether the other list lacks its photograph."""
    yield own.image, False
    shared = {top.image for top in other.max}
    for rank, top in enumerate(own.max):
        yield own.crop(rank), top.image not in shared


@click.group()
def main() -> None:
    """The filters that changed most: give them pictures, and draw them on a sheet."""


COMPARISON = click.argument("comparison", type=click.Path(path_type=Path))
BY = click.option("--by", default="maps", show_default=True, help="The measure of change.")
COUNT = click.option("--count", default=20, show_default=True, help="How many filters.")


@main.command()
@COMPARISON
@BY
@COUNT
@click.option("--model", required=True, help="The network's name, as the stores were made with.")
@click.option("--images", required=True, help="The images that the stores were made of.")
@click.option(
    "--weights", multiple=True, required=True, help="Its weights, once for each store, in their order."
)
@click.option("--batch-size", default=1, show_default=True, help="As the stores were scanned with.")
def pictures(
    comparison: Path, by: str, count: int, model: str, images: str, weights: tuple[str, ...],
    batch_size: int,
) -> None:  # fmt: skip
    """Compute gradients and filter images of the filters that changed most, in each store of COMPARISON."""
    found = Comparison.load(comparison)
    wanted = by_layer(found.sort(by).head(count))
    for store, file in zip(stores_of(comparison, found), weights, strict=True):
        lurker = Lurk(model, images=images, out=store, weights=file, batch_size=batch_size, device="cpu")
        for layer, channels in wanted.items():
            lurker.compute_grads(layer, channels)
            lurker.compute_viz(layer, channels)


@main.command(name="sheet")
@COMPARISON
@click.argument("picture", type=click.Path(path_type=Path))
@BY
@COUNT
def write_sheet(comparison: Path, picture: Path, by: str, count: int) -> None:
    """Draw the filters that changed most, before and after, to PICTURE."""
    found = Comparison.load(comparison)
    shown = cards(comparison, found, found.sort(by).head(count))
    sheet(shown, by).save(picture, quality=66, optimize=True)


if __name__ == "__main__":
    main()
