"""Plots of filters with matplotlib, which is imported only when something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from torchlurk.api.entries import TopImage
from torchlurk.api.filters import FilterView
from torchlurk.api.kinds import GRADIENT_PICTURES, GradientKind, ListKind, lookup_kind
from torchlurk.errors import LurkError, Option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

_TILE_INCHES = 2.2
"""Width of a tile in a new figure, in inches."""


def resolve_axes(ax: Axes | None, tiles: int = 2) -> Axes:
    """Return the axes themselves, or for `None` those of a new figure with room for a number of tiles.

    Raises:
        LurkError: Matplotlib is not installed, or `ax` is not an Axes.
    """
    if ax is not None and not hasattr(ax, "imshow"):
        raise LurkError(
            f"ax is a {type(ax).__name__}, not an Axes of matplotlib",
            ("pass an Axes, or leave out ", Option("ax")),
        )
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as problem:
        raise LurkError(
            "plots need matplotlib, which is not installed", "pip install matplotlib"
        ) from problem
    return pyplot.subplots(figsize=(_TILE_INCHES * max(tiles, 2), _TILE_INCHES * 1.35), layout="constrained")[
        1
    ]


def plot_top(view: FilterView, kind: ListKind, ax: Axes | None = None) -> Axes:
    """Draw the images of a top list side by side, with class and score.

    In the list `max`, receptive fields are framed.
    """
    tops = lookup_kind(kind, {"max": view.max, "avg": view.avg})
    photos = [view.photo(rank, kind) for rank in range(len(tops))]
    ax = _draw_strip(resolve_axes(ax, len(tops)), photos, tops)
    for rank, top in enumerate(tops):
        if top.box is not None:
            left, upper, right, lower = top.box
            x = np.array([left, right, right, left, left]) + rank * photos[0].width - 0.5
            ax.plot(x, np.array([upper, upper, lower, lower, upper]) - 0.5, color="red", linewidth=1)
    ax.set_title(f"{_title(view)}: top images by {kind}")
    return ax


def plot_crop(view: FilterView, ax: Axes | None = None) -> Axes:
    """Draw the receptive fields of the list `max` side by side, with class and score."""
    tiles = [view.crop(rank) for rank in range(len(view.entry.max))]
    ax = _draw_strip(resolve_axes(ax, len(tiles)), tiles, view.max)
    ax.set_title(f"{_title(view)}: receptive fields")
    return ax


def plot_grads(view: FilterView, kind: GradientKind, ax: Axes | None = None) -> Axes:
    """Draw the gradients of a top list side by side, with class and score."""
    lookup_kind(kind, GRADIENT_PICTURES)
    tops = view.avg if kind == "avg" else view.max
    tiles = [view.gradient(rank, kind) for rank in range(len(tops))]
    ax = _draw_strip(resolve_axes(ax, len(tiles)), tiles, tops)
    ax.set_title(f"{_title(view)}: gradients ({kind})")
    return ax


def plot_filter_hist(view: FilterView, kind: str = "distribution", ax: Axes | None = None) -> Axes:
    """Draw a histogram of the maxima over all images, or the class profile by `max` or `avg` as bars."""
    ax = resolve_axes(ax)
    if kind == "distribution":
        bins = dict(view.stats.distribution)
        edges = view.layer.store.manifest.activation_edges
        span = range(min(bins), max(bins) + 1)
        ax.bar(range(len(span)), [bins.get(number, 0) for number in span], width=0.9)
        ticks = list(range(0, len(span), max(1, len(span) // 8)))
        labels = [_bin_label(span[tick], edges) for tick in ticks]
        ax.set_xticks(ticks, labels, rotation=45, ha="right", fontsize=8)
        ax.set_xlabel("highest activation, at least")
        ax.set_ylabel("images")
    else:
        profile = view.classes
        rows = lookup_kind(kind, {"max": profile.max, "avg": profile.avg, "distribution": ()})
        names = [f"{rank}. {escape_mathtext(name)}" for rank, (name, _) in enumerate(rows, 1)]
        ax.barh(names, [mean for _, mean in rows])
        ax.invert_yaxis()
        ax.set_xlabel(f"mean over a class of the {'maximum' if kind == 'max' else 'mean'}")
    ax.set_title(_title(view))
    return ax


def plot_filter_viz(view: FilterView, ax: Axes | None = None) -> Axes:
    """Draw the filter image, found by gradient ascent."""
    picture = view.image
    ax = _without_ticks(resolve_axes(ax))
    ax.imshow(np.asarray(picture.convert("RGB")))
    ascent = view.entry.ascent
    ax.set_title(f"{_title(view)}: {ascent.score:.4g}" if ascent else _title(view))
    return ax


def escape_mathtext(text: str) -> str:
    """Escape dollar signs, which begin a formula in matplotlib."""
    return text.replace("$", r"\$")


def _bin_label(number: int, edges: Sequence[float]) -> str:
    return "less" if number == 0 else f"{edges[number - 1]:.3g}"


def _title(view: FilterView) -> str:
    name = f" ({view.name})" if view.name else ""
    return escape_mathtext(f"{view.layer.name}, filter {view.channel}{name}")


def _without_ticks(ax: Axes) -> Axes:
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def _draw_strip(ax: Axes, tiles: Sequence[Image.Image], tops: Sequence[TopImage]) -> Axes:
    """Draw tiles side by side, labelled with class and score."""
    _without_ticks(ax)
    ax.imshow(np.concatenate([np.asarray(tile.convert("RGB")) for tile in tiles], axis=1))
    width = tiles[0].width
    labels = [escape_mathtext(f"{top.label[:24]}\n{top.score:.4g}") for top in tops]
    ax.set_xticks([width * (rank + 0.5) - 0.5 for rank in range(len(tiles))], labels, fontsize=8)
    ax.tick_params(length=0)
    return ax
