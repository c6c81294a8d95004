"""Assemble the measures of all layers and store pairs into the records of the format. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torchlurk.comparing.compatibility import Store
from torchlurk.comparing.measures import MEASURES
from torchlurk.comparing.store_measures import Values, measure_filters
from torchlurk.comparing.summaries import layer_change, pair_sentences
from torchlurk.store import comparison as format_
from torchlurk.store.schema import FORMAT, LayerRecord, layer_path

StorePair = tuple[int, int]
"""The positions of two stores, the earlier one first."""


@dataclass(frozen=True)
class NetworkMeasures:
    """What the networks add to the measures of one layer between two stores.

    Attributes:
        values: One column per measure, by the measure's name.
        partners: See `FilterChanges.partners`.
        cross: See `FilterChanges.cross`.
    """

    values: Values = field(default_factory=dict)
    partners: list[tuple[int, float] | None] | None = None
    cross: list[tuple[float, float, float, float] | None] | None = None


@dataclass(frozen=True)
class NetworkResults:
    """What was computed with the networks, in addition to what the stores contain.

    Attributes:
        networks: Whether the networks of the stores were run.
        measures: The measures by layer name and store pair.
        embedding: The embedding network, if one was used.
        note: What is missing and how to get it; `None` if nothing is.
    """

    networks: bool = False
    measures: Mapping[tuple[str, StorePair], NetworkMeasures] = field(default_factory=dict)
    embedding: format_.EmbedderRecord | None = None
    note: str | None = None


@dataclass(frozen=True)
class ComparisonFiles:
    """The contents of all files of a comparison.

    Attributes:
        record: `comparison.json`.
        layers: The files of the layers, by layer name.
    """

    record: format_.ComparisonRecord
    layers: dict[str, format_.LayerComparison]


def store_pairs(stores: int) -> list[StorePair]:
    """Return the pairs of stores to compare: each store with the first one and with the one before it.

    Args:
        stores: The number of stores, which are in chronological order.

    Examples:
        >>> store_pairs(4)
        [(0, 1), (0, 2), (1, 2), (0, 3), (2, 3)]
    """
    return [(before, after) for after in range(1, stores) for before in sorted({0, after - 1})]


def assemble(name: str, stores: Sequence[Store], results: NetworkResults) -> ComparisonFiles:
    """Assemble a comparison from what the stores contain and what the networks add.

    Args:
        name: The comparison's name.
        stores: Two or more compatible stores, in chronological order.
        results: What was computed with the networks.

    Raises:
        LurkError: A layer's file of a store cannot be read.
    """
    pairs = store_pairs(len(stores))
    files = {layer.name: _layer_file(layer, stores, pairs, results) for layer in stores[0].layers}
    changes = {name: [layer_change(pair) for pair in file.pairs] for name, file in files.items()}
    available = {measure for file in files.values() for pair in file.pairs for measure in pair.values}
    measures = [measure for name, measure in MEASURES.items() if name in available]
    first = stores[0].manifest
    record = format_.ComparisonRecord(
        format=FORMAT,
        name=name,
        title=_title([store.name for store in stores]),
        stores=[
            format_.ComparedStore(store.name, store.manifest.title, store.name, store.manifest.model)
            for store in stores
        ],
        dataset=format_.ComparedImages(first.dataset.name, first.dataset.images, first.dataset.digest),
        k=first.k,
        networks=results.networks,
        embedding=results.embedding,
        note=results.note,
        measures=measures,
        pairs=[
            format_.PairRecord(
                before,
                after,
                pair_sentences({layer: own[index] for layer, own in changes.items()}, measures[0].name),
            )
            for index, (before, after) in enumerate(pairs)
        ],
        layers=[
            format_.ComparedLayer(
                layer.name, layer.kind, layer.channels, layer_path(layer.name), changes[layer.name]
            )
            for layer in stores[0].layers
        ],
    )
    return ComparisonFiles(record, files)


def _layer_file(
    layer: LayerRecord, stores: Sequence[Store], pairs: Sequence[StorePair], results: NetworkResults
) -> format_.LayerComparison:
    """Return the contents of a layer's file, with only the measures that some filter of the layer has."""
    filters = [store.file(layer.name).filters for store in stores]
    columns = []
    for before, after in pairs:
        added = results.measures.get((layer.name, (before, after)), NetworkMeasures())
        values = {**measure_filters(filters[before], filters[after]), **added.values}
        ordered = {
            name: values[name]
            for name in MEASURES
            if name in values and any(value is not None for value in values[name])
        }
        columns.append(format_.FilterChanges(before, after, ordered, added.partners, added.cross))
    return format_.LayerComparison(FORMAT, layer.name, layer.channels, columns)


def _title(names: Sequence[str]) -> str:
    return " → ".join(names) if len(names) < 4 else f"{names[0]} → … → {names[-1]}"
