"""Filters drawn with matplotlib, which is imported only here and only when something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from torchlurk.api.reading import FOLDERS, FilterView, GradientKind, Kind, TopImage, check_kind
from torchlurk.errors import LurkError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

SIDE = 2.2
"""Inches of a tile in a figure of our own."""


def resolve_axes(ax: Axes | None, tiles: int = 2) -> Axes:
    """The axes that were given, or those of a new figure with room for so many tiles.

    Raises:
        LurkError: matplotlib is not installed, or what was given is no axes of it.
    """
    if ax is not None and not hasattr(ax, "imshow"):
        raise LurkError(f"ax is a {type(ax).__name__}, none of matplotlib's Axes: give one, or leave it out")
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as problem:
        raise LurkError("plots need matplotlib, which is not installed: pip install matplotlib") from problem
    return pyplot.subplots(figsize=(SIDE * max(tiles, 2), SIDE * 1.35), layout="constrained")[1]


def plot_top(entry: FilterView, kind: Kind, ax: Axes | None = None) -> Axes:
    """The images of a list side by side, with class and score; by maximum, what the unit sees is framed."""
    tops = check_kind(kind, {"max": entry.max, "avg": entry.avg})
    photos = [entry.photo(rank, kind) for rank in range(len(tops))]
    ax = _strip(resolve_axes(ax, len(tops)), photos, tops)
    for at, top in enumerate(tops):
        if top.box is not None:
            left, first, right, last = top.box
            across = np.array([left, right, right, left, left]) + at * photos[0].width - 0.5
            ax.plot(across, np.array([first, first, last, last, first]) - 0.5, color="red", linewidth=1)
    ax.set_title(f"{_title(entry)}: top images by {kind}")
    return ax


def plot_crop(entry: FilterView, ax: Axes | None = None) -> Axes:
    """What the winning units see, side by side, with class and score."""
    tiles = [entry.crop(rank) for rank in range(len(entry.entry.max))]
    ax = _strip(resolve_axes(ax, len(tiles)), tiles, entry.max)
    ax.set_title(f"{_title(entry)}: what it sees")
    return ax


def plot_grads(entry: FilterView, kind: GradientKind, ax: Axes | None = None) -> Axes:
    """The gradients of a list, side by side, with class and score."""
    check_kind(kind, FOLDERS)
    tops = entry.avg if kind == "avg" else entry.max
    tiles = [entry.gradient(rank, kind) for rank in range(len(tops))]
    ax = _strip(resolve_axes(ax, len(tiles)), tiles, tops)
    ax.set_title(f"{_title(entry)}: gradients ({kind})")
    return ax


def plot_hist(entry: FilterView, kind: str = "distribution", ax: Axes | None = None) -> Axes:
    """How many images have which maximum (`distribution`), or the class profile by `max` or `avg` as bars."""
    ax = resolve_axes(ax)
    if kind == "distribution":
        bins = dict(entry.stats.distribution)
        borders = entry.layer.store.manifest.activation_edges
        span = range(min(bins), max(bins) + 1)
        ax.bar(range(len(span)), [bins.get(at, 0) for at in span], width=0.9)
        every = max(1, len(span) // 8)
        places = list(range(0, len(span), every))
        ax.set_xticks(places, [_bin(span[at], borders) for at in places], rotation=45, ha="right", fontsize=8)
        ax.set_xlabel("highest activation, at least")
        ax.set_ylabel("images")
    else:
        profile = entry.classes
        rows = check_kind(kind, {"max": profile.max, "avg": profile.avg, "distribution": ()})
        ax.barh(
            [f"{at + 1}. {escape_mathtext(name)}" for at, (name, _) in enumerate(rows)],
            [mean for _, mean in rows],
        )
        ax.invert_yaxis()
        ax.set_xlabel(f"mean over a class of the {'maximum' if kind == 'max' else 'mean'}")
    ax.set_title(_title(entry))
    return ax


def plot_filter_viz(entry: FilterView, ax: Axes | None = None) -> Axes:
    """The image that gradient ascent found."""
    picture = entry.image
    ax = _bare(resolve_axes(ax))
    ax.imshow(np.asarray(picture.convert("RGB")))
    ascent = entry.entry.ascent
    ax.set_title(f"{_title(entry)}: {ascent.score:.4g}" if ascent else _title(entry))
    return ax


def escape_mathtext(text: str) -> str:
    """Text that matplotlib takes as it is: a dollar would begin a formula."""
    return text.replace("$", r"\$")


def _bin(at: int, borders: Sequence[float]) -> str:
    return "less" if at == 0 else f"{borders[at - 1]:.3g}"


def _title(entry: FilterView) -> str:
    return escape_mathtext(
        f"{entry.layer.name}, filter {entry.channel}" + (f" ({entry.name})" if entry.name else "")
    )


def _bare(ax: Axes) -> Axes:
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def _strip(ax: Axes, tiles: Sequence[Image.Image], tops: Sequence[TopImage]) -> Axes:
    _bare(ax)
    ax.imshow(np.concatenate([np.asarray(tile.convert("RGB")) for tile in tiles], axis=1))
    width = tiles[0].width
    labels = [escape_mathtext(f"{top.label[:24]}\n{top.score:.4g}") for top in tops]
    ax.set_xticks([width * (at + 0.5) - 0.5 for at in range(len(tiles))], labels, fontsize=8)
    ax.tick_params(length=0)
    return ax
