"""What `scores.json` holds: what was computed, from what, and the numbers of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torchlurk.attribution.targets import ClassLogit
from torchlurk.explaining.explain import Control, Explanation
from torchlurk.explaining.params import METHODS, AttributionParams, Completeness
from torchlurk.models.network import Network
from torchlurk.store.schema import Digest, Record, Relative

FORMAT = 1


class Model(Record, frozen=True):
    """The network: its title, and where it and its weights come from."""

    title: str
    source: str
    weights: str
    weights_sha256: Digest


class Fed(Record, frozen=True):
    """What it was fed: shape `[C, H, W]`, and the normalisation of values in [0, 1] by channel."""

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Guess(Record, frozen=True):
    """A likely class."""

    index: int
    name: str
    logit: float
    probability: float


class Explained(Record, frozen=True):
    """What was explained: `kind` is `class` or `unit`; a class has an index, a unit the others."""

    kind: str
    name: str
    index: int | None = None
    layer: str | None = None
    channel: int | None = None
    at: tuple[int, int] | None = None


class Sums(Record, frozen=True):
    """Whether integrated gradients add up: their sum, what it should be, and how far apart they are."""

    total: float
    difference: float
    error: float


class RandomCopy(Record, frozen=True):
    """The same on a copy of which `layers`, of so many, have random weights."""

    layers: tuple[str, ...]
    of: int
    score: float
    similarity: dict[str, float | None]
    pictures: dict[str, Relative]


class ImageScores(Record, frozen=True):
    """An image: what the network says of it, what was explained, and where the pictures lie."""

    image: str
    predictions: tuple[Guess, ...]
    target: Explained
    score: float
    completeness: Sums | None
    pictures: dict[str, Relative]
    randomized: tuple[RandomCopy, ...]


class Scores(Record, frozen=True):
    """`scores.json`."""

    format: int
    model: Model
    input: Fed
    methods: dict[str, dict[str, int | float | str]]
    sheet: Relative
    images: tuple[ImageScores, ...]


def scores_of(
    network: Network,
    params: AttributionParams,
    explanations: Sequence[Explanation],
    sheet: str,
    pictures: Sequence[Mapping[str, str]],
    random_pictures: Sequence[Sequence[Mapping[str, str]]],
) -> Scores:
    """The record of some explanations.

    Args:
        network: the network.
        params: how they were made.
        explanations: one an image.
        sheet: the contact sheet's path in the folder.
        pictures: for each image, paths by method, and `original`.
        random_pictures: for each image, and each of its controls, paths by method.
    """
    preprocess = network.preprocess
    return Scores(
        format=FORMAT,
        model=Model(network.title, network.source, network.weights, network.weights_sha256),
        input=Fed(network.shape, preprocess.mean, preprocess.std),
        methods={name: METHODS[name].told(params) for name in params.methods},
        sheet=sheet,
        images=tuple(
            ImageScores(
                image=one.name,
                predictions=tuple(Guess(p.index, p.name, p.logit, p.probability) for p in one.predictions),
                target=_explained(one),
                score=one.score,
                completeness=_sums(one.completeness),
                pictures=dict(paths),
                randomized=tuple(map(_copy, one.controls, below)),
            )
            for one, paths, below in zip(explanations, pictures, random_pictures, strict=True)
        ),
    )


def _explained(one: Explanation) -> Explained:
    target = one.target
    if isinstance(target, ClassLogit):
        return Explained("class", one.target_name, index=target.index)
    return Explained("unit", one.target_name, layer=target.layer, channel=target.channel, at=target.at)


def _sums(found: Completeness | None) -> Sums | None:
    return None if found is None else Sums(found.total, found.difference, found.error)


def _copy(control: Control, paths: Mapping[str, str]) -> RandomCopy:
    return RandomCopy(control.layers, control.of, control.score, control.similarity, dict(paths))
