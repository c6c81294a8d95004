"""The card of a filter as HTML that needs no other file: pictures are in it, and all text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

HEIGHT = 96
"""How high pictures are shown, pixels."""


@dataclass(frozen=True)
class Row:
    """Pictures beside each other.

    Attributes:
        title: what they are.
        pictures: JPEG files.
        captions: one a picture.
    """

    title: str
    pictures: Sequence[Path]
    captions: Sequence[str]


@dataclass(frozen=True)
class Card:
    """What a card shows: a title, facts of a few words, and rows of pictures."""

    title: str
    facts: Sequence[str]
    rows: Sequence[Row]


def card(content: Card) -> str:
    """A card as HTML; a picture whose file is gone is left out."""
    facts = " · ".join(escape(fact) for fact in content.facts)
    rows = "".join(_row(row) for row in content.rows)
    return (
        '<div style="font-family:sans-serif;font-size:13px;max-width:60em">'
        f'<div style="font-weight:bold">{escape(content.title)}</div>'
        f'<div style="opacity:.75;margin:2px 0 6px">{facts}</div>{rows}</div>'
    )


def _row(row: Row) -> str:
    figures = "".join(_figure(path, text) for path, text in zip(row.pictures, row.captions, strict=True))
    return (
        f'<div style="margin-top:6px">{escape(row.title)}</div>'
        f'<div style="display:flex;gap:4px;flex-wrap:wrap">{figures}</div>'
    )


def _figure(path: Path, caption: str) -> str:
    try:
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
    text = escape(caption, quote=True)
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{text}" title="{text}" '
        f'style="height:{HEIGHT}px;image-rendering:auto">'
    )
