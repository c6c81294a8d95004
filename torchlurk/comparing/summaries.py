"""What a layer, and a whole comparison, comes to: distributions, and plain sentences. Needs no torch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from statistics import mean, median

from torchlurk.comparing.measures import MEASURES
from torchlurk.comparing.store_measures import Values
from torchlurk.store.comparison import Distribution, FilterChanges, LayerChange, Measure
from torchlurk.store.schema import round_float32


def distribution(measure: Measure, values: Sequence[float | None]) -> Distribution | None:
    """What a measure comes to in a layer; `None` where no filter has it."""
    own = [(channel, value) for channel, value in enumerate(values) if value is not None]
    if not own:
        return None
    sizes = [abs(value) for _, value in own]
    histogram = [0] * (len(measure.edges) + 1)
    for _, value in own:
        histogram[bisect_right(measure.edges, value)] += 1
    return Distribution(
        counted=len(own),
        unchanged=sum(size == 0 for size in sizes),
        mean=round_float32(mean(sizes)),
        median=round_float32(median(sizes)),
        max=max(sizes),
        most=max(own, key=lambda pair: (abs(pair[1]), -pair[0]))[0],
        histogram=histogram,
    )


def layer_change(changes: FilterChanges) -> LayerChange:
    """What became of a layer between two stores."""
    found = {
        name: one
        for name, values in changes.values.items()
        if (one := distribution(MEASURES[name], values)) is not None
    }
    return LayerChange(summary=_layer_sentences(changes, found), distributions=found)


def changed(values: Values) -> int:
    """How many filters changed by any measure."""
    return sum(any(value for value in row) for row in zip(*values.values(), strict=True))


def _layer_sentences(changes: FilterChanges, found: Mapping[str, Distribution]) -> str:
    channels = len(next(iter(changes.values.values()), []))
    own = "its only filter" if channels == 1 else f"its {channels} filters"
    count = changed(changes.values)
    if not count:
        return f"Nothing changed in {own}."
    if count == channels:
        told = ["Its only filter changed." if channels == 1 else f"All {channels} filters changed."]
    else:
        told = [f"{count} of {own} changed." if channels > 1 else f"{own} changed."]
    weights = found.get("weights")
    if weights is not None and weights.counted == weights.unchanged:
        told.append("Their own weights are the same: what they are fed changed.")
    elif weights is not None:
        told.append(f"Their weights changed by {_share(weights.median)} in the median{_most(weights)}.")
    maps = found.get("maps")
    top = found.get("top_max")
    if maps is not None:
        told.append(
            f"Their maps before and after correlate at {_correlation(maps.median)} in the median"
            f"{_least(maps)}."
        )
    elif top is not None:
        told.append(f"Of their top images by max, {_share(top.mean)} are others after{_most(top)}.")
    moved = _moved(changes)
    if moved:
        are = "filter is" if moved == 1 else "filters are"
        told.append(f"{moved} {are} more like another filter after than like the one in the same place.")
    return " ".join(told)


def _moved(changes: FilterChanges) -> int:
    partners = changes.partners or []
    return sum(pair is not None and pair[0] != channel for channel, pair in enumerate(partners))


def pair_sentences(layers: Mapping[str, LayerChange], main: str) -> str:
    """What became of a whole network, by its layers in order.

    Args:
        layers: their changes, by name.
        main: the measure by which they are ranked.
    """
    still = [name for name, one in layers.items() if _still(one)]
    if len(still) == len(layers):
        return f"Nothing changed in {_layers(len(layers))}."
    told = [f"Of {_layers(len(layers))}, {len(layers) - len(still)} changed."]
    # The mean, not the median: a layer of which one filter was replaced is not the one that changed least.
    sizes = {
        name: one.distributions[main].mean or 0.0
        for name, one in layers.items()
        if main in one.distributions and name not in still
    }
    if len(sizes) > 1:
        most, least = max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])
        if sizes[most] > sizes[least]:
            title = MEASURES[main].title
            told.append(
                f"By {title}, {most} changed most ({sizes[most]:.2g} on average) and {least} least "
                f"({sizes[least]:.2g})."
            )
    return " ".join(told)


def _still(one: LayerChange) -> bool:
    return all(own.counted == own.unchanged for own in one.distributions.values())


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


def _share(value: float | None) -> str:
    found = 0.0 if value is None else value
    return f"{found:.0%}" if found >= 0.01 or found == 0 else f"{found:.2g}".replace("e-0", "e-") + " of it"


def _correlation(change: float | None) -> str:
    value = 1 - (change or 0.0)
    # What is not equal is not told to be.
    return "over 0.99" if 0.99 < value < 1 else f"{value:.2f}"


def _most(one: Distribution) -> str:
    alone = one.counted == 1 or one.max == one.median
    return "" if alone else f", most in filter {one.most} ({_share(one.max)})"


def _least(one: Distribution) -> str:
    alone = one.counted == 1 or one.max == one.median
    return "" if alone else f", least in filter {one.most} ({_correlation(one.max)})"
