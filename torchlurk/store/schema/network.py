"""Records of `index.json` and of `network.json`, the manifest of a store."""

from __future__ import annotations

from typing import Literal

import msgspec

from torchlurk.store.schema.base import (
    Digest,
    Format,
    NonNegativeInt,
    PositiveInt,
    Record,
    Relative,
)

STAGES = ("scan", "circuits", "gradients", "ascent")
"""The stages of a run, in order."""

Config = dict[str, int | float | bool | str | list[str] | None]
"""The recorded options of a stage, by name."""

Tile = tuple[PositiveInt, PositiveInt]
"""Height and width of a tile in pixels."""


class NetworkEntry(Record, frozen=True):
    """An entry of `index.json`."""

    name: str
    title: str
    path: Relative


class Index(Record, frozen=True):
    """`index.json`: the networks in a folder of stores."""

    format: Format
    networks: list[NetworkEntry]


class ModelRecord(Record, frozen=True):
    """Where a network and its weights come from."""

    source: str
    weights: str
    weights_sha256: Digest


class InputRecord(Record, frozen=True):
    """The input of a network: its shape `[C, H, W]`, and mean and standard deviation by channel."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    mean: list[float]
    std: list[float]


class SkippedFile(Record, frozen=True):
    """An image file that could not be read, and the reason."""

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
    """Receptive fields of a layer's units, `[height, width]` each, in pixels of the input."""

    size: tuple[PositiveInt, PositiveInt]
    stride: tuple[PositiveInt, PositiveInt]
    offset: tuple[int, int]


class LayerRecord(Record, frozen=True, omit_defaults=True):
    """A layer in the manifest.

    Attributes:
        name: Dotted name of the module.
        kind: Class of the module.
        channels: Number of filters.
        shape: Shape `[C, H, W]` of the output for one image.
        receptive_field: `None` if each unit sees the whole input.
        data: Path of the layer's file in the store.
        bases: Classes that `kind` derives from, nearest first, if it is a subclass; omitted otherwise.
    """

    name: str
    kind: str
    channels: PositiveInt
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    receptive_field: ReceptiveField | None
    data: Relative
    bases: list[str] = msgspec.field(default_factory=list)


class SkippedLayerRecord(Record, frozen=True):
    """A layer that was selected and could not be scanned, and the reason."""

    name: str
    kind: str
    reason: str


class Stage(Record, frozen=True):
    """The state of a stage.

    Attributes:
        complete: Whether the last request is complete.
        config: Options that decide the results.
        made: Half-open ranges `[from, to)` of the filters that have results, by layer.
        fitted: Batch size that fitted into memory, if the configured one did not.
    """

    complete: bool
    config: Config | None
    made: dict[str, list[tuple[NonNegativeInt, PositiveInt]]] = msgspec.field(default_factory=dict)
    fitted: PositiveInt | None = None


class Stages(Record, frozen=True):
    """The states of the stages; older stores have no `circuits`."""

    scan: Stage
    gradients: Stage
    ascent: Stage
    circuits: Stage = Stage(complete=False, config=None)


class Tiles(Record, frozen=True):
    """Tile size `[height, width]` of each kind of picture, by layer."""

    cropped: dict[str, Tile]
    max_grads: dict[str, Tile]
    cropped_grad: dict[str, Tile]
    avg_grads: dict[str, Tile]
    max_activ: dict[str, Tile]


class Manifest(Record, frozen=True):
    """`network.json`, the manifest of a store.

    Attributes:
        format: Number of the format.
        name: Name of the store, and of its folder.
        title: Name of the network for people.
        model: Source of the network and its weights.
        input: Shape and normalisation of the input.
        dataset: The images.
        k: Number of images in each top list.
        device: Device of the computation.
        threads: CPU threads per operation; they may affect the last digits.
        layers: Layers in execution order.
        edges: Data flow between layers, as pairs of names.
        tiles: Tile sizes of the pictures.
        activation_edges: Bin edges of `Stats.distribution`, ascending.
        stages: States of the stages.
        memory_format: Memory format of inputs and weights; it may affect the last digits.
        layers_skipped: Layers that were selected and could not be scanned.
        expanded: Layers with a file of expanded weights.
        activations: Whether the store has the activations of all images.
        spectra: Whether the store has the spectra of all filters.
    """

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
    layers_skipped: list[SkippedLayerRecord] = msgspec.field(default_factory=list)
    expanded: list[str] = msgspec.field(default_factory=list)
    activations: bool = False
    spectra: bool = False
