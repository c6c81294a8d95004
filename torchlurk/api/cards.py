"""Filter cards as self-contained HTML: pictures are embedded, and all text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, TypeVar

from torchlurk.errors import LurkError

if TYPE_CHECKING:
    from torchlurk.api.filters import FilterView

_T = TypeVar("_T")

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


def filter_card(view: FilterView) -> Card:
    """Return the content of the card of a filter."""
    store, stats, ascent = view.layer.store, view.stats, view.entry.ascent
    facts = [f"active on {stats.active:.0%} of images", f"mean of maxima {stats.max_mean:.4g}"]
    if stats.selectivity is not None:
        facts.append(f"class selectivity {stats.selectivity:.2f}")
    if ascent is not None and ascent.ratio is not None:
        facts.append(f"its image reaches {ascent.ratio:.2g} times the best photograph")
    classes = ", ".join(f"{name} {mean:.3g}" for name, mean in view.classes.max[:5])
    name = f" ({view.name})" if view.name else ""
    title = f"{store.manifest.title} · {view.layer.name} · filter {view.channel}{name}"
    return Card(title, [*facts, f"classes: {classes}"], _filter_rows(view))


def _filter_rows(view: FilterView) -> list[CardRow]:
    """Return the rows of pictures of a filter."""
    image = view.layer.store.image
    rows = []
    for title, entries in (("highest activation", view.max), ("highest mean", view.avg)):
        pictures = [_read(lambda number: image(number).read(), entry.image) for entry in entries]
        rows.append(CardRow(title, pictures, [f"{e.label}, {e.score:.4g}" for e in entries]))
    strips = {"cropped": "receptive field", "cropped_grad": "its gradient", "max_activ": "filter image"}
    for kind, title in strips.items():
        if kind in view.entry.pictures:
            rows.append(CardRow(title, [_read(view.file, kind)], [title]))
    return rows


def _read(read: Callable[[_T], bytes], key: _T) -> bytes | None:
    """Return a picture as a JPEG file; `None` if it cannot be read."""
    try:
        return read(key)
    except LurkError:
        return None


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
