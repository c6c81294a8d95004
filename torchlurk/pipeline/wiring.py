"""From sums of contributions to the records of circuits: means, shares, lists and kernels.

All functions are pure. What the filters of a layer are made of comes from the sums of the layer, and what
they are used for from those of the layers downstream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchlurk.pipeline.contribution_sums import ContributionSums
from torchlurk.store.schema import Consumer, Contributor, FilterCircuit

MOST_EXCITING = 12
"""Largest number of exciting filters in a list."""

MOST_INHIBITING = 6
"""Largest number of inhibiting filters in a list."""

MOST_CONSUMERS = 12
"""Largest number of filters downstream in a list."""

LIST_DIGITS = 4
"""Significant digits of the contributions in lists. Digits are most of the bytes of a compressed file: with
six, those of VGG16 have 1.36 MB, and with these 1.17 MB."""

_DIGITS = 6
"""Significant digits of sums."""

_LEVELS = 8
"""Steps from zero to the scale of a kernel."""

_ZERO = ord("i")
"""The letter of a weight of zero."""

_Kernel = NDArray[Any]


@dataclass(frozen=True)
class LayerWiring:
    """Mean contributions to the filters of a layer.

    Attributes:
        upstream: Names of the layers directly upstream, in execution order.
        widths: Number of filters of each.
        scores: `(C,)` float64, the mean scores of the filters; 0 for a filter without units.
        contributions: `(C, sum(widths))` float64, the mean contributions, the layers upstream side by side.
    """

    upstream: tuple[str, ...]
    widths: tuple[int, ...]
    scores: Tensor
    contributions: Tensor

    def columns(self, upstream: int) -> slice:
        """Return the columns of a layer upstream, by its index."""
        start = sum(self.widths[:upstream])
        return slice(start, start + self.widths[upstream])

    def shares(self, upstream: int) -> Tensor:
        """Return `(C, width)`, the contributions of a layer upstream over the sum of all magnitudes."""
        total = self.contributions.abs().sum(1, keepdim=True)
        # A filter without contributions has shares of zero, not of 0 / 0.
        return self.contributions[:, self.columns(upstream)] / total.clamp(min=torch.finfo(total.dtype).tiny)


@dataclass(frozen=True)
class Consumption:
    """For each filter of a layer, the filters downstream in which it has the largest shares.

    Attributes:
        layers: `(C, N)` int64, index of their layers among the layers downstream; N is at most
            `MOST_CONSUMERS`.
        channels: `(C, N)` int64, their numbers.
        shares: `(C, N)` float64, largest magnitude first.
    """

    layers: Tensor
    channels: Tensor
    shares: Tensor


def mean_wiring(
    sums: ContributionSums, channels: int, upstream: Sequence[str], widths: Sequence[int]
) -> LayerWiring:
    """Return the means of sums of contributions.

    Args:
        sums: The sums of a layer.
        channels: Number of its filters.
        upstream: Names of the layers directly upstream, in execution order.
        widths: Number of filters of each.
    """
    counts = sums.counts.double()
    scores = torch.zeros(channels, dtype=torch.float64)
    scores[sums.channels] = sums.scores / counts
    contributions = torch.zeros(channels, sum(widths), dtype=torch.float64)
    wiring = LayerWiring(tuple(upstream), tuple(widths), scores, contributions)
    for at, name in enumerate(upstream):
        if name in sums.contributions:
            contributions[sums.channels, wiring.columns(at)] = sums.contributions[name] / counts[:, None]
    return wiring


def no_consumption(channels: int) -> Consumption:
    """Return the consumption of a layer of so many filters that no other layer uses."""
    none = torch.zeros(channels, 0, dtype=torch.int64)
    return Consumption(none, none, none.double())


def add_consumers(found: Consumption, layer: int, shares: Tensor) -> Consumption:
    """Add the filters of a layer downstream.

    Args:
        found: The consumption by the layers before it.
        layer: Its index among the layers downstream.
        shares: `(D, C)`, the shares in its D filters of the C filters of the layer.
    """
    downstream, channels = shares.shape
    numbers = torch.arange(downstream).expand(channels, downstream)
    candidates = torch.cat([found.shares, shares.T], dim=1)
    layers = torch.cat([found.layers, torch.full_like(numbers, layer)], dim=1)
    filters = torch.cat([found.channels, numbers], dim=1)
    # Stable: of equal shares, that of the filter which comes first in the network is first.
    best = candidates.abs().argsort(dim=1, descending=True, stable=True)[:, :MOST_CONSUMERS]
    return Consumption(layers.gather(1, best), filters.gather(1, best), candidates.gather(1, best))


def wiring_to_records(wiring: LayerWiring, kernels: Sequence[Tensor | None]) -> list[FilterCircuit]:
    """Return the records of the filters of a layer, without what they are used for.

    Args:
        wiring: The mean contributions to them.
        kernels: For each layer upstream, its kernels `(C, width, kh, kw)`, or `None`.
    """
    parts = [wiring.columns(at) for at in range(len(wiring.upstream))]
    arrays = [None if kernel is None else kernel.numpy() for kernel in kernels]
    rows: NDArray[np.float64] = wiring.contributions.numpy()
    # Each column by the index of its layer upstream, and the number of its filter.
    names = [(at, number) for at, width in enumerate(wiring.widths) for number in range(width)]
    records: list[FilterCircuit] = []
    for channel, score in enumerate(wiring.scores.tolist()):
        row = rows[channel]
        sums = [(float(row[p].clip(min=0).sum()), float(row[p].clip(max=0).sum())) for p in parts]
        excitation, inhibition = (sum(pair[sign] for pair in sums) for sign in (0, 1))
        lists = [_largest(row, MOST_EXCITING), _largest(-row, MOST_INHIBITING)]
        weights = {
            column: _finite_kernel(arrays[names[column][0]], channel, names[column][1])
            for columns in lists
            for column in columns
        }
        sizes = [float(abs(kernel).max()) for kernel in weights.values() if kernel is not None]
        scale = round_to(max(sizes, default=0.0), _DIGITS)
        excited_by, inhibited_by = (
            [
                Contributor(
                    *names[column],
                    round_to(row[column], LIST_DIGITS),
                    kernel_to_letters(weights[column], scale),
                )
                for column in columns
            ]
            for columns in lists
        )
        records.append(
            FilterCircuit(
                score=round_to(score, _DIGITS),
                excitation=round_to(excitation, _DIGITS),
                inhibition=round_to(inhibition, _DIGITS),
                rest=round_to(score - excitation - inhibition, _DIGITS),
                sums=[
                    (round_to(positive, _DIGITS), round_to(negative, _DIGITS)) for positive, negative in sums
                ],
                scale=scale,
                excited_by=excited_by,
                inhibited_by=inhibited_by,
                used_by=[],
            )
        )
    return records


def with_consumers(records: Sequence[FilterCircuit], consumption: Consumption) -> list[FilterCircuit]:
    """Return the records of the filters of a layer with what they are used for."""
    rows = zip(
        consumption.layers.tolist(), consumption.channels.tolist(), consumption.shares.tolist(), strict=True
    )
    return [
        msgspec.structs.replace(
            record,
            used_by=[
                Consumer(layer, channel, round_share(share))
                for layer, channel, share in zip(*row, strict=True)
                if share != 0
            ],
        )
        for record, row in zip(records, rows, strict=True)
    ]


def _largest(values: NDArray[np.float64], count: int) -> list[int]:
    """Return the positions of the largest positive values, largest first; of equal ones, the first."""
    (candidates,) = np.nonzero(values > 0)
    if len(candidates) > count:
        # Numbers are sorted faster than positions, so those too small for the list are left out first.
        lowest = np.sort(values[candidates])[-count]
        candidates = candidates[values[candidates] >= lowest]
    order = np.argsort(-values[candidates], kind="stable")[:count]
    largest: list[int] = candidates[order].tolist()
    return largest


def _finite_kernel(kernels: _Kernel | None, channel: int, upstream: int) -> _Kernel | None:
    """Return the kernel between two filters; `None` if there is none, or only zeros."""
    if kernels is None:
        return None
    kernel: _Kernel = kernels[channel, upstream]
    return kernel if kernel.any() and np.isfinite(kernel).all() else None


def kernel_to_letters(kernel: _Kernel | None, scale: float) -> str:
    """Return a kernel as letters, see `KernelLetters`; empty for `None`.

    Args:
        kernel: `(kh, kw)`, its weights.
        scale: The weight that the letter `q` stands for, at least the largest magnitude.
    """
    if kernel is None or scale == 0:
        return ""
    levels = np.rint(kernel.astype(np.float64) / scale * _LEVELS).clip(-_LEVELS, _LEVELS)
    return (levels.astype(np.int64).ravel() + _ZERO).astype(np.uint8).tobytes().decode("ascii")


def round_to(value: float, digits: int) -> float:
    """Return a number with so many significant digits; minus zero becomes zero."""
    return float(f"{value:.{digits}g}") + 0.0


def round_share(share: float) -> float:
    """Return a share with three significant digits, or four from 10% on, so that percentages are exact."""
    return round_to(share, LIST_DIGITS if abs(share) >= 0.1 else LIST_DIGITS - 1)
