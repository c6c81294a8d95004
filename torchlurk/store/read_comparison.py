"""Reading a comparison of stores. Needs neither a model nor torch."""

from __future__ import annotations

from pathlib import Path

from torchlurk.errors import LurkError
from torchlurk.store.comparison import (
    COMPARISON,
    COMPARISONS,
    ComparedLayer,
    ComparisonRecord,
    Comparisons,
    LayerComparison,
)
from torchlurk.store.read import read_json


def read_comparisons(folder: Path) -> Comparisons:
    """`comparisons.json` of a folder of stores. Raises `LurkError` if it is missing or damaged."""
    return read_json(folder / COMPARISONS, Comparisons)


def read_comparison(folder: Path) -> ComparisonRecord:
    """`comparison.json`. Raises `LurkError` if it is missing, damaged or does not agree with itself."""
    found = read_json(folder / COMPARISON, ComparisonRecord)
    pairs, last = len(found.pairs), len(found.stores) - 1
    if any(max(pair.before, pair.after) > last for pair in found.pairs) or any(
        len(layer.changes) != pairs for layer in found.layers
    ):
        raise _damaged(folder / COMPARISON)
    return found


def read_layer_comparison(
    folder: Path, comparison: ComparisonRecord, layer: ComparedLayer
) -> LayerComparison:
    """A layer's file of a comparison. Raises `LurkError` if it is missing, damaged, or not the layer's."""
    found = read_json(folder / layer.data, LayerComparison)
    names = {measure.name for measure in comparison.measures}
    pairs = [(pair.before, pair.after) for pair in comparison.pairs]
    columns = [
        column for pair in found.pairs for column in (*pair.values.values(), pair.partners, pair.cross)
    ]
    if (
        (found.layer, found.channels) != (layer.name, layer.channels)
        or [(pair.before, pair.after) for pair in found.pairs] != pairs
        or any(not pair.values.keys() <= names for pair in found.pairs)
        or any(column is not None and len(column) != found.channels for column in columns)
    ):
        raise _damaged(folder / layer.data)
    return found


def _damaged(path: Path) -> LurkError:
    return LurkError(
        f"{str(path)!r} does not fit the rest of its comparison: make it again with torchlurk compare"
    )
