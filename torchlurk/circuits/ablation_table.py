"""The result of an ablation as tables: the filters and the classes that change most come first.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from torchlurk.errors import LurkError
from torchlurk.runtime.optional import import_pandas

if TYPE_CHECKING:
    from torchlurk.circuits.ablation_means import LogitsEffect, MaximaEffect
    from torchlurk.store.schema import CircuitFile

AblationKind = Literal["zero", "mean"]
"""What filters are set to: zero, or the mean of their values, see `ablation.channel_means`."""


@dataclass(frozen=True)
class FilterEffect:
    """How an ablation changes a filter of a later layer.

    Attributes:
        layer: Dotted name of the filter's layer.
        channel: The filter's number, from 0.
        before: The mean over the images of the maximum of its feature map.
        after: The same with the ablation, wherever the maximum then is.
        change: `after - before`.
        relative: `change` divided by the mean size of `before` over the filters of the layer, which makes
            layers comparable; `None` if this is 0.
        contribution: The contribution of the ablated filters to this one at its strongest units, from the
            circuits of the store; the circuits predict minus this change. `None` if the lists of the circuits
            do not contain the ablated filters.
    """

    layer: str
    channel: int
    before: float
    after: float
    change: float
    relative: float | None
    contribution: float | None = None


@dataclass(frozen=True)
class ClassEffect:
    """How an ablation changes the output of a class.

    Attributes:
        index: The number of the output, from 0.
        name: The name of the class; its number if the names are unknown.
        before: The mean logit over the images.
        after: The same with the ablation.
        change: `after - before`.
    """

    index: int
    name: str
    before: float
    after: float
    change: float


@dataclass(frozen=True, repr=False)
class Ablation:
    """What changes when filters of a layer are set to zero, or to their mean; see `Lurk.ablate`.

    Attributes:
        layer: Dotted name of the layer.
        channels: The filters, ascending.
        to: What they are set to, `zero` or `mean`.
        values: The value of each.
        images: The number of images.
        layers: The later layers that were compared, in execution order.
        filters: The filters of the those layers by the size of `relative`, largest first.
        classes: The classes by the size of `change`, largest first; empty if the network has none.
        agreement: The share of images whose predicted class stays the same; `None` without classes.
        accuracy: The share of images whose predicted class is right, before and after; `None` if the classes
            of the images are not known to be outputs of the network.

    Examples:
        >>> found = lurker.ablate("features.14", [7, 1])
        >>> found
        <ablation of 'features.14', filters 1 and 7 set to zero: 138 filters and 10 classes, 215 images>
        >>> strongest = found.filters[0]
        >>> strongest.change == strongest.after - strongest.before
        True
        >>> found.layers
        ('features.17', 'classifier')
        >>> [effect.channel for effect in found.filters_of("features.17")[:2]]  # doctest: +SKIP
        [97, 5]

        The mean is that of the scan, where the layer returns plain feature maps:

        >>> found = lurker.ablate("features.14", 1, to="mean")
        >>> abs(found.values[0] - lurker["features.14"][1].stats.mean) < 1e-5
        True
    """

    layer: str
    channels: tuple[int, ...]
    to: AblationKind
    values: tuple[float, ...]
    images: int
    layers: tuple[str, ...]
    filters: tuple[FilterEffect, ...]
    classes: tuple[ClassEffect, ...]
    agreement: float | None
    accuracy: tuple[float, float] | None

    def filters_of(self, layer: str) -> tuple[FilterEffect, ...]:
        """Return the filters of one layer, the largest change first.

        Args:
            layer: Dotted name of the layer.

        Raises:
            LurkError: The layer is not among those that were compared.
        """
        if layer not in self.layers:
            raise LurkError(
                f"layer {layer!r} is not compared", f"choose one of {', '.join(self.layers) or 'none'}"
            )
        return tuple(effect for effect in self.filters if effect.layer == layer)

    def to_pandas(self) -> Any:
        """Return `filters` as a `pandas.DataFrame`, with a column for each attribute.

        Raises:
            LurkError: Pandas is not installed.
        """
        names = ("layer", "channel", "before", "after", "change", "relative", "contribution")
        columns = {name: [getattr(effect, name) for effect in self.filters] for name in names}
        return import_pandas().DataFrame(columns).astype({"relative": "float64", "contribution": "float64"})

    def __repr__(self) -> str:
        return (
            f"<ablation of {self.layer!r}, {describe_channels(self.channels)} set to "
            f"{'zero' if self.to == 'zero' else 'the mean'}: {len(self.filters)} filters and "
            f"{len(self.classes)} classes, {self.images} images>"
        )


def describe_channels(channels: Sequence[int]) -> str:
    """Return filters as text, such as `filter 5` or `filters 5, 7 and 9`."""
    *first, last = map(str, channels)
    return f"filters {', '.join(first)} and {last}" if first else f"filter {last}"


def filter_effects(layers: Mapping[str, MaximaEffect]) -> tuple[FilterEffect, ...]:
    """Return the filters of layers by the size of their relative change, largest first."""
    effects = [effect for name, maxima in layers.items() for effect in _effects_of_layer(name, maxima)]
    # Stable, so that equal filters stay in the order of layers and channels.
    return tuple(sorted(effects, key=lambda effect: -_size(effect)))


def with_contributions(found: Ablation, circuits: Iterable[CircuitFile]) -> Ablation:
    """Return an ablation with the contributions of the ablated filters to those that read them.

    Args:
        found: The ablation.
        circuits: The circuits of the same network, of any layers.
    """
    sums: dict[tuple[str, int], float] = {}
    for file in circuits:
        names = [source.layer for source in file.upstream]
        for channel, entry in enumerate(file.filters):
            parts = [
                one.contribution
                for one in (*entry.excited_by, *entry.inhibited_by)
                if names[one.upstream] == found.layer and one.channel in found.channels
            ]
            if parts:
                sums[file.layer, channel] = sum(parts)
    filters = tuple(
        replace(effect, contribution=sums.get((effect.layer, effect.channel))) for effect in found.filters
    )
    return replace(found, filters=filters)


def _size(effect: FilterEffect) -> float:
    if effect.relative is not None:
        return abs(effect.relative)
    return float("inf") if effect.change else 0.0


def _effects_of_layer(layer: str, maxima: MaximaEffect) -> list[FilterEffect]:
    scale = float(maxima.before.abs().mean())
    return [
        FilterEffect(
            layer=layer,
            channel=channel,
            before=before,
            after=after,
            change=after - before,
            relative=(after - before) / scale if scale else None,
        )
        for channel, (before, after) in enumerate(
            zip(maxima.before.tolist(), maxima.after.tolist(), strict=True)
        )
    ]


def class_effects(logits: LogitsEffect, names: Sequence[str]) -> tuple[ClassEffect, ...]:
    """Return the classes by the size of their change, largest first.

    Args:
        logits: The logits.
        names: The names of the classes, in order; empty if they are unknown.
    """
    pairs = zip(logits.before.tolist(), logits.after.tolist(), strict=True)
    effects = [
        ClassEffect(index, names[index] if names else str(index), before, after, after - before)
        for index, (before, after) in enumerate(pairs)
    ]
    return tuple(sorted(effects, key=lambda effect: -abs(effect.change)))
