"""What two stores say of a filter: its lists, its class profile, its statistics. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torchlurk.store.schema import Filter, round_float32

Values = dict[str, list[float | None]]
"""By measure a list with an entry a channel; `None` where a measure is not defined."""

Profile = Sequence[tuple[int, float]]

ROUNDING = 1e-6
"""Relative to a number, what its seven digits do not tell."""


def listed(before: Sequence[Filter], after: Sequence[Filter]) -> Values:
    """The measures that need no more than what the stores keep of the filters of a layer.

    Args:
        before: of one store, by channel.
        after: of the other.
    """
    rows = list(zip(before, after, strict=True))

    def column(one: Callable[[Filter, Filter], float | None]) -> list[float | None]:
        found = [one(a, b) for a, b in rows]
        return [None if value is None else round_float32(value) for value in found]

    return {
        "top_max": column(lambda a, b: others(_ids(a.max), _ids(b.max))),
        "top_avg": column(lambda a, b: others(_ids(a.avg), _ids(b.avg))),
        "rank_max": column(lambda a, b: reordered(_ids(a.max), _ids(b.max))),
        "rank_avg": column(lambda a, b: reordered(_ids(a.avg), _ids(b.avg))),
        "classes_max": column(
            lambda a, b: moved(a.classes.max, a.stats.max_mean, b.classes.max, b.stats.max_mean)
        ),
        "classes_avg": column(
            lambda a, b: moved(a.classes.avg, a.stats.mean, b.classes.avg, b.stats.mean)
        ),
        "mean_shift": column(
            lambda a, b: shift(a.stats.mean, a.stats.std, b.stats.mean, b.stats.std)
        ),
        "max_shift": column(
            lambda a, b: shift(a.stats.max_mean, a.stats.max_std, b.stats.max_mean, b.stats.max_std)
        ),
        "active": column(lambda a, b: b.stats.active - a.stats.active),
        "selectivity": column(
            lambda a, b: None
            if a.stats.selectivity is None or b.stats.selectivity is None
            else b.stats.selectivity - a.stats.selectivity
        ),
    }  # fmt: skip


def _ids(entries: Sequence[object]) -> list[int]:
    return [entry.image for entry in entries]  # type: ignore[attr-defined]


def others(before: Sequence[int], after: Sequence[int]) -> float:
    """The share of a list that is not in the other: 0 for the same images, 1 for none in common.

    >>> others([4, 7, 1, 2], [7, 4, 5, 6])
    0.5
    """
    longer = max(len(before), len(after))
    return 1 - len(set(before) & set(after)) / longer if longer else 0.0


def reordered(before: Sequence[int], after: Sequence[int]) -> float:
    """1 less Spearman's rank correlation of two lists, 0 to 2, over the images of both together.

    An image that is missing from a list shares the places behind its end with the others that are.

    >>> reordered([4, 7, 1, 2], [4, 7, 1, 2]), reordered([1, 2, 3], [3, 2, 1])
    (0.0, 2.0)
    """
    if list(before) == list(after):
        return 0.0
    images = sorted({*before, *after})
    # Twice the rank, so that the mean of ranks, too, is a whole number, and the sums are exact.
    ranks = [_doubled_ranks(kept, images) for kept in (before, after)]
    middle = len(images) + 1
    a, b = ([rank - middle for rank in own] for own in ranks)
    within = sum(x * x for x in a) * sum(y * y for y in b)
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(within)


def _doubled_ranks(kept: Sequence[int], images: Sequence[int]) -> list[int]:
    place = {image: 2 * (at + 1) for at, image in enumerate(kept)}
    behind = len(kept) + 1 + len(images)
    return [place.get(image, behind) for image in images]


def moved(before: Profile, mean: float, after: Profile, mean_after: float) -> float:
    """The share of a class profile that has moved to other classes: 0 for none, 1 for all.

    It is the total variation distance of two profiles, each being how far its class means are above the mean
    of all images, over the sum of that. A class that a profile does not list has at most the mean of its last
    one, and counts as much. Two profiles of which no class is above the mean are the same; if only one is,
    all has moved.

    Args:
        before: classes and their means, of one store.
        mean: over all images.
        after: of the other store.
        mean_after: likewise.

    >>> moved([(0, 4.0), (1, 2.0)], 1.0, [(1, 4.0), (0, 2.0)], 1.0)
    0.5
    """
    classes = sorted({label for label, _ in before} | {label for label, _ in after})
    if len(classes) < 2:
        return 0.0
    one, two = _shares(before, mean, classes), _shares(after, mean_after, classes)
    if one is None or two is None:
        return 0.0 if one is two else 1.0
    return sum(abs(p - q) for p, q in zip(one, two, strict=True)) / 2


def _shares(profile: Profile, mean: float, classes: Sequence[int]) -> list[float] | None:
    # What the format's seven digits cannot tell from the mean is not above it.
    above = {label: own - mean if own - mean > ROUNDING * abs(mean) else 0.0 for label, own in profile}
    last = min(above.values(), default=0.0)
    found = [above.get(label, last) for label in classes]
    total = sum(found)
    return [value / total for value in found] if total > 0 else None


def shift(mean: float, std: float, mean_after: float, std_after: float) -> float | None:
    """By how many standard deviations, of both together, a mean is higher; `None` where neither varies.

    >>> shift(1.0, 2.0, 4.0, 2.0)
    1.5
    """
    if mean == mean_after:
        return 0.0
    together = math.sqrt((std * std + std_after * std_after) / 2)
    return (mean_after - mean) / together if together > 0 else None
