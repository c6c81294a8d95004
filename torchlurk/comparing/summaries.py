"""Summarise the measures of a layer and of a comparison: distributions and sentences. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from torchlurk.comparing.measures import MEASURES
from torchlurk.comparing.store_measures import Values
from torchlurk.store.comparison import Distribution, FilterChanges, LayerChange, Measure
from torchlurk.store.schema import round_float32


def distribution(measure: Measure, values: Sequence[float | None]) -> Distribution | None:
    """Summarise the values of a measure in a layer.

    Args:
        measure: The measure.
        values: One value per channel, `None` where it is undefined.

    Returns:
        Counts, moments and a histogram; `None` if no filter has a value.
    """
    channels = [channel for channel, value in enumerate(values) if value is not None]
    if not channels:
        return None
    column = np.array([values[channel] for channel in channels], dtype=np.float64)
    sizes = np.abs(column)
    bins = np.searchsorted(measure.edges, column, side="right")
    return Distribution(
        counted=len(channels),
        unchanged=int((sizes == 0).sum()),
        mean=round_float32(float(sizes.mean())),
        median=round_float32(float(np.median(sizes))),
        max=float(sizes.max()),
        most=channels[int(sizes.argmax())],
        histogram=np.bincount(bins, minlength=len(measure.edges) + 1).tolist(),
    )


def layer_change(changes: FilterChanges) -> LayerChange:
    """Summarise how a layer changed between two stores."""
    distributions = {
        name: own
        for name, values in changes.values.items()
        if (own := distribution(MEASURES[name], values)) is not None
    }
    return LayerChange(summary=_layer_sentences(changes, distributions), distributions=distributions)


def _count_changed(values: Values) -> int:
    """Return how many filters changed by any measure."""
    return sum(any(value for value in row) for row in zip(*values.values(), strict=True))


def _layer_sentences(changes: FilterChanges, distributions: Mapping[str, Distribution]) -> str:
    channels = len(next(iter(changes.values.values()), []))
    filters = "its only filter" if channels == 1 else f"its {channels} filters"
    count = _count_changed(changes.values)
    if not count:
        return f"Nothing changed in {filters}."
    if count == channels:
        sentences = ["Its only filter changed." if channels == 1 else f"All {channels} filters changed."]
    else:
        sentences = [f"{count} of {filters} changed."]
    weights = distributions.get("weights")
    if weights is not None and _unchanged(weights):
        sentences.append("Their own weights are the same: their input changed.")
    elif weights is not None:
        sentences.append(f"Their weights changed by {_share(weights.median)} in the median{_most(weights)}.")
    maps = distributions.get("maps")
    top = distributions.get("top_max")
    if maps is not None:
        sentences.append(
            f"Their maps before and after correlate at {_correlation(maps.median)} in the median"
            f"{_least(maps)}."
        )
    elif top is not None:
        sentences.append(
            f"On average, {_share(top.mean)} of their top images by max are replaced{_most(top)}."
        )
    moved = _count_moved(changes)
    if moved:
        are = "filter is" if moved == 1 else "filters are"
        sentences.append(f"{moved} {are} more like another filter after than like the one in the same place.")
    return " ".join(sentences)


def _count_moved(changes: FilterChanges) -> int:
    """Return how many filters have another filter as their best partner."""
    partners = changes.partners or []
    return sum(partner is not None and partner[0] != channel for channel, partner in enumerate(partners))


def pair_sentences(layers: Mapping[str, LayerChange], measure: str) -> str:
    """Summarise how a network changed between two stores.

    Args:
        layers: The changes of its layers by name, in execution order.
        measure: The name of the measure that ranks the layers.
    """
    changed = [name for name, own in layers.items() if not all(map(_unchanged, own.distributions.values()))]
    if not changed:
        return f"Nothing changed in {_count_layers(len(layers))}."
    sentences = [f"Of {_count_layers(len(layers))}, {len(changed)} changed."]
    # By the mean: by the median, a layer with a single replaced filter would be the one that changed least.
    sizes = {
        name: layers[name].distributions[measure].mean or 0.0
        for name in changed
        if measure in layers[name].distributions
    }
    if len(sizes) > 1:
        most, least = max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])
        if sizes[most] > sizes[least]:
            sentences.append(
                f"By {MEASURES[measure].title}, {most} changed most ({sizes[most]:.2g} on average) and "
                f"{least} least ({sizes[least]:.2g})."
            )
    return " ".join(sentences)


def _unchanged(own: Distribution) -> bool:
    return own.counted == own.unchanged


def _count_layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


def _share(value: float | None) -> str:
    share = 0.0 if value is None else value
    return f"{share:.0%}" if share >= 0.01 or share == 0 else f"{100 * share:.2g}%".replace("e-0", "e-")


def _correlation(change: float | None) -> str:
    value = 1 - (change or 0.0)
    # Not 1.00: the maps are not equal.
    return "over 0.99" if 0.99 < value < 1 else f"{value:.2f}"


def _most(own: Distribution) -> str:
    return "" if _uniform(own) else f", most in filter {own.most} ({_share(own.max)})"


def _least(own: Distribution) -> str:
    return "" if _uniform(own) else f", least in filter {own.most} ({_correlation(own.max)})"


def _uniform(own: Distribution) -> bool:
    """Return whether no filter stands out."""
    return own.counted == 1 or own.max == own.median
