"""The format of a comparison of stores as types: what `docs/format.md` says of it, checked when read."""

from __future__ import annotations

from typing import Annotated

import msgspec

from torchlurk.store.schema import Digest, Format, ModelRecord, NonNegativeInt, PositiveInt, Record, Relative

COMPARISON = "comparison.json"
"""The file that makes a folder a comparison."""

COMPARISONS = "comparisons.json"
"""Beside `index.json`: the comparisons there are."""

Correlation = Annotated[float, msgspec.Meta(ge=-1, le=1)]
"""A number from -1 to 1."""


class ComparisonEntry(Record, frozen=True):
    """A line of `comparisons.json`."""

    name: str
    title: str
    path: Relative


class Comparisons(Record, frozen=True):
    """`comparisons.json`: the comparisons there are."""

    format: Format
    comparisons: list[ComparisonEntry]


class ComparedStore(Record, frozen=True):
    """A store that was compared; `path` is relative to the folder in which the comparison lies."""

    name: str
    title: str
    path: Relative
    model: ModelRecord


class ComparedImages(Record, frozen=True):
    """The images that all the stores were made of."""

    name: str
    images: NonNegativeInt
    digest: Digest


class EmbedderRecord(Record, frozen=True):
    """The third network, in which pictures were compared, and the layer that gave their vectors."""

    source: str
    weights: str
    weights_sha256: Digest
    layer: str


class Measure(Record, frozen=True):
    """What a number says of a change; 0 is none. `edges` are the borders of its histograms, ascending."""

    name: str
    title: str
    says: str
    low: float | None
    high: float | None
    signed: bool
    edges: list[float]


class PairRecord(Record, frozen=True):
    """Two of the stores, by their position, and what became of the one in the other, in a sentence."""

    before: NonNegativeInt = msgspec.field(name="from")
    after: NonNegativeInt = msgspec.field(name="to")
    summary: str


class Distribution(Record, frozen=True):
    """What a measure comes to in a layer; `mean`, `median` and `max` of the values without their signs."""

    counted: NonNegativeInt
    unchanged: NonNegativeInt
    mean: float | None
    median: float | None
    max: float | None
    most: NonNegativeInt | None
    histogram: list[NonNegativeInt]


class LayerChange(Record, frozen=True):
    """What became of a layer between the two stores of a pair."""

    summary: str
    distributions: dict[str, Distribution]


class ComparedLayer(Record, frozen=True):
    """A layer in `comparison.json`; `changes` has one entry a pair, in their order."""

    name: str
    kind: str
    channels: PositiveInt
    data: Relative
    changes: list[LayerChange]


class ComparisonRecord(Record, frozen=True):
    """`comparison.json`."""

    format: Format
    name: str
    title: str
    stores: list[ComparedStore]
    dataset: ComparedImages
    k: PositiveInt
    networks: bool
    embedding: EmbedderRecord | None
    note: str | None
    measures: list[Measure]
    pairs: list[PairRecord]
    layers: list[ComparedLayer]


class FilterChanges(Record, frozen=True):
    """The filters of a layer between the two stores of a pair: columns, each with an entry a channel."""

    before: NonNegativeInt = msgspec.field(name="from")
    after: NonNegativeInt = msgspec.field(name="to")
    values: dict[str, list[float | None]]
    partners: list[tuple[NonNegativeInt, Correlation] | None] | None
    cross: list[tuple[float, float, float, float] | None] | None


class LayerComparison(Record, frozen=True):
    """`layers/<layer>.json` of a comparison."""

    format: Format
    layer: str
    channels: PositiveInt
    pairs: list[FilterChanges]
