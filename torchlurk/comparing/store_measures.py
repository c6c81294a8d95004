"""Measures that need only the stores: top images, class profiles and statistics. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from torchlurk.store.schema import Filter, round_float32

Values = dict[str, list[float | None]]
"""By measure a list with one entry per channel; `None` where the measure is undefined."""

_Profile = Sequence[tuple[int, float]]
"""Classes with their mean activations, the highest first."""

_PRECISION = 1e-6
"""The relative precision of the format's seven digits."""


class _Entry(Protocol):
    @property
    def image(self) -> int: ...


def measure_filters(before: Sequence[Filter], after: Sequence[Filter]) -> Values:
    """Compute the measures of the filters of a layer that need only the stores.

    Args:
        before: The filters in the first store, by channel.
        after: The filters in the second store, by channel.
    """
    filters = list(zip(before, after, strict=True))

    def column(measure: Callable[[Filter, Filter], float | None]) -> list[float | None]:
        values = [measure(a, b) for a, b in filters]
        return [None if value is None else round_float32(value) for value in values]

    return {
        "top_max": column(lambda a, b: replaced_share(_ids(a.max), _ids(b.max))),
        "top_avg": column(lambda a, b: replaced_share(_ids(a.avg), _ids(b.avg))),
        "rank_max": column(lambda a, b: rank_distance(_ids(a.max), _ids(b.max))),
        "rank_avg": column(lambda a, b: rank_distance(_ids(a.avg), _ids(b.avg))),
        "classes_max": column(
            lambda a, b: profile_distance(a.classes.max, a.stats.max_mean, b.classes.max, b.stats.max_mean)
        ),
        "classes_avg": column(
            lambda a, b: profile_distance(a.classes.avg, a.stats.mean, b.classes.avg, b.stats.mean)
        ),
        "mean_shift": column(
            lambda a, b: standardised_shift(a.stats.mean, a.stats.std, b.stats.mean, b.stats.std)
        ),
        "max_shift": column(
            lambda a, b: standardised_shift(
                a.stats.max_mean, a.stats.max_std, b.stats.max_mean, b.stats.max_std
            )
        ),
        "active": column(lambda a, b: b.stats.active - a.stats.active),
        "selectivity": column(
            lambda a, b: None
            if a.stats.selectivity is None or b.stats.selectivity is None
            else b.stats.selectivity - a.stats.selectivity
        ),
    }  # fmt: skip


def _ids(entries: Sequence[_Entry]) -> list[int]:
    return [entry.image for entry in entries]


def replaced_share(before: Sequence[int], after: Sequence[int]) -> float:
    """Return the share of a list's images that are not in the other list.

    Args:
        before: Image numbers.
        after: Image numbers.

    Returns:
        0 if both lists have the same images, 1 if they have none in common.

    Examples:
        >>> replaced_share([4, 7, 1, 2], [7, 4, 5, 6])
        0.5
    """
    longer = max(len(before), len(after))
    return 1 - len(set(before) & set(after)) / longer if longer else 0.0


def rank_distance(before: Sequence[int], after: Sequence[int]) -> float:
    """Return 1 minus Spearman's rank correlation of two lists, over the images of both together.

    The images that a list lacks share the ranks after its end.

    Args:
        before: Image numbers, the best first.
        after: Image numbers, the best first.

    Returns:
        A number from 0 to 2.

    Examples:
        >>> rank_distance([4, 7, 1, 2], [4, 7, 1, 2]), rank_distance([1, 2, 3], [3, 2, 1])
        (0.0, 2.0)
    """
    if list(before) == list(after):
        return 0.0
    images = sorted({*before, *after})
    # Twice the ranks, minus twice their mean: integers even where ranks are shared, so the sums are exact.
    a, b = (_doubled_ranks(own, images) - (len(images) + 1) for own in (before, after))
    return float(1 - int(a @ b) / math.sqrt(int(a @ a) * int(b @ b)))


def _doubled_ranks(own: Sequence[int], images: Sequence[int]) -> npt.NDArray[np.int64]:
    ranks = {image: 2 * (position + 1) for position, image in enumerate(own)}
    after_end = len(own) + 1 + len(images)
    return np.array([ranks.get(image, after_end) for image in images], dtype=np.int64)


def profile_distance(before: _Profile, mean: float, after: _Profile, mean_after: float) -> float:
    """Return the share of a class profile that has moved to other classes.

    This is the total variation distance of two distributions over classes. The weight of a class is how far
    its mean is above the mean over all images, divided by the sum of these. A class that a profile does not
    list has at most the mean of its last class, and gets that class's weight. Two profiles without a class
    above the mean are equal; if only one has such classes, everything has moved.

    Args:
        before: The profile in the first store.
        mean: The first store's mean over all images.
        after: The profile in the second store.
        mean_after: The second store's mean over all images.

    Returns:
        A number from 0, nothing has moved, to 1, everything has moved.

    Examples:
        >>> profile_distance([(0, 4.0), (1, 2.0)], 1.0, [(1, 4.0), (0, 2.0)], 1.0)
        0.5
    """
    classes = sorted({label for label, _ in before} | {label for label, _ in after})
    if len(classes) < 2:
        return 0.0
    p, q = _weights(before, mean, classes), _weights(after, mean_after, classes)
    if p is None or q is None:
        return 0.0 if p is q else 1.0
    return float(np.abs(p - q).sum() / 2)


def _weights(profile: _Profile, mean: float, classes: Sequence[int]) -> npt.NDArray[np.float64] | None:
    """Return the weights of the classes, which add up to 1; `None` if no class is above the mean."""
    # A difference below the format's precision does not count as above the mean.
    above = {label: own - mean if own - mean > _PRECISION * abs(mean) else 0.0 for label, own in profile}
    last = min(above.values(), default=0.0)
    weights = np.array([above.get(label, last) for label in classes])
    total = weights.sum()
    return weights / total if total > 0 else None


def standardised_shift(mean: float, std: float, mean_after: float, std_after: float) -> float | None:
    """Return by how many standard deviations, pooled over both stores, a mean has increased.

    Args:
        mean: The mean in the first store.
        std: The standard deviation in the first store.
        mean_after: The mean in the second store.
        std_after: The standard deviation in the second store.

    Returns:
        The shift; `None` if the means differ and neither store varies.

    Examples:
        >>> standardised_shift(1.0, 2.0, 4.0, 2.0)
        1.5
    """
    if mean == mean_after:
        return 0.0
    pooled = math.sqrt((std * std + std_after * std_after) / 2)
    return (mean_after - mean) / pooled if pooled > 0 else None
