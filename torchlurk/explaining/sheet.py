"""A contact sheet: rows of pictures with text that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from torchlurk.runtime.pictures import Pixels

INK, FAINT, PAPER = (20, 20, 20), (95, 95, 95), (255, 255, 255)


@dataclass(frozen=True)
class Cell:
    """A picture of a sheet.

    Attributes:
        pixels: `(H, W, 3)`; `None` leaves the place empty.
        note: a few words below it.
    """

    pixels: Pixels | None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a sheet.

    Attributes:
        caption: what stands above it.
        cells: its pictures, one a column.
    """

    caption: str
    cells: tuple[Cell, ...]


def contact_sheet(columns: Sequence[str], rows: Sequence[Row], tile: int) -> Pixels:
    """Draw rows of pictures below the names of their columns.

    Args:
        columns: names; broken into lines where a tile is too narrow.
        rows: each with as many cells.
        tile: long side of a picture, pixels; smaller ones are enlarged without smoothing.

    Returns:
        `(H, W, 3)`.
    """
    font = ImageFont.load_default(size=max(11, round(tile / 10)))
    line = round(sum(font.getmetrics()) * 1.15)  # type: ignore[union-attr]
    gap = max(2, tile // 24)
    sizes = [_fit(cell.pixels, tile) for row in rows for cell in row.cells if cell.pixels is not None]
    width, height = max(w for w, _ in sizes), max(h for _, h in sizes)
    heads = [_broken(name, font, width) for name in columns]
    head = gap + line * max(len(lines) for lines in heads)
    across = gap + len(columns) * (width + gap)
    captions = [_broken(row.caption, font, across - 2 * gap) for row in rows]
    tall = [
        line * (len(lines) + any(cell.note for cell in row.cells)) + height + gap
        for row, lines in zip(rows, captions, strict=True)
    ]
    sheet = Image.new("RGB", (across, head + gap + sum(tall)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, lines in enumerate(heads):
        for number, text in enumerate(lines):
            y = head - line * (len(lines) - number)
            draw.text((gap + column * (width + gap), y), text, INK, font)
    top = head + gap
    for row, lines, space in zip(rows, captions, tall, strict=True):
        for number, text in enumerate(lines):
            draw.text((gap, top + number * line), _short(text, font, across - 2 * gap), INK, font)
        below = top + len(lines) * line
        for column, cell in enumerate(row.cells):
            left = gap + column * (width + gap)
            if cell.pixels is not None:
                sheet.paste(_sized(cell.pixels, tile), (left, below))
            draw.text((left, below + height), cell.note, FAINT, font)
        top += space
    return np.asarray(sheet)


def _fit(pixels: Pixels, tile: int) -> tuple[int, int]:
    """Width and height of a picture in a tile."""
    height, width = pixels.shape[:2]
    scale = tile / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _sized(pixels: Pixels, tile: int) -> Image.Image:
    size = _fit(pixels, tile)
    enlarged = size[0] > pixels.shape[1]
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    return Image.fromarray(pixels).resize(size, method)


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """A text in lines, broken at blanks, each as long as fits."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


def _short(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """A text in one line, cut where there is no more room."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
