"""Which filters of which layers a user means, of those that a store has. Needs neither a model nor torch."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import SupportsIndex

from torchlurk.errors import LurkError, as_texts
from torchlurk.store.schema import LayerRecord

LayersLike = str | Sequence[str] | None
"""A layer's name or a pattern of `--layers`, or several; `None` for all that were scanned."""

FiltersLike = int | Iterable[SupportsIndex] | None
"""The first so many of each layer, or these; `None` for all."""


@dataclass(frozen=True)
class Selection:
    """Some filters of some layers.

    Attributes:
        layers: patterns: a layer's name, a glob of names, `kind:` and a glob of kinds, or `logits`; globs and
            kinds narrow each other. `None` for all layers that were scanned.
        filters: the first so many of each layer, or these channels; `None` for all.
    """

    layers: tuple[str, ...] | None = None
    filters: int | tuple[int, ...] | None = None


def select_filters(layers: LayersLike = None, filters: FiltersLike = None) -> Selection:
    """A selection as one says it in Python.

    Raises:
        LurkError: it makes no sense, or no filter is wanted.
    """
    patterns = None if layers is None else as_texts("layers", layers)
    if filters is None:
        return Selection(patterns, None)
    try:
        if isinstance(filters, Iterable):
            return Selection(patterns, tuple(operator.index(channel) for channel in filters))
        count = operator.index(filters)
    except TypeError:
        raise LurkError(f"filters={filters!r}: give numbers of filters, or how many of each layer") from None
    if count < 1:
        raise LurkError(f"filters={count}: give a number from 1 for the first so many, or a list of filters")
    return Selection(patterns, count)


def selected_channels(
    selection: Selection, layers: Sequence[LayerRecord], logits: str | None = None
) -> dict[str, tuple[int, ...]]:
    """The chosen channels, ascending, of each chosen layer, by its name and in the order of `layers`.

    Args:
        selection: what is wanted.
        layers: what there is.
        logits: the layer that `logits` means, if there is one.

    Raises:
        LurkError: a pattern names no layer, or a layer has no such channel.
    """
    names = None if selection.layers is None else _named(selection.layers, layers, logits)
    chosen = [layer for layer in layers if names is None or layer.name in names]
    return {layer.name: _channels(selection.filters, layer) for layer in chosen}


def find_layer(layers: Sequence[LayerRecord], wanted: str | int) -> LayerRecord:
    """The layer of a name, or at a position; negative ones count from the end.

    Raises:
        LurkError: there is none.
    """
    if isinstance(wanted, str):
        found = next((layer for layer in layers if layer.name == wanted), None)
        if found is None:
            raise LurkError(_unknown(wanted, layers))
        return found
    if not -len(layers) <= wanted < len(layers):
        raise LurkError(f"there is no layer {wanted}: give a name, or a position of 0 to {len(layers) - 1}")
    return layers[wanted]


def check_channel(layer: LayerRecord, channel: int) -> int:
    """The number of a filter of the layer, from 0; negative ones count from the end.

    Raises:
        LurkError: the layer has no such filter.
    """
    if not -layer.channels <= channel < layer.channels:
        raise LurkError(f"layer {layer.name!r} has no filter {channel}: choose of 0 to {layer.channels - 1}")
    return channel % layer.channels


def _named(patterns: Sequence[str], layers: Sequence[LayerRecord], logits: str | None) -> set[str]:
    names = {layer.name for layer in layers}
    exact = {pattern for pattern in patterns if pattern in names}
    if "logits" in patterns and logits in names:
        exact.add(str(logits))
    kinds = [p.removeprefix("kind:").lower() for p in patterns if p.startswith("kind:")]
    globs = [p for p in patterns if p not in names and not p.startswith("kind:")]
    globs = [p for p in globs if p != "logits" or logits not in names]

    def like(layer: LayerRecord) -> bool:
        classes = [kind.lower() for kind in (layer.kind, *layer.bases)]
        return any(fnmatchcase(kind, one) for one in kinds or ["*"] for kind in classes) and any(
            fnmatchcase(layer.name, one) for one in globs or ["*"]
        )

    found = {layer.name for layer in layers if (kinds or globs) and like(layer)}
    for pattern in globs:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise LurkError(_unknown(pattern, layers))
    if not found and (kinds or globs):
        raise LurkError(_unknown(next(p for p in patterns if p not in names), layers))
    return exact | found


def _unknown(wanted: str, layers: Sequence[LayerRecord]) -> str:
    words = [layer.name for layer in layers]
    if wanted.startswith("kind:"):
        words = sorted({f"kind:{layer.kind}" for layer in layers})
    near = get_close_matches(wanted, words, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(words[:5])}"
    more = f" and {len(words) - 5} more" if len(words) > 5 and not near else ""
    return f"no layer that was scanned matches {wanted!r}: {hint}{more}"


def _channels(filters: int | tuple[int, ...] | None, layer: LayerRecord) -> tuple[int, ...]:
    if filters is None or isinstance(filters, int):
        return tuple(range(layer.channels if filters is None else min(filters, layer.channels)))
    strange = sorted(channel for channel in filters if not 0 <= channel < layer.channels)
    if strange:
        raise LurkError(
            f"layer {layer.name!r} has no filter {strange[0]}: choose of 0 to {layer.channels - 1}, or a "
            "number of filters for the first so many of each layer"
        )
    return tuple(sorted(set(filters)))
