"""Reading the files of a comparison. Needs neither a network nor torch."""

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
    """Read `comparisons.json` of a folder of stores.

    Raises:
        LurkError: The file is missing or damaged, or has a newer format.
    """
    return read_json(folder / COMPARISONS, Comparisons)


def read_comparison(folder: Path) -> ComparisonRecord:
    """Read `comparison.json`.

    Raises:
        LurkError: The file is missing, damaged or inconsistent, or has a newer format.
    """
    comparison = read_json(folder / COMPARISON, ComparisonRecord)
    pairs, last = len(comparison.pairs), len(comparison.stores) - 1
    if any(max(pair.before, pair.after) > last for pair in comparison.pairs) or any(
        len(layer.changes) != pairs for layer in comparison.layers
    ):
        raise _inconsistent(folder / COMPARISON)
    return comparison


def read_layer_comparison(
    folder: Path, comparison: ComparisonRecord, layer: ComparedLayer
) -> LayerComparison:
    """Read the file of a layer of a comparison.

    Args:
        folder: Folder of the comparison.
        comparison: Its `comparison.json`.
        layer: The layer in `comparison.json`.

    Raises:
        LurkError: The file is missing or damaged, has a newer format, or is not that of the layer.
    """
    file = read_json(folder / layer.data, LayerComparison)
    measures = {measure.name for measure in comparison.measures}
    pairs = [(pair.before, pair.after) for pair in comparison.pairs]
    columns = [column for pair in file.pairs for column in (*pair.values.values(), pair.partners, pair.cross)]
    if (
        (file.layer, file.channels) != (layer.name, layer.channels)
        or [(pair.before, pair.after) for pair in file.pairs] != pairs
        or any(not pair.values.keys() <= measures for pair in file.pairs)
        or any(column is not None and len(column) != file.channels for column in columns)
    ):
        raise _inconsistent(folder / layer.data)
    return file


def _inconsistent(path: Path) -> LurkError:
    return LurkError(
        f"{str(path)!r} does not fit the other files of its comparison",
        "make the comparison again with torchlurk compare",
    )
