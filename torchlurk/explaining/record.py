"""The records of `scores.json`: what was computed, from what, and the numbers of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torchlurk.attribution.targets import ClassLogit
from torchlurk.explaining.explanation import Completeness, Control, Explanation
from torchlurk.explaining.methods import METHODS
from torchlurk.explaining.params import AttributionParams
from torchlurk.models.network import Network
from torchlurk.store.schema import Digest, Record, Relative

_FORMAT = 1


class ExplainedModel(Record, frozen=True):
    """The network: its title, and where it and its weights come from."""

    title: str
    source: str
    weights: str
    weights_sha256: Digest


class ExplainedInput(Record, frozen=True):
    """The network's input: its shape `[C, H, W]`, and the normalisation of each channel."""

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class PredictionRecord(Record, frozen=True):
    """A likely class."""

    index: int
    name: str
    logit: float
    probability: float


class TargetRecord(Record, frozen=True):
    """The target: `kind` is `class`, with an index, or `unit`, with a layer, a channel and a position."""

    kind: str
    name: str
    index: int | None = None
    layer: str | None = None
    channel: int | None = None
    at: tuple[int, int] | None = None


class CompletenessRecord(Record, frozen=True):
    """Completeness of integrated gradients: their sum, what it should be, and the difference of the two."""

    total: float
    difference: float
    error: float


class ControlRecord(Record, frozen=True):
    """The same on a copy of the network: `layers`, out of `of` layers with weights, have random ones."""

    layers: tuple[str, ...]
    of: int
    score: float
    similarity: dict[str, float | None]
    pictures: dict[str, Relative]


class ImageRecord(Record, frozen=True):
    """An image: its predictions, the target, and the paths of its pictures."""

    image: str
    predictions: tuple[PredictionRecord, ...]
    target: TargetRecord
    score: float
    completeness: CompletenessRecord | None
    pictures: dict[str, Relative]
    randomized: tuple[ControlRecord, ...]


class ScoresFile(Record, frozen=True):
    """Content of `scores.json`."""

    format: int
    model: ExplainedModel
    input: ExplainedInput
    methods: dict[str, dict[str, int | float | str]]
    sheet: Relative
    images: tuple[ImageRecord, ...]


def describe_model(network: Network) -> ExplainedModel:
    """Return the record of a network."""
    return ExplainedModel(network.title, network.source, network.weights, network.weights_sha256)


def explanations_to_record(
    network: Network,
    params: AttributionParams,
    explanations: Sequence[Explanation],
    sheet: str,
    pictures: Sequence[Mapping[str, str]],
    control_pictures: Sequence[Sequence[Mapping[str, str]]],
) -> ScoresFile:
    """Return the record of explanations.

    Args:
        network: The network.
        params: Methods and their parameters.
        explanations: One per image.
        sheet: Path of the contact sheet in the folder.
        pictures: For each image, paths by method, and `original`.
        control_pictures: For each image and each of its controls, paths by method.
    """
    preprocess = network.preprocess
    return ScoresFile(
        format=_FORMAT,
        model=describe_model(network),
        input=ExplainedInput(network.shape, preprocess.mean, preprocess.std),
        methods={name: METHODS[name].recorded_parameters(params) for name in params.methods},
        sheet=sheet,
        images=tuple(map(_image_to_record, explanations, pictures, control_pictures)),
    )


def _image_to_record(
    explanation: Explanation, paths: Mapping[str, str], control_paths: Sequence[Mapping[str, str]]
) -> ImageRecord:
    return ImageRecord(
        image=explanation.name,
        predictions=tuple(
            PredictionRecord(p.index, p.name, p.logit, p.probability) for p in explanation.predictions
        ),
        target=_target_to_record(explanation),
        score=explanation.score,
        completeness=_completeness_to_record(explanation.completeness),
        pictures=dict(paths),
        randomized=tuple(map(_control_to_record, explanation.controls, control_paths)),
    )


def _target_to_record(explanation: Explanation) -> TargetRecord:
    target, name = explanation.target, explanation.target_name
    if isinstance(target, ClassLogit):
        return TargetRecord("class", name, index=target.index)
    return TargetRecord("unit", name, layer=target.layer, channel=target.channel, at=target.at)


def _completeness_to_record(completeness: Completeness | None) -> CompletenessRecord | None:
    if completeness is None:
        return None
    return CompletenessRecord(completeness.total, completeness.difference, completeness.error)


def _control_to_record(control: Control, paths: Mapping[str, str]) -> ControlRecord:
    return ControlRecord(control.layers, control.of, control.score, control.similarity, dict(paths))
