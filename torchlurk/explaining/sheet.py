"""Contact sheets: rows of pictures with readable text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from torchlurk.runtime.jpeg import Pixels

_TEXT_COLOUR, _NOTE_COLOUR, _BACKGROUND = (20, 20, 20), (95, 95, 95), (255, 255, 255)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class SheetCell:
    """A picture of a sheet.

    Attributes:
        pixels: `(H, W, 3)`; `None` for an empty cell.
        note: A few words below the picture, in one line or several.
    """

    pixels: Pixels | None
    note: str = ""


@dataclass(frozen=True)
class SheetRow:
    """A row of a sheet.

    Attributes:
        caption: Text above the row.
        cells: One cell per column.
    """

    caption: str
    cells: tuple[SheetCell, ...]


def contact_sheet(columns: Sequence[str], rows: Sequence[SheetRow], tile: int) -> Pixels:
    """Draw rows of pictures below the names of their columns.

    Args:
        columns: Names of the columns; they are wrapped if a tile is too narrow.
        rows: Rows with one cell per column.
        tile: Long side of a picture in pixels; smaller pictures are enlarged without smoothing.

    Returns:
        `(H, W, 3)`.
    """
    font = ImageFont.load_default(size=max(11, round(tile / 10)))
    line = round(sum(font.getmetrics()) * 1.15)  # type: ignore[union-attr]
    gap = max(2, tile // 24)
    sizes = [_scaled_size(cell.pixels, tile) for row in rows for cell in row.cells if cell.pixels is not None]
    width, height = max(w for w, _ in sizes), max(h for _, h in sizes)
    headings = [_wrap(name, font, width) for name in columns]
    heading_height = gap + line * max(len(lines) for lines in headings)
    sheet_width = gap + len(columns) * (width + gap)
    captions = [_wrap(row.caption, font, sheet_width - 2 * gap) for row in rows]
    row_heights = [
        line * (len(lines) + max(_note_lines(cell) for cell in row.cells)) + height + gap
        for row, lines in zip(rows, captions, strict=True)
    ]
    sheet = Image.new("RGB", (sheet_width, heading_height + gap + sum(row_heights)), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, lines in enumerate(headings):
        for number, text in enumerate(lines):
            y = heading_height - line * (len(lines) - number)
            draw.text((gap + column * (width + gap), y), text, _TEXT_COLOUR, font)
    top = heading_height + gap
    for row, lines, row_height in zip(rows, captions, row_heights, strict=True):
        for number, text in enumerate(lines):
            text = _truncate(text, font, sheet_width - 2 * gap)
            draw.text((gap, top + number * line), text, _TEXT_COLOUR, font)
        picture_top = top + len(lines) * line
        for column, cell in enumerate(row.cells):
            left = gap + column * (width + gap)
            if cell.pixels is not None:
                sheet.paste(_scale(cell.pixels, tile), (left, picture_top))
            for number, text in enumerate(cell.note.split("\n")):
                text = _truncate_start(text, font, width + gap // 2)
                draw.text((left, picture_top + height + number * line), text, _NOTE_COLOUR, font)
        top += row_height
    return np.asarray(sheet)


def _note_lines(cell: SheetCell) -> int:
    return len(cell.note.split("\n")) if cell.note else 0


def _scaled_size(pixels: Pixels, tile: int) -> tuple[int, int]:
    """Return width and height of a picture whose long side is a tile's."""
    height, width = pixels.shape[:2]
    scale = tile / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scale(pixels: Pixels, tile: int) -> Image.Image:
    size = _scaled_size(pixels, tile)
    enlarged = size[0] > pixels.shape[1]
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    return Image.fromarray(pixels).resize(size, method)


def _wrap(text: str, font: _Font, width: int) -> list[str]:
    """Return the lines of a text, wrapped at spaces."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


def _truncate(text: str, font: _Font, width: int) -> str:
    """Return a line, shortened with an ellipsis if it is too long."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _truncate_start(text: str, font: _Font, width: int) -> str:
    """Return a line, shortened at its start if it is too long: names of layers differ at the end."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"...{text}") > width:
        text = text[1:]
    return f"...{text}"
