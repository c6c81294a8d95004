"""Records of files that are not part of a store: `progress.json` and, in a site, `previews.json`."""

from __future__ import annotations

from torchlurk.store.schema.base import Format, NonNegativeInt, Record

PROGRESS = "progress.json"
"""Name of the progress file, which exists only during a run."""


class Progress(Record, frozen=True):
    """`progress.json`: progress of a run.

    Attributes:
        format: Number of the format.
        work: What is computed, such as `ascent`.
        unit: What is counted, such as `filter`.
        done: Number of units that are done.
        total: Number of units.
    """

    format: Format
    work: str
    unit: str
    done: NonNegativeInt
    total: NonNegativeInt


class Preview(Record, frozen=True):
    """The best image of a filter; `position` and `box` are those of `MaxEntry`."""

    channel: NonNegativeInt
    image: NonNegativeInt
    position: tuple[NonNegativeInt, NonNegativeInt]
    box: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class Previews(Record, frozen=True):
    """`previews.json` of a site: a few filters of each layer, by name of the layer."""

    format: Format
    layers: dict[str, list[Preview]]
