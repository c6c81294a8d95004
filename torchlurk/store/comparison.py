"""Records of a comparison of stores; `docs/reference/format.md` describes them, and decoding checks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from torchlurk.runtime.deprecation import former_names
from torchlurk.store.schema import Digest, Format, ModelRecord, NonNegativeInt, PositiveInt, Record, Relative

COMPARISON = "comparison.json"
"""Name of the file that marks a folder as a comparison."""

COMPARISONS = "comparisons.json"
"""Name of the file beside `index.json` that lists the comparisons."""

Correlation = Annotated[float, msgspec.Meta(ge=-1, le=1)]
"""A number from -1 to 1."""


class ComparisonEntry(Record, frozen=True):
    """An entry of `comparisons.json`."""

    name: str
    title: str
    path: Relative


class Comparisons(Record, frozen=True):
    """`comparisons.json`: the comparisons in a folder of stores."""

    format: Format
    comparisons: list[ComparisonEntry]


class ComparedStore(Record, frozen=True):
    """A store that was compared; `path` is relative to the parent folder of the comparison."""

    name: str
    title: str
    path: Relative
    model: ModelRecord


class ComparedImages(Record, frozen=True):
    """The images of all the stores."""

    name: str
    images: NonNegativeInt
    digest: Digest


class EmbedderRecord(Record, frozen=True):
    """The third network, which embeds pictures, and the layer whose vectors are compared."""

    source: str
    weights: str
    weights_sha256: Digest
    layer: str


class Measure(Record, frozen=True):
    """A measure of change; 0 means that nothing changed.

    Attributes:
        name: Key of the measure.
        title: Name of the measure on the page.
        says: What the measure means, on the page.
        low: Lower bound; `None` if there is none.
        high: Upper bound; `None` if there is none.
        signed: Whether the sign has a meaning.
        edges: Bin edges of its histograms, ascending.
    """

    name: str
    title: str
    says: str
    low: float | None
    high: float | None
    signed: bool
    edges: list[float]


class PairRecord(Record, frozen=True):
    """Two stores, by position, and a summary of the changes from the first to the second."""

    before: NonNegativeInt = msgspec.field(name="from")
    after: NonNegativeInt = msgspec.field(name="to")
    summary: str


class Distribution(Record, frozen=True):
    """Distribution of a measure over the filters of a layer.

    Attributes:
        counted: Number of filters with a value.
        unchanged: Number of these whose value is 0.
        mean: Mean of the absolute values.
        median: Median of the absolute values.
        max: Maximum of the absolute values.
        most: Channel of the maximum.
        histogram: Number of filters by bin, signs kept.
    """

    counted: NonNegativeInt
    unchanged: NonNegativeInt
    mean: float | None
    median: float | None
    max: float | None
    most: NonNegativeInt | None
    histogram: list[NonNegativeInt]


class LayerChange(Record, frozen=True):
    """Changes of a layer between the two stores of a pair."""

    summary: str
    distributions: dict[str, Distribution]


class ComparedLayer(Record, frozen=True):
    """A layer in `comparison.json`; `changes` has an entry for each pair, in order."""

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
    """Changes of a layer's filters between the two stores of a pair; each list has an entry per channel.

    Attributes:
        before: Position of the first store.
        after: Position of the second store.
        values: Values by measure; `None` where a measure is not defined.
        partners: `[channel, correlation]` of the best correlated filter of the second store.
        cross: Activations `[first on its own image, first on the second's, second on the first's, second on
            its own]`.
    """

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


if not TYPE_CHECKING:
    __getattr__ = former_names(
        globals(), Comparison="ComparisonRecord", Embedder="EmbedderRecord", Pair="PairRecord"
    )
