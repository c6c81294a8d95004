"""An ablation as JSON: the file that `torchlurk ablate --out` writes."""

from __future__ import annotations

from pathlib import Path

from torchlurk.circuits.ablation_table import Ablation, AblationKind, ClassEffect
from torchlurk.datasets.images import ImageSet
from torchlurk.models.network import Network
from torchlurk.store.schema import ModelRecord, Record, round_float32
from torchlurk.store.write import write_json

_FORMAT = 1


class AblatedImages(Record, frozen=True):
    """The images that the network was run on: their number, without those that cannot be read."""

    name: str
    digest: str
    images: int


class FilterEffectRecord(Record, frozen=True):
    """How a filter changed, see `FilterEffect`."""

    channel: int
    before: float
    after: float
    change: float
    relative: float | None
    contribution: float | None


class LayerEffectRecord(Record, frozen=True):
    """The filters of a layer that changed most, the largest change first, and how many filters it has."""

    layer: str
    channels: int
    filters: list[FilterEffectRecord]


class ClassEffectRecord(Record, frozen=True):
    """How a class changed, see `ClassEffect`."""

    index: int
    name: str
    before: float
    after: float
    change: float


class AccuracyRecord(Record, frozen=True):
    """The share of images whose predicted class is right."""

    before: float
    after: float


class AblationFile(Record, frozen=True):
    """The content of the file.

    Attributes:
        format: The number of the format.
        model: Where the network and its weights come from, as in a store.
        dataset: The images.
        layer: Dotted name of the layer.
        channels: The filters that were ablated.
        to: What they were set to.
        values: The value of each.
        layers: The later layers, in execution order.
        classes: The classes that changed most, the largest change first.
        agreement: See `Ablation`.
        accuracy: See `Ablation`.
    """

    format: int
    model: ModelRecord
    dataset: AblatedImages
    layer: str
    channels: list[int]
    to: AblationKind
    values: list[float]
    layers: list[LayerEffectRecord]
    classes: list[ClassEffectRecord]
    agreement: float | None
    accuracy: AccuracyRecord | None


def write_ablation(path: Path, ablation: Ablation, network: Network, images: ImageSet, top: int) -> None:
    """Write an ablation as JSON.

    Args:
        path: The file.
        ablation: The result.
        network: The network.
        images: The images.
        top: How many filters of each layer, and how many classes, to write.

    Raises:
        LurkError: The file cannot be written.
    """
    write_json(path, ablation_to_record(ablation, network, images, top))


def ablation_to_record(ablation: Ablation, network: Network, images: ImageSet, top: int) -> AblationFile:
    """Return the record of an ablation; see `write_ablation`."""
    accuracy = ablation.accuracy
    return AblationFile(
        format=_FORMAT,
        model=ModelRecord(network.source, network.weights, network.weights_sha256),
        dataset=AblatedImages(images.name, images.digest, ablation.images),
        layer=ablation.layer,
        channels=list(ablation.channels),
        to=ablation.to,
        values=[round_float32(value) for value in ablation.values],
        layers=[_layer_to_record(ablation, layer, top) for layer in ablation.layers],
        classes=[_class_to_record(effect) for effect in ablation.classes[:top]],
        agreement=ablation.agreement,
        accuracy=None if accuracy is None else AccuracyRecord(*accuracy),
    )


def _layer_to_record(ablation: Ablation, layer: str, top: int) -> LayerEffectRecord:
    effects = ablation.filters_of(layer)
    filters = [
        FilterEffectRecord(
            channel=effect.channel,
            before=round_float32(effect.before),
            after=round_float32(effect.after),
            change=round_float32(effect.change),
            relative=None if effect.relative is None else round_float32(effect.relative),
            contribution=None if effect.contribution is None else round_float32(effect.contribution),
        )
        for effect in effects[:top]
    ]
    return LayerEffectRecord(layer, len(effects), filters)


def _class_to_record(effect: ClassEffect) -> ClassEffectRecord:
    return ClassEffectRecord(
        index=effect.index,
        name=effect.name,
        before=round_float32(effect.before),
        after=round_float32(effect.after),
        change=round_float32(effect.change),
    )
