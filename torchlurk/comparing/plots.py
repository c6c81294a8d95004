"""Plots of comparisons with matplotlib, on given axes or new ones. No function calls `show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from torchlurk.api.plots import escape_mathtext, resolve_axes
from torchlurk.comparing.measures import ROUNDING
from torchlurk.comparing.summaries import distribution
from torchlurk.store.comparison import Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = Sequence[float | None]
"""The values of a measure, `None` where it is undefined."""


def plot_by_layer(measure: Measure, layers: Mapping[str, Column], title: str, ax: Axes | None = None) -> Axes:
    """Plot the median size of a measure in each layer, with a line across the middle half of the filters."""
    ax = resolve_axes(ax, max(2, len(layers) // 4))
    for position, values in enumerate(layers.values()):
        sizes = [abs(value) for value in values if value is not None]
        if sizes:
            low, median, high = np.quantile(sizes, [0.25, 0.5, 0.75])
            ax.plot(
                [position, position], [low, high], color="tab:blue", linewidth=3, alpha=0.4,
                solid_capstyle="butt",
            )  # fmt: skip
            ax.plot([position], [median], "o", color="tab:blue", markersize=5)
    ax.set_xticks(
        range(len(layers)), [escape_mathtext(name) for name in layers], rotation=45, ha="right", fontsize=8
    )
    ax.set_ylim(bottom=0)
    ax.set_ylabel(measure.title)
    ax.set_title(escape_mathtext(title))
    return ax


def plot_histogram(measure: Measure, values: Column, title: str, ax: Axes | None = None) -> Axes:
    """Plot how many filters have a value in each bin of a measure."""
    ax = resolve_axes(ax)
    summary = distribution(measure, values)
    counts = summary.histogram if summary else [0] * (len(measure.edges) + 1)
    ax.bar(range(len(counts)), counts, width=0.9)
    labels = ["0" if measure.low == 0 else "less", *map(_bin_label, measure.edges)]
    ax.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=8)
    ax.set_xlabel(f"{measure.title}, at least")
    ax.set_ylabel("filters")
    ax.set_title(escape_mathtext(title))
    return ax


def _bin_label(edge: float) -> str:
    """Return the label of the bin above an edge; values within rounding of 0 are 0."""
    if abs(edge) == ROUNDING:
        return ">0" if edge > 0 else "0"
    return f"{edge:.0e}" if abs(edge) < 1e-3 else f"{edge:g}"


def plot_scatter(x: Measure, y: Measure, xs: Column, ys: Column, title: str, ax: Axes | None = None) -> Axes:
    """Plot one measure against another, with a point for each filter that has both."""
    ax = resolve_axes(ax)
    points = [(a, b) for a, b in zip(xs, ys, strict=True) if a is not None and b is not None]
    ax.scatter([a for a, _ in points], [b for _, b in points], s=12, alpha=0.5, linewidths=0)
    ax.set_xlabel(x.title)
    ax.set_ylabel(y.title)
    ax.set_title(escape_mathtext(title))
    return ax


def plot_over_time(
    measure: Measure,
    values: Mapping[tuple[int, int], float | None],
    stores: Sequence[str],
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Plot how far a filter is from the first store, and from the store before, at each store."""
    ax = resolve_axes(ax, max(2, len(stores) // 3))
    values = {**values, (0, 0): 0.0}
    for label, style, pairs in (
        ("since the first", "o-", [(0, position) for position in range(len(stores))]),
        ("since the one before", "s--", [(after - 1, after) for after in range(1, len(stores))]),
    ):
        column = [values.get(pair) for pair in pairs]
        positions = [after for _, after in pairs]
        ax.plot(positions, [float("nan") if v is None else v for v in column], style, label=label)
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.set_xticks(
        range(len(stores)), [escape_mathtext(name) for name in stores], rotation=45, ha="right", fontsize=8
    )
    ax.set_ylabel(measure.title)
    ax.legend(fontsize=8)
    ax.set_title(escape_mathtext(title))
    return ax
