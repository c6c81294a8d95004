"""The format of a store as types: what `docs/format.md` says, checked when read.

Decoding is strict: a missing key, an unknown key or a value of another type is an error that names where.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

FORMAT = 1

PICTURE_KINDS = ("cropped", "max_grads", "cropped_grad", "avg_grads", "max_activ")
"""The folders of pictures by filter, in the order in which `Filter.pictures` names them."""

LONGEST = 200
"""Characters of the name of a layer's file, without its suffix; file systems take 255 bytes with it."""

CHECKSUMS = "SHA256SUMS"
"""The file with the digests of the JSON files."""

PROGRESS = "progress.json"
"""The file that says what a run is at; it is there only while the run is, and no part of the store."""

STAGES = ("scan", "gradients", "ascent")

Format = Annotated[int, msgspec.Meta(ge=FORMAT, le=FORMAT)]
"""The format's number, 1."""

NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
"""A whole number from 0."""

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
"""A whole number from 1."""

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A number from 0 to 1."""

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""A sha256, in hex."""

Relative = Annotated[str, msgspec.Meta(pattern=r"(?s)\A(?!/)(?!.*(\A|/)\.\.(/|\Z))[^\\\x00]+\Z")]
"""A path within the store."""

Config = dict[str, int | float | bool | str | list[str] | None]
"""What a stage was told, by name."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all parts of the format have in common: immutable, and no unknown keys."""


class NetworkEntry(Record, frozen=True):
    """A line of `index.json`."""

    name: str
    title: str
    path: Relative


class Index(Record, frozen=True):
    """`index.json`: the networks there are."""

    format: Format
    networks: list[NetworkEntry]


class ModelRecord(Record, frozen=True):
    """Where the network and its weights come from."""

    source: str
    weights: str
    weights_sha256: Digest


class InputRecord(Record, frozen=True):
    """What the network is fed: shape `[C, H, W]`, and the normalisation by channel."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    mean: list[float]
    std: list[float]


class SkippedFile(Record, frozen=True):
    """A file that could not be read, and why."""

    path: str
    reason: str


class Dataset(Record, frozen=True):
    """The images that were scanned."""

    name: str
    images: NonNegativeInt
    classes: list[str]
    digest: Digest
    skipped: list[SkippedFile]


class ReceptiveField(Record, frozen=True):
    """The rule of a receptive field, `[height, width]` each, in pixels of the input."""

    size: tuple[PositiveInt, PositiveInt]
    stride: tuple[PositiveInt, PositiveInt]
    offset: tuple[int, int]


class LayerRecord(Record, frozen=True, omit_defaults=True):
    """A layer in the manifest; `bases` are the classes of a subclass, without which it is not written."""

    name: str
    kind: str
    channels: PositiveInt
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    receptive_field: ReceptiveField | None
    data: Relative
    bases: list[str] = []


class SkippedLayerRecord(Record, frozen=True):
    """A layer that was asked for and could not be scanned, and why."""

    name: str
    kind: str
    reason: str


class Stage(Record, frozen=True):
    """Whether a stage is complete, its configuration, and by layer the runs `[from, to)` of its filters.

    `fitted` is the size of a batch that fitted into the memory, where the configured one did not.
    """

    complete: bool
    config: Config | None
    made: dict[str, list[tuple[NonNegativeInt, PositiveInt]]] = {}
    fitted: PositiveInt | None = None


class Stages(Record, frozen=True):
    """The three stages."""

    scan: Stage
    gradients: Stage
    ascent: Stage


Tile = tuple[PositiveInt, PositiveInt]
"""Height and width, pixels."""


class Tiles(Record, frozen=True):
    """By layer name, the `[height, width]` of a tile of each kind of picture."""

    cropped: dict[str, Tile]
    max_grads: dict[str, Tile]
    cropped_grad: dict[str, Tile]
    avg_grads: dict[str, Tile]
    max_activ: dict[str, Tile]


class Manifest(Record, frozen=True):
    """`network.json`."""

    format: Format
    name: str
    title: str
    model: ModelRecord
    input: InputRecord
    dataset: Dataset
    k: PositiveInt
    device: Literal["cpu", "cuda"]
    threads: PositiveInt
    layers: list[LayerRecord]
    edges: list[tuple[str, str]]
    tiles: Tiles
    activation_edges: list[float]
    stages: Stages
    memory_format: Literal["contiguous", "channels_last"] = "channels_last"
    layers_skipped: list[SkippedLayerRecord] = []


class MaxEntry(Record, frozen=True):
    """An image in a list by single activation."""

    image: NonNegativeInt
    label: NonNegativeInt = msgspec.field(name="class")
    score: float
    position: tuple[NonNegativeInt, NonNegativeInt]
    box: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]
    certificate: float | None


class AvgEntry(Record, frozen=True):
    """An image in a list by mean activation."""

    image: NonNegativeInt
    label: NonNegativeInt = msgspec.field(name="class")
    score: float


class ClassProfile(Record, frozen=True):
    """The classes that excite a filter most: `[class, mean]`, highest first."""

    max: list[tuple[NonNegativeInt, float]]
    avg: list[tuple[NonNegativeInt, float]]


class Stats(Record, frozen=True):
    """What a filter does over all images."""

    mean: float
    std: Annotated[float, msgspec.Meta(ge=0)]
    max_mean: float
    max_std: Annotated[float, msgspec.Meta(ge=0)]
    active: Fraction
    selectivity: Fraction | None
    distribution: list[tuple[NonNegativeInt, PositiveInt]]


class Ascent(Record, frozen=True):
    """What the picture of gradient ascent reaches."""

    score: float
    ratio: float | None
    found: bool


class Filter(Record, frozen=True):
    """One filter of a layer."""

    channel: NonNegativeInt
    max: list[MaxEntry]
    avg: list[AvgEntry]
    classes: ClassProfile
    stats: Stats
    pictures: list[Literal["cropped", "max_grads", "cropped_grad", "avg_grads", "max_activ"]]
    ascent: Ascent | None


class LayerFile(Record, frozen=True, omit_defaults=True):
    """`layers/<layer>.json`; `images` is how many of them reached the layer, where not all did."""

    format: Format
    layer: str
    channels: PositiveInt
    k: PositiveInt
    names: list[str] | None
    filters: list[Filter]
    images: NonNegativeInt | None = None


class ImageEntry(Record, frozen=True):
    """An image that some filter refers to."""

    path: str
    label: NonNegativeInt = msgspec.field(name="class")


class Classes(Record, frozen=True):
    """`classes.json`: by class, the filters that prefer it, as `[layer, channel, selectivity]`."""

    format: Format
    filters: list[list[tuple[NonNegativeInt, NonNegativeInt, Fraction | None]]]


class Preview(Record, frozen=True):
    """What a filter's best image is, and where in it, for a page that shows a few filters of each layer."""

    channel: NonNegativeInt
    image: NonNegativeInt
    position: tuple[NonNegativeInt, NonNegativeInt]
    box: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class Previews(Record, frozen=True):
    """`previews.json` of a site: by layer name, a few of its filters."""

    format: Format
    layers: dict[str, list[Preview]]


class Progress(Record, frozen=True):
    """`progress.json`: what a run is at."""

    format: Format
    work: str
    unit: str
    done: NonNegativeInt
    total: NonNegativeInt


ImageEntries = dict[str, ImageEntry]
"""`images.json`, by image id."""


def referenced_images(entry: Filter) -> set[int]:
    """The ids of the images that a filter refers to."""
    return {e.image for e in entry.max} | {e.image for e in entry.avg}


def round_float32(value: float) -> float:
    """A float with the seven significant digits that float32 has, so that bytes do not carry noise."""
    return float(f"{value:.7g}")


def safe_name(name: str) -> str:
    """A layer's name as part of a path; two names never become the same.

    A character other than a letter, a digit, `.`, `_` or `-` becomes `%` and two hex digits a byte,
    and so does a leading dot, so that no name leaves its folder or hides. What is then longer than
    `LONGEST` is cut, and `%z` and the sha256 of the name stand for the rest.
    """

    def plain(position: int, character: str) -> bool:
        if character == ".":
            return position > 0
        return character.isascii() and (character.isalnum() or character in "_-")

    safe = "".join(
        c if plain(i, c) else "".join(f"%{byte:02x}" for byte in c.encode("utf-8", "surrogatepass"))
        for i, c in enumerate(name)
    )
    if len(safe) <= LONGEST:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{safe[: LONGEST - 66]}%z{digest}"


def layer_path(layer: str) -> str:
    """Where a layer's data lies in the store."""
    return f"layers/{safe_name(layer)}.json"


def picture_path(kind: str, layer: str, channel: int) -> str:
    """Where a picture of a filter lies in the store."""
    return f"{kind}/{safe_name(layer)}/{channel}.jpg"


def image_path(image: int) -> str:
    """Where an image lies in the store, as the network saw it."""
    return f"images/{image}.jpg"
