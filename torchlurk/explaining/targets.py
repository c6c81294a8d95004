"""Predictions of a network, and the target that a `target` argument means for an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from torchlurk.attribution.targets import ClassLogit, LayerUnit, Target, find_class, is_unit, parse_unit
from torchlurk.errors import LurkError, Option
from torchlurk.explaining.explanation import Prediction
from torchlurk.models.outputs import as_logits
from torchlurk.models.runner import Runner, outputs

PREDICTED = "predicted"
"""The target argument that means the most likely class of each image."""

ExplanationTarget = int | str | Target
"""A class by number or name, `PREDICTED`, a unit as text, or a target."""


def as_unit(target: ExplanationTarget) -> LayerUnit | None:
    """Return the unit that a target argument means; `None` if it means a class."""
    if isinstance(target, str) and is_unit(target):
        return parse_unit(target)
    return target if isinstance(target, LayerUnit) else None


def predict(runner: Runner, x: Tensor, classes: Sequence[str] | None) -> tuple[Prediction, ...]:
    """Return all classes, most likely first; `()` if the network has none.

    Args:
        runner: The network, isolated.
        x: One image, `(1, C, H, W)`.
        classes: Names of the classes, in order; `()` if they are unknown, `None` if outputs are not classes.

    Raises:
        LurkError: The number of names differs from the number of outputs.
    """
    if classes is None:
        return ()
    with runner.without_gradients():
        output = outputs(runner, x)
        try:
            logits = as_logits(output, len(x))[0].double().cpu()
        except LurkError:
            return ()
    if classes and len(classes) != len(logits):
        raise LurkError(
            f"there are {len(classes)} class names, but the network has {len(logits)} outputs",
            "give one name for each output",
        )
    are_probabilities = bool((logits >= 0).all()) and abs(float(logits.sum()) - 1) < 1e-4
    probabilities = logits if are_probabilities else logits.softmax(0)
    order = logits.argsort(descending=True, stable=True).tolist()
    names = classes or [str(index) for index in range(len(logits))]
    return tuple(
        Prediction(index, names[index], float(logits[index]), float(probabilities[index])) for index in order
    )


def resolve_target(
    target: ExplanationTarget, predictions: Sequence[Prediction], classes: Sequence[str] | None
) -> Target:
    """Return the target that an argument means for an image.

    Args:
        target: The argument.
        predictions: All classes of the image, most likely first.
        classes: Names of the classes, as for `predict`.

    Raises:
        LurkError: There is no such class, or the network has none.
    """
    unit = as_unit(target)
    if unit is not None:
        return unit
    if not predictions:
        raise _no_classes(classes)
    if target == PREDICTED:
        return ClassLogit(predictions[0].index)
    index = target.index if isinstance(target, ClassLogit) else cast("int | str", target)
    return ClassLogit(find_class(index, classes or (), len(predictions)))


def target_name(target: Target, classes: Sequence[str] | None) -> str:
    """Return a readable name of a target."""
    if isinstance(target, LayerUnit):
        return str(target)
    return f"{classes[target.index]} ({target.index})" if classes else f"class {target.index}"


def _no_classes(classes: Sequence[str] | None) -> LurkError:
    unit = Option("target", flag="--unit")
    if classes is None:
        return LurkError(
            "the network has no classes to explain", ("explain a unit with ", unit, " (LAYER:CHANNEL)")
        )
    return LurkError(
        "the network does not give one row of logits per image, so it has no classes to explain",
        (
            "explain a unit with ", unit, " (LAYER:CHANNEL), or set ", Option("size"),
            " to the input size of the network",
        ),
    )  # fmt: skip
