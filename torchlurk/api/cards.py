"""Filter cards as self-contained HTML: pictures are embedded, and all text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_PICTURE_HEIGHT = 96
"""Height in pixels at which pictures are displayed."""


@dataclass(frozen=True)
class CardRow:
    """A row of pictures.

    Attributes:
        title: Text above the row.
        pictures: JPEG files; `None` for one that cannot be read.
        captions: One caption per picture.
    """

    title: str
    pictures: Sequence[bytes | None]
    captions: Sequence[str]


@dataclass(frozen=True)
class Card:
    """Content of a card.

    Attributes:
        title: Title of the card.
        facts: Facts of a few words each.
        rows: Rows of pictures.
    """

    title: str
    facts: Sequence[str]
    rows: Sequence[CardRow]


def render_card(card: Card) -> str:
    """Return a card as HTML; pictures that cannot be read are left out."""
    facts = " · ".join(escape(fact) for fact in card.facts)
    rows = "".join(_render_row(row) for row in card.rows)
    return (
        '<div style="font-family:sans-serif;font-size:13px;max-width:60em">'
        f'<div style="font-weight:bold">{escape(card.title)}</div>'
        f'<div style="opacity:.75;margin:2px 0 6px">{facts}</div>{rows}</div>'
    )


def _render_row(row: CardRow) -> str:
    pairs = zip(row.pictures, row.captions, strict=True)
    figures = "".join(_render_picture(jpeg, caption) for jpeg, caption in pairs if jpeg is not None)
    return (
        f'<div style="margin-top:6px">{escape(row.title)}</div>'
        f'<div style="display:flex;gap:4px;flex-wrap:wrap">{figures}</div>'
    )


def _render_picture(jpeg: bytes, caption: str) -> str:
    data = base64.b64encode(jpeg).decode()
    text = escape(caption, quote=True)
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{text}" title="{text}" '
        f'style="height:{_PICTURE_HEIGHT}px;image-rendering:auto">'
    )
