"""Comparisons drawn with matplotlib, on axes that are given or new; nothing is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import TYPE_CHECKING

from torchlurk.api.plots import escape_mathtext, resolve_axes
from torchlurk.comparing.measures import SAME
from torchlurk.comparing.summaries import distribution
from torchlurk.store.comparison import Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = Sequence[float | None]


def plot_layers(measure: Measure, layers: Mapping[str, Column], heading: str, ax: Axes | None = None) -> Axes:
    """For each layer the median of a measure without its sign, and a line across the middle half."""
    ax = resolve_axes(ax, max(2, len(layers) // 4))
    for at, values in enumerate(layers.values()):
        sizes = [abs(value) for value in values if value is not None]
        if sizes:
            low, middle, high = quantiles(sizes, n=4, method="inclusive") if len(sizes) > 1 else sizes * 3
            ax.plot([at, at], [low, high], color="tab:blue", linewidth=3, alpha=0.4, solid_capstyle="butt")
            ax.plot([at], [middle], "o", color="tab:blue", markersize=5)
    ax.set_xticks(
        range(len(layers)), [escape_mathtext(name) for name in layers], rotation=45, ha="right", fontsize=8
    )
    ax.set_ylim(bottom=0)
    ax.set_ylabel(measure.title)
    ax.set_title(escape_mathtext(heading))
    return ax


def plot_hist(measure: Measure, values: Column, heading: str, ax: Axes | None = None) -> Axes:
    """How many filters lie in each bin of a measure."""
    ax = resolve_axes(ax)
    found = distribution(measure, values)
    counts = found.histogram if found else [0] * (len(measure.edges) + 1)
    ax.bar(range(len(counts)), counts, width=0.9)
    names = ["0" if measure.low == 0 else "less", *map(_border, measure.edges)]
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    ax.set_xlabel(f"{measure.title}, at least")
    ax.set_ylabel("filters")
    ax.set_title(escape_mathtext(heading))
    return ax


def _border(edge: float) -> str:
    """What a bin begins with; what is less than rounding is none."""
    if abs(edge) == SAME:
        return ">0" if edge > 0 else "0"
    return f"{edge:.0e}" if abs(edge) < 1e-3 else f"{edge:g}"


def plot_against(
    across: Measure, up: Measure, xs: Column, ys: Column, heading: str, ax: Axes | None = None
) -> Axes:
    """One measure against another, a point a filter that has both."""
    ax = resolve_axes(ax)
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    ax.scatter([x for x, _ in points], [y for _, y in points], s=12, alpha=0.5, linewidths=0)
    ax.set_xlabel(across.title)
    ax.set_ylabel(up.title)
    ax.set_title(escape_mathtext(heading))
    return ax


def plot_time(
    measure: Measure,
    found: Mapping[tuple[int, int], float | None],
    stores: Sequence[str],
    heading: str,
    ax: Axes | None = None,
) -> Axes:
    """A filter from store to store: how far it is from the first, and from the one before."""
    ax = resolve_axes(ax, max(2, len(stores) // 3))
    known = {**found, (0, 0): 0.0}
    for label, style, pairs in (
        ("since the first", "o-", [(0, at) for at in range(len(stores))]),
        ("since the one before", "s--", [(at - 1, at) for at in range(1, len(stores))]),
    ):
        values = [known.get(pair) for pair in pairs]
        times = [at for _, at in pairs]
        ax.plot(times, [float("nan") if v is None else v for v in values], style, label=label)
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.set_xticks(
        range(len(stores)), [escape_mathtext(name) for name in stores], rotation=45, ha="right", fontsize=8
    )
    ax.set_ylabel(measure.title)
    ax.legend(fontsize=8)
    ax.set_title(escape_mathtext(heading))
    return ax
