"""A choice of layers and filters, and what it means in a store. Needs neither a model nor torch."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

from torchlurk.errors import LurkError, Option, as_texts
from torchlurk.store.patterns import match_layers, no_layer_match
from torchlurk.store.schema import LayerRecord

LayersLike = str | Sequence[str] | None
"""A layer's name or a pattern of layers, or several; `None` for all that were scanned."""

FiltersLike = int | Iterable[SupportsIndex] | None
"""The number of first filters of each layer, or the filters' numbers; `None` for all."""

_SCANNED = "scanned layer"


@dataclass(frozen=True)
class Selection:
    """A choice of filters of some layers.

    Attributes:
        layers: Patterns, see `store.patterns.match_layers`; `None` for all layers that were scanned.
        filters: The number of first filters of each layer, or the channels; `None` for all.
    """

    layers: tuple[str, ...] | None = None
    filters: int | tuple[int, ...] | None = None


def select_filters(layers: LayersLike = None, filters: FiltersLike = None) -> Selection:
    """Build a selection from the arguments of a Python call.

    Args:
        layers: Names or patterns of layers.
        filters: Filters of these layers.

    Raises:
        LurkError: `layers` are not texts, or `filters` are not numbers or a number below 1.
    """
    patterns = None if layers is None else as_texts("layers", layers)
    if filters is None:
        return Selection(patterns, None)
    try:
        if isinstance(filters, Iterable):
            return Selection(patterns, tuple(operator.index(channel) for channel in filters))
        count = operator.index(filters)
    except TypeError:
        raise LurkError(
            "neither a number of filters nor a list of their numbers",
            "give how many filters of each layer, or their numbers",
            Option("filters", repr(filters)),
        ) from None
    if count < 1:
        raise LurkError(
            "must be at least 1",
            "give the number of first filters of each layer, or a list of filters",
            Option("filters", count),
        )
    return Selection(patterns, count)


def selected_channels(
    selection: Selection, layers: Sequence[LayerRecord], logits: str | None = None
) -> dict[str, tuple[int, ...]]:
    """Return the selected channels, ascending, of each selected layer.

    Args:
        selection: The choice of the user.
        layers: The layers of a store.
        logits: The layer that `logits` stands for, if there is one.

    Returns:
        Channels by the layer's name, in the order of `layers`.

    Raises:
        LurkError: A pattern matches no layer, or a layer has no such channel.
    """
    selected = list(layers)
    if selection.layers is not None:
        names = match_layers(selection.layers, _kinds(layers), logits=logits, described=_SCANNED)
        selected = [layer for layer in layers if layer.name in names]
    return {layer.name: _channels(selection.filters, layer) for layer in selected}


def find_layer(layers: Sequence[LayerRecord], key: str | int) -> LayerRecord:
    """Return the layer of a name, or at a position; negative positions count from the end.

    Raises:
        LurkError: There is no such layer.
    """
    if isinstance(key, str):
        for layer in layers:
            if layer.name == key:
                return layer
        raise no_layer_match(key, _kinds(layers), _SCANNED)
    if not -len(layers) <= key < len(layers):
        raise LurkError(f"no layer {key}", f"give a name, or a position from 0 to {len(layers) - 1}")
    return layers[key]


def check_channel(layer: LayerRecord, channel: int) -> int:
    """Return the number of a filter, from 0; negative numbers count from the end.

    Raises:
        LurkError: The layer has no such filter.
    """
    if not -layer.channels <= channel < layer.channels:
        raise LurkError(
            f"layer {layer.name!r} has no filter {channel}", f"choose from 0 to {layer.channels - 1}"
        )
    return channel % layer.channels


def _kinds(layers: Sequence[LayerRecord]) -> Mapping[str, Sequence[str]]:
    return {layer.name: (layer.kind, *layer.bases) for layer in layers}


def _channels(filters: int | tuple[int, ...] | None, layer: LayerRecord) -> tuple[int, ...]:
    if filters is None:
        return tuple(range(layer.channels))
    if isinstance(filters, int):
        return tuple(range(min(filters, layer.channels)))
    invalid = sorted(channel for channel in filters if not 0 <= channel < layer.channels)
    if invalid:
        raise LurkError(
            f"layer {layer.name!r} has no filter {invalid[0]}",
            f"choose from 0 to {layer.channels - 1}, or give the number of first filters of each layer",
        )
    return tuple(sorted(set(filters)))
