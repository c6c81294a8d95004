"""From images and a network to what in each image a target depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

from torchlurk.attribution.methods import gradient
from torchlurk.attribution.randomise import RandomisationStrategy, magnitude, randomised_copies, similarities
from torchlurk.attribution.targets import (
    ClassLogit,
    LayerUnit,
    Target,
    find_class,
    find_module,
    is_unit,
    parse_unit,
    target_values,
)
from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.errors import LurkError
from torchlurk.explaining.images import ImageLike, load_images
from torchlurk.explaining.params import METHODS, Attributed, AttributionParams, Completeness
from torchlurk.graph import PROBE_IMAGES, Graph, prepare, probe
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner, outputs
from torchlurk.models.validate import as_logits, as_network, check_kind
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.runtime.devices import deterministic_float32
from torchlurk.runtime.pictures import Pixels

TOP = 5
"""How many predictions are told."""

PREDICTED = "predicted"
"""The target that is each image's most likely class."""


@dataclass(frozen=True)
class Prediction:
    """A class that the network holds for likely.

    Attributes:
        index: its number, from 0.
        name: what it is called; its number where that is not known.
        logit: what the network gives for it.
        probability: the softmax of the logits; the output itself where that is one already.
    """

    index: int
    name: str
    logit: float
    probability: float


@dataclass(frozen=True)
class Control:
    """The same on a network with random weights, for comparison (Adebayo et al. 2018, arXiv:1810.03292).

    Attributes:
        layers: whose weights are random, from the output towards the input.
        of: how many layers with weights there are.
        score: the target's value.
        attributions: by method, `(C, H, W)` float32.
        similarity: for each method, Spearman's rank correlation of the magnitudes with those of the
            trained network, of the pixels that the target sees; `None` where one of them is the same
            everywhere.
    """

    layers: tuple[str, ...]
    of: int
    score: float
    attributions: dict[str, Tensor] = field(repr=False)
    similarity: dict[str, float | None]


@dataclass(frozen=True)
class Explanation:
    """What in an image a target depends on.

    Attributes:
        name: of the image, a file's name.
        picture: what the network was shown, `(H, W, 3)`, uint8.
        target: what is explained.
        target_name: what a person calls it.
        score: its value on the image.
        predictions: the most likely classes, best first; `()` for networks that have none.
        attributions: by method, `(C, H, W)` float32, of the shape of the network's input.
        completeness: whether integrated gradients add up; `None` if they were not asked for.
        controls: the same on networks with random weights, for comparison; `()` if they were not asked for.
    """

    name: str
    picture: Pixels = field(repr=False)
    target: Target
    target_name: str
    score: float
    predictions: tuple[Prediction, ...]
    attributions: dict[str, Tensor] = field(repr=False)
    completeness: Completeness | None
    controls: tuple[Control, ...] = ()


@renamed_arguments(recipe="params")
def explain(
    model: nn.Module,
    preprocess: PreprocessLike,
    images: Sequence[ImageLike] | ImageLike,
    target: int | str | Target | Sequence[int | str | Target] = PREDICTED,
    *,
    classes: Sequence[str] | None = (),
    params: AttributionParams | None = None,
    randomize: RandomisationStrategy | None = None,
    done: Callable[[str], None] = lambda image: None,  # noqa: ARG005
) -> tuple[Explanation, ...]:
    """Explain images: what in each of them a class or a unit of the network depends on.

    The network is computed in evaluation mode on the device it lies on, and is as it was afterwards. The
    methods and how to read them: docs/explain.md.

    Args:
        model: a network that takes `(N, C, H, W)`, and gives logits `(N, classes)` if a class is explained.
        preprocess: what it is fed: from a PIL image, RGB, to a float tensor `(C, H, W)`; a `Preprocess`;
            `(mean, std)`; or `None` for ImageNet's.
        images: files, or PIL images.
        target: a class by number or name, or `"predicted"`; or a unit, `"features.28:7"` for the mean of a
            map or `"features.28:7@6,3"`; one for all images, or a list of one for each.
        classes: what the network's outputs are called, in order, by which a target may be named; `()` where
            that is not known; `None` where they are no classes at all.
        params: which methods, and their figures; `AttributionParams()` by default.
        randomize: do the same on a copy whose weights are random: `"all"`, or `"cascading"` from the
            output towards the input.
        done: told the name of each image that is finished.

    Returns:
        One for each image, in order.

    Raises:
        LurkError: an image cannot be read, or there is no such target.

    Examples:
        >>> kitten = photos / "farm/kitten.jpg"
        >>> (found,) = torchlurk.explain(model, preprocess, kitten, classes=names)
        >>> found.target_name, round(found.predictions[0].probability, 1)
        ('cat (3)', 0.5)
        >>> found.attributions["integrated"].shape
        torch.Size([3, 32, 32])
        >>> found.completeness.error < 0.01 * abs(found.completeness.difference)
        True

        One unit of a filter, by two methods, beside a network that has learnt nothing:

        >>> from torchlurk.explaining import AttributionParams
        >>> params = AttributionParams(("guided", "smoothgrad"), samples=8)
        >>> (found,) = torchlurk.explain(
        ...     model, preprocess, kitten, "features.14:7@3,4", params=params, randomize="all"
        ... )
        >>> {method: round(value, 1) for method, value in found.controls[0].similarity.items()}
        {'guided': 0.8, 'smoothgrad': 0.8}
    """
    params = params or AttributionParams()
    files = list(images) if isinstance(images, Iterable) and not isinstance(images, str) else [images]
    wanted = list(target) if isinstance(target, list | tuple) else [cast("int | str | Target", target)]
    if len(wanted) not in (1, len(files)) or not files:
        raise LurkError(
            f"there are {len(files)} images and {len(wanted)} targets: give one target for all, or each one"
        )
    model = as_network(model)
    check_kind(model)
    shown = list(load_images(model, files, preprocess))
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    with deterministic_float32(like.device), isolated(model), ExitStack() as stack:
        units = [unit for one in wanted if (unit := _unit(one)) is not None]
        runner = _runner(model, units, [feed.to(like)[0] for _, feed in shown[:PROBE_IMAGES]])
        stack.enter_context(runner.laid_out())
        results = []
        for at, (name, feed) in enumerate(shown):
            x, black = feed.to(like)
            predictions, count = _predict(runner, x, classes)
            chosen = _target(wanted[at % len(wanted)], predictions, classes, count)
            with runner.without_gradients():
                score = float(target_values(runner, x, chosen).detach())
            found = _attribute(runner, x, black, chosen, params)
            results.append(
                Explanation(
                    name=name,
                    picture=feed.picture(),
                    target=chosen,
                    target_name=_called(chosen, classes),
                    score=score,
                    predictions=predictions[:TOP],
                    attributions={method: one.values for method, one in found.items()},
                    completeness=next((one.completeness for one in found.values() if one.completeness), None),
                    controls=(
                        ()
                        if randomize is None
                        else _controls(runner, x, black, chosen, params, randomize, found)
                    ),
                )
            )
            done(name)
    return tuple(results)


def _unit(target: int | str | Target) -> LayerUnit | None:
    """The unit that a target names; `None` if it names a class."""
    if isinstance(target, str) and is_unit(target):
        return parse_unit(target)
    return target if isinstance(target, LayerUnit) else None


def _runner(model: nn.Module, units: Sequence[LayerUnit], inputs: Sequence[Tensor]) -> Runner:
    """How to run a network whose units are explained.

    Raises:
        LurkError: there is no such layer, or its output cannot be read as feature maps of single images.
    """
    images = torch.cat(list(inputs))
    shape = (images.shape[1], images.shape[2], images.shape[3])
    names = tuple(dict.fromkeys(unit.layer for unit in units))
    for name in names:
        find_module(model, name)
    if not names:
        return probe(model, Graph((), ()), images[:2])[0]
    runner, graph = prepare(model, shape, names, images)
    for one in graph.skipped:
        raise LurkError(f"layer {one.name!r} ({one.kind}) {one.reason}: explain another")
    return runner


def _predict(runner: Runner, x: Tensor, classes: Sequence[str] | None) -> tuple[tuple[Prediction, ...], int]:
    """All classes by likelihood, and how many there are; none where the network gives no logits."""
    if classes is None:
        return (), 0
    with runner.without_gradients():
        output = outputs(runner, x)
        try:
            logits = as_logits(output, len(x))[0].double().cpu()
        except LurkError:
            return (), 0
    if classes and len(classes) != len(logits):
        raise LurkError(
            f"there are {len(classes)} names of classes, and the network gives {len(logits)} values: name all"
        )
    is_share = bool((logits >= 0).all()) and abs(float(logits.sum()) - 1) < 1e-4
    shares = logits if is_share else logits.softmax(0)
    order = logits.argsort(descending=True, stable=True).tolist()
    names = classes or [str(index) for index in range(len(logits))]
    return tuple(
        Prediction(index, names[index], float(logits[index]), float(shares[index])) for index in order
    ), len(logits)


def _target(
    wanted: int | str | Target,
    predictions: tuple[Prediction, ...],
    classes: Sequence[str] | None,
    count: int,
) -> Target:
    unit = _unit(wanted)
    if unit is not None:
        return unit
    if not predictions:
        why = "" if classes is None else "gives no row of logits for each image, so it "
        size = "" if classes is None else ", or the size of input that it was made for (--size)"
        raise LurkError(
            f"the network {why}has no classes to explain: name a unit, LAYER:CHANNEL (--unit, or target=)"
            f"{size}"
        )
    if wanted == PREDICTED:
        return ClassLogit(predictions[0].index)
    index = wanted.index if isinstance(wanted, ClassLogit) else cast("int | str", wanted)
    return ClassLogit(find_class(index, classes or (), count))


def _called(target: Target, classes: Sequence[str] | None) -> str:
    if isinstance(target, LayerUnit):
        return str(target)
    return f"{classes[target.index]} ({target.index})" if classes else f"class {target.index}"


def _attribute(
    runner: Runner, x: Tensor, black: Tensor, target: Target, params: AttributionParams
) -> dict[str, Attributed]:
    def score(batch: Tensor) -> Tensor:
        return target_values(runner, batch, target)

    return {name: METHODS[name].compute(score, x, black, params) for name in params.methods}


def _controls(
    runner: Runner, x: Tensor, black: Tensor, target: Target, params: AttributionParams, way: RandomisationStrategy,
    trained: dict[str, Attributed],
) -> tuple[Control, ...]:  # fmt: skip
    """The same on copies with random weights."""

    def sees(network: Runner) -> Tensor:
        found = gradient(lambda batch: target_values(network, batch, target), x)
        return magnitude(found)[0].cpu() > 0

    def alive(random: nn.Module) -> bool:
        return bool(sees(replace(runner, model=random)).any())

    own = sees(runner)
    controls = []
    for random in randomised_copies(runner, x, way, params.seed, alive):
        copied = replace(runner, model=random.model)
        with runner.without_gradients():
            score = float(target_values(copied, x, target).detach())
        attributed = _attribute(copied, x, black, target, params)
        found = {method: one.values for method, one in attributed.items()}
        before = [one.values for one in trained.values()]
        alike = similarities(before, list(found.values()), own | sees(copied))
        similarity = dict(zip(found, alike, strict=True))
        controls.append(Control(random.layers, random.of, score, found, similarity))
    return tuple(controls)
