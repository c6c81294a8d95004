"""From the measures of all layers and pairs to the records of the format. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torchlurk.comparing.compatibility import Store
from torchlurk.comparing.measures import MEASURES
from torchlurk.comparing.store_measures import Values, listed
from torchlurk.comparing.summaries import layer_change, pair_sentences
from torchlurk.store import comparison as format_
from torchlurk.store.schema import FORMAT, layer_path

Pair = tuple[int, int]


@dataclass(frozen=True)
class Beyond:
    """What the networks say of a layer between two stores, beyond what is in the stores.

    Attributes:
        values: by measure.
        partners: as the format has them.
        cross: likewise.
    """

    values: Values = field(default_factory=dict)
    partners: list[tuple[int, float] | None] | None = None
    cross: list[tuple[float, float, float, float] | None] | None = None


@dataclass(frozen=True)
class Extras:
    """What was computed beside the stores' own lists.

    Attributes:
        networks: whether the networks were there.
        beyond: by layer and pair.
        embedding: the third network, if there was one.
        note: what there is not, and how to get it.
    """

    networks: bool = False
    beyond: Mapping[tuple[str, Pair], Beyond] = field(default_factory=dict)
    embedding: format_.EmbedderRecord | None = None
    note: str | None = None


@dataclass(frozen=True)
class Compared:
    """A whole comparison, as its files have it.

    Attributes:
        record: `comparison.json`.
        layers: the layers' files, by name.
    """

    record: format_.ComparisonRecord
    layers: dict[str, format_.LayerComparison]


def pairs_of(stores: int) -> list[Pair]:
    """Which of so many stores, in the order of time, are compared: each with the first, and the one before.

    >>> pairs_of(4)
    [(0, 1), (0, 2), (1, 2), (0, 3), (2, 3)]
    """
    return [(a, b) for b in range(1, stores) for a in sorted({0, b - 1})]


def join(name: str, stores: Sequence[Store], extras: Extras) -> Compared:
    """All that is known of some stores beside each other.

    Args:
        name: of the comparison.
        stores: two or more, alike.
        extras: what the networks say.

    Raises:
        LurkError: a layer's file of a store cannot be read.
    """
    pairs = pairs_of(len(stores))
    files: dict[str, format_.LayerComparison] = {}
    for layer in stores[0].layers:
        kept = [store.file(layer.name).filters for store in stores]
        columns = []
        for a, b in pairs:
            more = extras.beyond.get((layer.name, (a, b)), Beyond())
            values = {**listed(kept[a], kept[b]), **more.values}
            ordered = {
                one: values[one]
                for one in MEASURES
                if one in values and any(value is not None for value in values[one])
            }
            columns.append(format_.FilterChanges(a, b, ordered, more.partners, more.cross))
        files[layer.name] = format_.LayerComparison(FORMAT, layer.name, layer.channels, columns)
    changes = {name: [layer_change(pair) for pair in file.pairs] for name, file in files.items()}
    there = {one for file in files.values() for pair in file.pairs for one in pair.values}
    measures = [measure for one, measure in MEASURES.items() if one in there]
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
        networks=extras.networks,
        embedding=extras.embedding,
        note=extras.note,
        measures=measures,
        pairs=[
            format_.PairRecord(
                a, b, pair_sentences({n: own[at] for n, own in changes.items()}, measures[0].name)
            )
            for at, (a, b) in enumerate(pairs)
        ],
        layers=[
            format_.ComparedLayer(
                layer.name, layer.kind, layer.channels, layer_path(layer.name), changes[layer.name]
            )
            for layer in stores[0].layers
        ],
    )
    return Compared(record, files)


def _title(names: Sequence[str]) -> str:
    return " → ".join(names) if len(names) < 4 else f"{names[0]} → … → {names[-1]}"
