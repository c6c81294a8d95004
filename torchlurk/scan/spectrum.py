"""The spectrum of a filter: images at quantiles of its maxima, from what silences it to what excites it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES: tuple[float, ...] = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles of the maxima at which a spectrum has images; 0 is the minimum."""

_SHARE_OF_WINDOW = 100
"""The second image of a quantile is at most this part of all images away from the first."""


def spectrum_images(maxima: NDArray[np.float32], labels: NDArray[Any]) -> list[list[int]]:
    """Return two images at each quantile of the maxima of a filter.

    The first is the image at the nearest rank; of equal maxima, the one with the smaller number ranks lower.
    The second is the nearest one of another class within a hundredth of all ranks, or else the next one.

    Args:
        maxima: `(N,)`, one for each image; NaN for images without one.
        labels: `(N,)`, the class of each image.

    Returns:
        For each of `QUANTILES` the numbers of at most two images; fewer where the data set has fewer.
    """
    order = np.argsort(maxima, kind="stable")  # NaN comes last
    order = order[: np.count_nonzero(~np.isnan(maxima))]
    if not len(order):
        return [[] for _ in QUANTILES]
    return [_images_at(order, labels, int(quantile * (len(order) - 1) + 0.5)) for quantile in QUANTILES]


def _images_at(order: NDArray[Any], labels: NDArray[Any], rank: int) -> list[int]:
    """Return the image at a rank, and one near it, if possible of another class."""
    window = max(1, len(order) // _SHARE_OF_WINDOW)
    nearest = [
        other
        for distance in range(1, window + 1)
        for other in (rank + distance, rank - distance)
        if 0 <= other < len(order)
    ]
    first = int(order[rank])
    different = next((other for other in nearest if labels[order[other]] != labels[first]), None)
    second = nearest[0] if different is None and nearest else different
    return [first] if second is None else [first, int(order[second])]
