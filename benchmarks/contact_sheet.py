"""`python -m benchmarks.contact_sheet STORE PICTURE`: draw filter images, one row per layer."""

from __future__ import annotations

from pathlib import Path

import click
from PIL import Image, ImageDraw

from torchlurk.api.reading import open_store

SIDE, GAP, MARGIN = 104, 6, 96


def contact_sheet(store: Path, columns: int) -> Image.Image:
    """Draw the first filter images of each layer except the first, whose 3 x 3 pixels show only colours."""
    view = open_store(store)
    layers = [view.layer(record.name) for record in view.manifest.layers[1:]]
    width = MARGIN + columns * (SIDE + GAP)
    sheet = Image.new("RGB", (width, len(layers) * (SIDE + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, layer in enumerate(layers):
        top = GAP + row * (SIDE + GAP)
        draw.text((GAP, top + SIDE // 2 - 6), layer.name, fill="black")
        filters = [one for one in layer if "max_activ" in one.entry.pictures][:columns]
        for column, one in enumerate(filters):
            tile = one.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (MARGIN + column * (SIDE + GAP), top))
    return sheet


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--columns", default=8, show_default=True, help="Filters per layer.")
def main(store: Path, picture: Path, columns: int) -> None:
    """Draw the filter images of STORE and save the sheet as PICTURE."""
    contact_sheet(store, columns).save(picture, quality=70)


if __name__ == "__main__":
    main()
