"""`explain`: attributions of images for a class or a unit, by several methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from torchlurk.attribution.methods import gradient
from torchlurk.attribution.randomise import (
    RandomisationStrategy,
    magnitude,
    randomised_copies,
    similarities,
)
from torchlurk.attribution.targets import LayerUnit, Target, find_module, target_values
from torchlurk.datasets.preprocess import PreprocessLike
from torchlurk.errors import LurkError
from torchlurk.explaining.explanation import Control, Explanation
from torchlurk.explaining.images import ImageLike, PreparedImage, load_images
from torchlurk.explaining.methods import METHODS, Attribution, MethodInput
from torchlurk.explaining.params import AttributionParams
from torchlurk.explaining.targets import (
    PREDICTED,
    ExplanationTarget,
    as_unit,
    predict,
    resolve_target,
    target_name,
)
from torchlurk.graph import PROBE_IMAGES, Graph, prepare, probe
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner
from torchlurk.models.validate import as_module, check_module
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.runtime.devices import deterministic_float32

__all__ = ["Explanation", "explain"]

_PREDICTIONS = 5
"""Number of predictions in an explanation."""


@renamed_arguments(recipe="params")
def explain(
    model: nn.Module,
    preprocess: PreprocessLike,
    images: Sequence[ImageLike] | ImageLike,
    target: ExplanationTarget | Sequence[ExplanationTarget] = PREDICTED,
    *,
    classes: Sequence[str] | None = (),
    params: AttributionParams | None = None,
    randomize: RandomisationStrategy | None = None,
    done: Callable[[str], None] = lambda image: None,  # noqa: ARG005
) -> tuple[Explanation, ...]:
    """Explain which pixels of images a class or a unit of the network depends on.

    The network runs in evaluation mode on its device, and its state is restored afterwards. The methods and
    how to read them: docs/reference/attribution.md.

    Args:
        model: A network that takes `(N, C, H, W)`, and to explain classes, gives logits `(N, classes)`.
        preprocess: A function from a PIL image, RGB, to a float tensor `(C, H, W)`; a `Preprocess`; `(mean,
            std)`; or `None` for ImageNet's.
        images: Files or PIL images.
        target: A class by number or name, or `"predicted"`, the most likely class of each image; or a unit,
            `"features.28:7"` for the mean of a feature map or `"features.28:7@6,3"` for one position. One
            target for all images, or a list of one for each.
        classes: Names of the network's outputs, in order; `()` if they are unknown, `None` if the outputs are
            not classes.
        params: Methods and their parameters; by default `AttributionParams()`.
        randomize: Also explain copies with random weights: `"all"` weights at once, or `"cascading"` from the
            output towards the input.
        done: Called with the name of each image that is finished.

    Returns:
        One explanation per image, in order.

    Raises:
        LurkError: An image cannot be read, or there is no such target.

    Examples:
        >>> kitten = photos / "farm/kitten.jpg"
        >>> (found,) = torchlurk.explain(model, preprocess, kitten, classes=names)
        >>> found.target_name, round(found.predictions[0].probability, 1)
        ('cat (3)', 0.5)
        >>> found.attributions["integrated"].shape
        torch.Size([3, 32, 32])
        >>> found.completeness.error < 0.01 * abs(found.completeness.difference)
        True

        One unit of a filter, by two methods, with a randomised network for comparison:

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
    targets = list(target) if isinstance(target, list | tuple) else [cast("ExplanationTarget", target)]
    if len(targets) not in (1, len(files)) or not files:
        raise LurkError(
            f"there are {len(files)} images and {len(targets)} targets",
            "give one target for all images, or one for each",
        )
    model = as_module(model)
    check_module(model)
    prepared = list(load_images(model, files, preprocess))
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    explanations = []
    with deterministic_float32(like.device), isolated(model), ExitStack() as stack:
        units = [unit for one in targets if (unit := as_unit(one)) is not None]
        runner = _runner(model, units, [image.to(like)[0] for _, image in prepared[:PROBE_IMAGES]])
        stack.enter_context(runner.in_memory_format())
        for number, (name, image) in enumerate(prepared):
            explanations.append(
                _explain_image(
                    runner, name, image, like, targets[number % len(targets)], classes, params, randomize
                )
            )
            done(name)
    return tuple(explanations)


def _explain_image(
    runner: Runner,
    name: str,
    image: PreparedImage,
    like: Tensor,
    target: ExplanationTarget,
    classes: Sequence[str] | None,
    params: AttributionParams,
    randomize: RandomisationStrategy | None,
) -> Explanation:
    """Explain one image with a network that is ready to run."""
    x, black = image.to(like)
    predictions = predict(runner, x, classes)
    resolved = resolve_target(target, predictions, classes)
    with runner.without_gradients():
        score = float(target_values(runner, x, resolved).detach())
    attributions = _attribute(runner, x, black, resolved, params)
    controls: tuple[Control, ...] = ()
    if randomize is not None:
        controls = _controls(runner, x, black, resolved, params, randomize, attributions)
    return Explanation(
        name=name,
        picture=image.picture(),
        target=resolved,
        target_name=target_name(resolved, classes),
        score=score,
        predictions=predictions[:_PREDICTIONS],
        attributions={method: result.values for method, result in attributions.items()},
        completeness=next((r.completeness for r in attributions.values() if r.completeness), None),
        controls=controls,
    )


def _runner(model: nn.Module, units: Sequence[LayerUnit], inputs: Sequence[Tensor]) -> Runner:
    """Return the way to run a network whose units are explained.

    Raises:
        LurkError: There is no such layer, or its output is not feature maps of single images.
    """
    images = torch.cat(list(inputs))
    shape = (images.shape[1], images.shape[2], images.shape[3])
    names = tuple(dict.fromkeys(unit.layer for unit in units))
    for name in names:
        find_module(model, name)
    if not names:
        return probe(model, Graph((), ()), images[:2])[0]
    runner, graph = prepare(model, shape, names, images)
    for layer in graph.skipped:
        raise LurkError(f"layer {layer.name!r} ({layer.kind}) {layer.reason}", "explain another layer")
    return runner


def _attribute(
    runner: Runner, x: Tensor, black: Tensor, target: Target, params: AttributionParams
) -> dict[str, Attribution]:
    """Compute the attribution of each method."""

    def score(batch: Tensor) -> Tensor:
        return target_values(runner, batch, target)

    inputs = MethodInput(score, x, black, params)
    return {name: METHODS[name].compute(inputs) for name in params.methods}


def _controls(
    runner: Runner,
    x: Tensor,
    black: Tensor,
    target: Target,
    params: AttributionParams,
    strategy: RandomisationStrategy,
    trained: dict[str, Attribution],
) -> tuple[Control, ...]:
    """Compute the attributions of copies with random weights."""

    def seen_pixels(network: Runner) -> Tensor:
        """Return the pixels with a gradient, `(H, W)`, bool."""
        values = gradient(lambda batch: target_values(network, batch, target), x)
        return magnitude(values)[0].cpu() > 0

    def has_gradient(random: nn.Module) -> bool:
        return bool(seen_pixels(replace(runner, model=random)).any())

    trained_pixels = seen_pixels(runner)
    controls = []
    for copy in randomised_copies(runner, x, strategy, params.seed, has_gradient):
        copy_runner = replace(runner, model=copy.model)
        with runner.without_gradients():
            score = float(target_values(copy_runner, x, target).detach())
        attributions = {
            method: result.values
            for method, result in _attribute(copy_runner, x, black, target, params).items()
        }
        correlations = similarities(
            [result.values for result in trained.values()],
            list(attributions.values()),
            trained_pixels | seen_pixels(copy_runner),
        )
        similarity = dict(zip(attributions, correlations, strict=True))
        controls.append(Control(copy.layers, copy.total, score, attributions, similarity))
    return tuple(controls)
