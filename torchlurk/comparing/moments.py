"""Correlations of two networks over many images, from sums whose size does not grow with the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from torchlurk.scan.reduce import reduce_map

CELLS = 8
"""Maps are averaged down to at most this many rows and columns of cells before they are compared."""

_TIE = 1e-9
"""Correlations that differ by less are equal: matrix products add in another order than sums."""


@dataclass(frozen=True)
class MapSummary:
    """What is compared of the maps `(N, C, H, W)` that a network's layer gives for a batch, float32.

    Attributes:
        means: `(N, C)`, the mean of each map.
        maxima: `(N, C)`, the maximum of each map.
        cells: `(N * cells, C)`, the map averaged down to at most `CELLS` rows and columns.
    """

    means: Tensor
    maxima: Tensor
    cells: Tensor


def summarise_maps(x: Tensor) -> MapSummary:
    """Reduce the maps `(N, C, H, W)` of a batch to what is compared of them."""
    reduced = reduce_map(x)
    rows, columns = (min(side, CELLS) for side in x.shape[2:])
    cells = F.adaptive_avg_pool2d(x.float(), (rows, columns)).permute(0, 2, 3, 1).flatten(0, 2)
    return MapSummary(reduced.means, reduced.maxima, cells)


@dataclass(frozen=True)
class Moments:
    """Sums over M observations of C variables x and C variables y, each minus a constant offset.

    Attributes:
        count: M.
        offset_x: `(C,)`, subtracted from x: without it, a large mean costs digits.
        offset_y: `(C,)`, subtracted from y.
        x: `(C,)`, the sums of x, float64.
        y: `(C,)`, the sums of y.
        xx: `(C,)`, the sums of the squares of x.
        yy: `(C,)`, the sums of the squares of y.
        xy: `(C,)`, the sums of the products of each x with its y.
    """

    count: int
    offset_x: Tensor
    offset_y: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    yy: Tensor
    xy: Tensor


def init_moments(x: Tensor, y: Tensor) -> Moments:
    """Return empty moments whose offsets are the means of the first observations.

    Args:
        x: `(M, C)`, the first observations of x.
        y: `(M, C)`, the first observations of y.
    """
    x, y = x.double(), y.double()
    # In float64 the mean of equal float32 values is that value, so a constant variable has sums of exactly 0.
    zeros = x.new_zeros(x.shape[1])
    return Moments(0, x.mean(0), y.mean(0), zeros, zeros, zeros, zeros, zeros)


def update_moments(moments: Moments, x: Tensor, y: Tensor) -> Moments:
    """Return the moments with more observations added.

    Args:
        moments: The moments so far.
        x: `(M, C)`, observations of x.
        y: `(M, C)`, observations of y.
    """
    x, y = x.double() - moments.offset_x, y.double() - moments.offset_y
    return Moments(
        moments.count + len(x),
        moments.offset_x,
        moments.offset_y,
        moments.x + x.sum(0),
        moments.y + y.sum(0),
        moments.xx + (x * x).sum(0),
        moments.yy + (y * y).sum(0),
        moments.xy + (x * y).sum(0),
    )


def squared_deviations(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return the sums of squared deviations of x and of y from their means.

    Returns:
        `(C,)` for x and `(C,)` for y; exactly 0 for constant variables.
    """
    return (
        (moments.xx - moments.x * moments.x / moments.count).clamp(min=0),
        (moments.yy - moments.y * moments.y / moments.count).clamp(min=0),
    )


def correlations(moments: Moments) -> Tensor:
    """Return Pearson's correlation of each x with its y, `(C,)`.

    It is exactly 1 if both are equal to the bit. It is 0 if only one of them varies. If neither varies, it is
    1 if they are equal, and NaN (undefined) if they differ.
    """
    varied_x, varied_y = squared_deviations(moments)
    # The square root of a product of equal factors is exact.
    r = (moments.xy - moments.x * moments.y / moments.count) / (varied_x * varied_y).sqrt()
    neither_varies = (varied_x == 0) & (varied_y == 0)
    equal = moments.offset_x == moments.offset_y
    r = torch.where((varied_x == 0) | (varied_y == 0), torch.zeros_like(r), r)
    r = torch.where(neither_varies, torch.where(equal, 1.0, torch.nan).to(r.dtype), r)
    return r.clamp(-1, 1)


@dataclass(frozen=True)
class LayerMoments:
    """The moments of a layer of two networks.

    Attributes:
        means: The moments of the maps' means.
        maxima: The moments of the maps' maxima.
        cells: The moments of the maps' cells.
        squared_differences: `(C,)`, sums of the squared differences of the cells, float64.
        cross_products: `(C, C)`, sums of the products of the cells of each filter of the first network with
            those of each filter of the second, float64.
    """

    means: Moments
    maxima: Moments
    cells: Moments
    squared_differences: Tensor
    cross_products: Tensor


def init_layer_moments(first: MapSummary, second: MapSummary) -> LayerMoments:
    """Return empty moments with the offsets of the first batch.

    Args:
        first: The first network's maps of that batch.
        second: The second network's maps.
    """
    channels = first.cells.shape[1]
    return LayerMoments(
        init_moments(first.means, second.means),
        init_moments(first.maxima, second.maxima),
        init_moments(first.cells, second.cells),
        first.cells.new_zeros(channels, dtype=torch.float64),
        first.cells.new_zeros(channels, channels, dtype=torch.float64),
    )


def update_layer_moments(moments: LayerMoments, first: MapSummary, second: MapSummary) -> LayerMoments:
    """Return the moments with a batch added.

    Args:
        moments: The moments so far.
        first: The first network's maps of the batch.
        second: The second network's maps.
    """
    cells = moments.cells
    x, y = first.cells.double(), second.cells.double()
    return LayerMoments(
        update_moments(moments.means, first.means, second.means),
        update_moments(moments.maxima, first.maxima, second.maxima),
        update_moments(cells, x, y),
        moments.squared_differences + (y - x).square().sum(0),
        moments.cross_products + (x - cells.offset_x).T @ (y - cells.offset_y),
    )


def relative_differences(moments: LayerMoments) -> Tensor:
    """Return how far the cells of each filter differ, relative to their deviation in the first network.

    Both are root sums of squares over all cells.

    Returns:
        `(C,)`; 0 only if the cells are equal to the bit, NaN if they differ and are constant in the first
        network.
    """
    varied, _ = squared_deviations(moments.cells)
    difference = (moments.squared_differences / varied).sqrt()
    difference = torch.where(varied == 0, torch.full_like(difference, torch.nan), difference)
    return torch.where(moments.squared_differences == 0, torch.zeros_like(difference), difference)


def best_partners(moments: LayerMoments) -> tuple[Tensor, Tensor]:
    """Find for each filter of the first network the filter of the second whose cells correlate best.

    On a tie, the filter with the same number comes first, then the lowest number.

    Returns:
        `(C,)` filter numbers, int64, and `(C,)` correlations, float64; NaN for a filter that never varies,
        unless its maps are the same in both networks.
    """
    cells = moments.cells
    varied_x, varied_y = squared_deviations(cells)
    r = moments.cross_products - cells.x[:, None] * cells.y / cells.count
    r = r / (varied_x[:, None] * varied_y).sqrt()
    r = torch.where((varied_x[:, None] == 0) | (varied_y == 0), torch.zeros_like(r), r).clamp(-1, 1)
    own = correlations(cells)
    r.diagonal().copy_(torch.where(own.isnan(), torch.zeros_like(own), own))
    best, channels = r.max(1).values, torch.arange(len(r), device=r.device)
    # `max` does not define which of equal values it finds. What is better than the filter itself by less than
    # rounding is a tie.
    lowest = (r == best[:, None]).int().argmax(1)
    partners = torch.where(r.diagonal() >= best - _TIE, channels, lowest)
    values = r.gather(1, partners[:, None])[:, 0]
    return partners, torch.where((varied_x == 0) & (own != 1), torch.full_like(values, torch.nan), values)
