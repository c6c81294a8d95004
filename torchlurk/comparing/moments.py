"""Correlations of two networks over many images, in sums of a size that does not grow with them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from torchlurk.scan.reduce import reduce_map

CELLS = 8
"""A map is compared in at most so many rows and columns of cells, each the mean of what lies in it."""


@dataclass(frozen=True)
class Seen:
    """What one network shows of a batch at one layer of C filters, float32.

    Attributes:
        means: `(N, C)` the mean of each map.
        maxima: `(N, C)` its maximum.
        cells: `(N * cells, C)` the map in at most `CELLS` rows and columns.
    """

    means: Tensor
    maxima: Tensor
    cells: Tensor


def look(x: Tensor) -> Seen:
    """Reduce the maps `(N, C, H, W)` of a batch to what is compared of them."""
    reduced = reduce_map(x)
    rows, columns = (min(side, CELLS) for side in x.shape[2:])
    cells = F.adaptive_avg_pool2d(x.float(), (rows, columns)).permute(0, 2, 3, 1).flatten(0, 2)
    return Seen(reduced.means, reduced.maxima, cells)


@dataclass(frozen=True)
class Moments:
    """Sums over M observations of C variables x and as many y, each less a constant of its own.

    Attributes:
        count: M.
        centre_x: `(C,)` what is taken off each x: without it, digits are lost where a mean is large.
        centre_y: the same of y.
        x: `(C,)` sums of x, float64.
        y: of y.
        xx: of its squares.
        yy: likewise.
        xy: of the products.
    """

    count: int
    centre_x: Tensor
    centre_y: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    yy: Tensor
    xy: Tensor


def begin(x: Tensor, y: Tensor) -> Moments:
    """The sums before the first observations `(M, C)`, which decide what is taken off."""
    x, y = x.double(), y.double()
    # In float64 the mean of equal float32 values is that value: what never varies has sums of 0.
    none = x.new_zeros(x.shape[1])
    return Moments(0, x.mean(0), y.mean(0), none, none, none, none, none)


def add(sums: Moments, x: Tensor, y: Tensor) -> Moments:
    """The sums with observations `(M, C)` of both added."""
    x, y = x.double() - sums.centre_x, y.double() - sums.centre_y
    return Moments(
        sums.count + len(x), sums.centre_x, sums.centre_y, sums.x + x.sum(0), sums.y + y.sum(0),
        sums.xx + (x * x).sum(0), sums.yy + (y * y).sum(0), sums.xy + (x * y).sum(0),
    )  # fmt: skip


def spread(sums: Moments) -> tuple[Tensor, Tensor]:
    """The sums of squares of x and of y about their means, `(C,)` each; exactly 0 for what never varies."""
    return (
        (sums.xx - sums.x * sums.x / sums.count).clamp(min=0),
        (sums.yy - sums.y * sums.y / sums.count).clamp(min=0),
    )


def correlations(sums: Moments) -> Tensor:
    """Pearson's correlation of each x with its y, `(C,)`; exactly 1 where both are equal to the bit.

    Where only one of them varies it is 0: the one says nothing of the other. Where neither does it is 1 if
    they are equal, and NaN, which is not defined, if they are not.
    """
    own, other = spread(sums)
    # Of equal factors the root is exact.
    found = (sums.xy - sums.x * sums.y / sums.count) / (own * other).sqrt()
    still = (own == 0) & (other == 0)
    equal = sums.centre_x == sums.centre_y
    found = torch.where((own == 0) | (other == 0), torch.zeros_like(found), found)
    found = torch.where(still, torch.where(equal, 1.0, torch.nan).to(found.dtype), found)
    return found.clamp(-1, 1)


@dataclass(frozen=True)
class LayerSums:
    """What is known of a layer of two networks after some images.

    Attributes:
        means: of the maps' means.
        maxima: of their maxima.
        cells: of their cells.
        apart: `(C,)` sums of the squared differences of cells.
        across: `(C, C)` sums of the products of the cells of each filter of the one with each of the other.
    """

    means: Moments
    maxima: Moments
    cells: Moments
    apart: Tensor
    across: Tensor


def begin_layer(one: Seen, other: Seen) -> LayerSums:
    """The sums before the first batch, which decides what is taken off."""
    channels = one.cells.shape[1]
    return LayerSums(
        begin(one.means, other.means),
        begin(one.maxima, other.maxima),
        begin(one.cells, other.cells),
        one.cells.new_zeros(channels, dtype=torch.float64),
        one.cells.new_zeros(channels, channels, dtype=torch.float64),
    )


def add_layer(sums: LayerSums, one: Seen, other: Seen) -> LayerSums:
    """The sums with a batch added."""
    cells = sums.cells
    x, y = one.cells.double(), other.cells.double()
    return LayerSums(
        add(sums.means, one.means, other.means),
        add(sums.maxima, one.maxima, other.maxima),
        add(cells, x, y),
        sums.apart + (y - x).square().sum(0),
        sums.across + (x - cells.centre_x).T @ (y - cells.centre_y),
    )


def differences(sums: LayerSums) -> Tensor:
    """How far the cells of each filter lie apart, relative to how much they vary in the first, `(C,)`.

    0 only where they are equal to the bit; NaN where they differ and do not vary in the first.
    """
    own, _ = spread(sums.cells)
    found = (sums.apart / own).sqrt()
    found = torch.where(own == 0, torch.full_like(found, torch.nan), found)
    return torch.where(sums.apart == 0, torch.zeros_like(found), found)


def partners(sums: LayerSums) -> tuple[Tensor, Tensor]:
    """For each filter of the first network the one of the second whose cells correlate best with its own.

    A filter's own number comes before others that are no better, and lower numbers before higher ones.

    Returns:
        `(C,)` numbers, and `(C,)` correlations, NaN for a filter that never varies, unless it is the same.
    """
    cells = sums.cells
    own, other = spread(cells)
    found = sums.across - cells.x[:, None] * cells.y / cells.count
    found = found / (own[:, None] * other).sqrt()
    found = torch.where((own[:, None] == 0) | (other == 0), torch.zeros_like(found), found).clamp(-1, 1)
    same = correlations(cells)
    found.diagonal().copy_(torch.where(same.isnan(), torch.zeros_like(same), same))
    best, at = found.max(1).values, torch.arange(len(found), device=found.device)
    # `max` promises nothing of ties; what is less than rounding better is a tie with the filter itself.
    lowest = (found == best[:, None]).int().argmax(1)
    chosen = torch.where(found.diagonal() >= best - TIE, at, lowest)
    value = found.gather(1, chosen[:, None])[:, 0]
    return chosen, torch.where((own == 0) & (same != 1), torch.full_like(value, torch.nan), value)


TIE = 1e-9
"""Correlations that differ by less are equal: matrix products add in another order than sums."""
