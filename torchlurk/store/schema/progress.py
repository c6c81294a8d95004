"""Records of files that are not part of a store: `progress.json` and, in a site, `previews.json`."""

from __future__ import annotations

from torchlurk.store.schema.base import Format, NonNegativeInt, PositiveInt, Record, Relative

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


class PreviewThumb(Record, frozen=True):
    """Where a small picture is.

    Attributes:
        path: Path of the file, beside `previews.json` of a site, or in the store.
        offset: Position of its first byte in the file.
        length: Number of bytes.
        kind: Kind of the small picture, such as `max_activ`.
    """

    path: Relative
    offset: NonNegativeInt
    length: PositiveInt
    kind: str


class Preview(Record, frozen=True):
    """The best image of a filter.

    Attributes:
        channel: The filter.
        image: Id of the image.
        position: As in `MaxEntry`.
        box: As in `MaxEntry`.
        thumb: The small picture of the filter image, of the crop, or of the image in a layer without crops;
            `None` if there is none.
    """

    channel: NonNegativeInt
    image: NonNegativeInt
    position: tuple[NonNegativeInt, NonNegativeInt]
    box: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]
    thumb: PreviewThumb | None = None


class Previews(Record, frozen=True):
    """`previews.json` of a site: a few filters of each layer, by name of the layer."""

    format: Format
    layers: dict[str, list[Preview]]
