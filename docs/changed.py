"""Compute pictures of the filters that changed most between two stores, and draw them on a sheet.

`make transfer-photos` calls both commands; docs/tutorial/fine-tuning.md shows the commands and the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from PIL import Image, ImageDraw, ImageFont

from torchlurk import Comparison, ComparisonRow, FilterView, Lurk

SIDE, GAP, MARGIN, LINE = 68, 4, 14, 22
"""Pixels: the side of a tile, the gap between tiles, the margin of a card, the height of a line of text."""

COLUMNS = 2
"""The number of cards in a row."""

LABEL_WIDTH = 50
"""The width of the label of a row of tiles, in pixels."""

BACKGROUND, TEXT, SECONDARY, HIGHLIGHT = "#f3f4f6", "#1b1f24", "#59636e", "#d9480f"
"""Colours: background, text, secondary text, and the frame of a crop whose photograph is only in one list."""


@dataclass(frozen=True)
class Card:
    """A filter before and after.

    Attributes:
        row: The measures of its change.
        before: The filter in the first store.
        after: The filter in the last store.
    """

    row: ComparisonRow
    before: FilterView
    after: FilterView


def by_layer(rows: Iterable[ComparisonRow]) -> dict[str, list[int]]:
    """Group the channels of rows by layer."""
    channels: dict[str, list[int]] = {}
    for row in rows:
        channels.setdefault(row.layer, []).append(row.channel)
    return channels


def stores_of(comparison: Path, result: Comparison) -> list[Path]:
    """Return the folders of the stores of a comparison."""
    return [comparison.resolve().parent / store.path for store in result.record.stores]


def cards(comparison: Path, result: Comparison, rows: Iterable[ComparisonRow]) -> list[Card]:
    """Return these filters as they are in the first and in the last store."""
    stores = stores_of(comparison, result)
    first, last = Lurk.load(stores[0]), Lurk.load(stores[-1])
    return [Card(row, first[row.layer][row.channel], last[row.layer][row.channel]) for row in rows]


def sheet(items: Sequence[Card], by: str) -> Image.Image:
    """Draw all cards on one picture, row by row from the top left."""
    tiles = 1 + max(len(card.before.max) for card in items)
    width = MARGIN + LABEL_WIDTH + tiles * (SIDE + GAP) + 2 * GAP
    height = MARGIN + LINE + 2 * (SIDE + GAP) + GAP
    row_count = -(-len(items) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * width + MARGIN, row_count * height + MARGIN), BACKGROUND)
    for number, card in enumerate(items):
        _draw(page, card, by, (number % COLUMNS * width + MARGIN, number // COLUMNS * height + MARGIN))
    return page


def _draw(page: Image.Image, card: Card, by: str, at: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(page)
    left, top = at
    title, small = ImageFont.load_default(size=15), ImageFont.load_default(size=12)
    name = f"{card.row.layer} · {card.row.channel}"
    draw.text((left, top), name, fill=TEXT, font=title)
    measure_text = f"   {by} {card.row[by]:.2g}"
    if by != "weights" and card.row.values.get("weights") is not None:
        measure_text += f" · weights {card.row['weights']:.1%}"
    draw.text((left + title.getlength(name), top + 3), measure_text, fill=SECONDARY, font=small)
    for number, (label, own, other) in enumerate(
        (("before", card.before, card.after), ("after", card.after, card.before))
    ):
        y = top + LINE + number * (SIDE + GAP)
        draw.text((left, y + SIDE // 2 - 8), label, fill=SECONDARY, font=small)
        for column, (tile, new) in enumerate(_tiles(own, other)):
            # A wider gap separates the filter image from the photographs.
            x = left + LABEL_WIDTH + column * (SIDE + GAP) + (2 * GAP if column else 0)
            page.paste(tile.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
            if new:
                draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=HIGHLIGHT, width=3)


def _tiles(own: FilterView, other: FilterView) -> Iterator[tuple[Image.Image, bool]]:
    """Yield the filter image, then the crops; the flag marks photographs that the other list lacks."""
    yield own.image, False
    shared = {top.image for top in other.max}
    for rank, top in enumerate(own.max):
        yield own.crop(rank), top.image not in shared


@click.group()
def main() -> None:
    """Compute pictures of the filters that changed most, and draw them on a sheet."""


COMPARISON = click.argument("comparison", type=click.Path(path_type=Path))
BY = click.option("--by", default="maps", show_default=True, help="The measure of change.")
COUNT = click.option("--count", default=20, show_default=True, help="The number of filters.")


@main.command()
@COMPARISON
@BY
@COUNT
@click.option("--model", required=True, help="The network of the stores.")
@click.option("--images", required=True, help="The images of the stores.")
@click.option(
    "--weights", multiple=True, required=True, help="Its weights, once per store, in the order of the stores."
)
@click.option("--batch-size", default=1, show_default=True, help="The batch size of the scans.")
def pictures(
    comparison: Path, by: str, count: int, model: str, images: str, weights: tuple[str, ...],
    batch_size: int,
) -> None:  # fmt: skip
    """Compute gradients and filter images of the filters that changed most, in each store of COMPARISON."""
    result = Comparison.load(comparison)
    channels_by_layer = by_layer(result.sort(by).head(count))
    for store, file in zip(stores_of(comparison, result), weights, strict=True):
        lurk = Lurk(model, images=images, out=store, weights=file, batch_size=batch_size, device="cpu")
        for layer, channels in channels_by_layer.items():
            lurk.compute_grads(layer, channels)
            lurk.compute_viz(layer, channels)


@main.command(name="sheet")
@COMPARISON
@click.argument("picture", type=click.Path(path_type=Path))
@BY
@COUNT
def write_sheet(comparison: Path, picture: Path, by: str, count: int) -> None:
    """Draw the filters that changed most, before and after, and save the sheet as PICTURE."""
    result = Comparison.load(comparison)
    items = cards(comparison, result, result.sort(by).head(count))
    sheet(items, by).save(picture, quality=66, optimize=True)


if __name__ == "__main__":
    main()
