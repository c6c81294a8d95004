"""A plot of what a filter is made of, with matplotlib, which is imported only when something is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torchlurk.api.circuits import UpstreamFilter
from torchlurk.api.filters import FilterView
from torchlurk.api.plots import escape_mathtext, resolve_axes
from torchlurk.circuits.score_sum import format_sum
from torchlurk.errors import LurkError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TILE = 96
"""Sides of a picture, in pixels."""

_GAP = 6
"""Pixels between pictures."""

_Picture = NDArray[np.uint8]


def plot_circuit(view: FilterView, ax: Axes | None = None, *, exciting: int = 6, inhibiting: int = 3) -> Axes:
    """Draw a filter and the filters upstream that contribute most to it.

    Each has the crop of its best image; below the crop of a filter upstream is its kernel, red where a weight
    is positive and blue where it is negative.

    Args:
        view: The filter.
        ax: Axes to draw into; by default those of a new figure.
        exciting: Largest number of exciting filters.
        inhibiting: Largest number of inhibiting filters.

    Returns:
        The axes.

    Raises:
        LurkError: The store has no circuits, or matplotlib is not installed.
    """
    rows = view.made_of()
    excited = [row for row in rows if row.contribution > 0][:exciting]
    inhibited = [row for row in rows if row.contribution < 0][:inhibiting]
    # Two rows of pictures: half as wide as a strip of as many tiles.
    ax = resolve_axes(ax, (2 + len(excited) + len(inhibited)) // 2)
    columns: list[tuple[_Picture, _Picture | None]] = [(_picture(view), None)]
    labels = [f"{view.layer.name}\n{view.channel}"]
    scale = max((float(abs(row.kernel).max()) for row in rows if row.kernel is not None), default=0.0)
    for row in (*excited, *inhibited):
        source = view.layer.store.layer(row.layer)[row.channel]
        columns.append((_picture(source), _kernel_picture(row, scale)))
        labels.append(f"{row.layer}\n{row.channel}: {row.share:+.0%}")
    width = len(columns) * (_TILE + _GAP) - _GAP
    canvas = np.full((2 * _TILE + _GAP, width, 3), 255, dtype=np.uint8)
    for number, (picture, kernel) in enumerate(columns):
        left = number * (_TILE + _GAP)
        canvas[:_TILE, left : left + _TILE] = picture
        if kernel is not None:
            canvas[_TILE + _GAP :, left : left + _TILE] = kernel
    ax.imshow(canvas)
    ax.set_yticks([])
    ticks = [number * (_TILE + _GAP) + _TILE / 2 for number in range(len(columns))]
    ax.set_xticks(ticks, [escape_mathtext(label) for label in labels], fontsize=8)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    total = format_sum(view.circuit.score, view.excitation, view.inhibition, view.rest)
    ax.set_title(escape_mathtext(f"{view.layer.name}, filter {view.channel}: {total}"))
    return ax


def _picture(view: FilterView) -> _Picture:
    """Return the crop of a filter's best image, or that image if its units see all of it; black if none."""
    if not view.entry.max:
        return np.zeros((_TILE, _TILE, 3), dtype=np.uint8)
    try:
        image = view.crop(0)
    except LurkError:
        image = view.photo(0)
    image = image.convert("RGB")
    image.thumbnail((_TILE, _TILE))
    return np.asarray(image.resize((_TILE, _TILE), Image.Resampling.NEAREST))


def _kernel_picture(row: UpstreamFilter, scale: float) -> _Picture | None:
    """Return a kernel as a picture; `None` if there is none."""
    if row.kernel is None or scale == 0:
        return None
    from matplotlib import colormaps

    colours: _Picture = colormaps["RdBu_r"](row.kernel / scale / 2 + 0.5, bytes=True)[:, :, :3]
    height, width = row.kernel.shape
    rows, columns = (np.arange(_TILE) * size // _TILE for size in (height, width))
    enlarged: _Picture = colours[rows[:, None], columns]
    return enlarged
