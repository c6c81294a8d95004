"""The attribution methods by name.

To add a method, add an entry to `METHODS` and its name to `params.METHOD_NAMES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from torchlurk.attribution import methods
from torchlurk.attribution.methods import ScoreFunction
from torchlurk.explaining.explanation import Completeness
from torchlurk.explaining.params import AttributionParams


@dataclass(frozen=True)
class Attribution:
    """Attribution of one image by one method.

    Attributes:
        values: `(C, H, W)`, the shape of the input, float32, on the CPU.
        completeness: Completeness of integrated gradients; `None` for other methods.
    """

    values: Tensor
    completeness: Completeness | None = None


@dataclass(frozen=True)
class MethodInput:
    """What a method computes an attribution from.

    Attributes:
        score: Returns the target's value for a batch of inputs.
        x: The image, `(1, C, H, W)`.
        black: The black baseline, `(1, C, 1, 1)`.
        params: Parameters of the methods.
    """

    score: ScoreFunction
    x: Tensor
    black: Tensor
    params: AttributionParams


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes:
        label: Its name in pictures.
        rendering: How attributions are drawn, a key of `drawing.RENDERERS`.
        compute: Computes the attribution of one image.
        fixed_parameters: Parameters that cannot be chosen, for the record.
        chosen_parameters: Attributes of `AttributionParams` that it uses.
    """

    label: str
    rendering: Literal["stretched", "signed", "gray"]
    compute: Callable[[MethodInput], Attribution]
    fixed_parameters: Mapping[str, str]
    chosen_parameters: tuple[str, ...] = ()

    def recorded_parameters(self, params: AttributionParams) -> dict[str, int | float | str]:
        """Return all its parameters, as `scores.json` records them."""
        return {**self.fixed_parameters, **{name: getattr(params, name) for name in self.chosen_parameters}}


def _gradient(inputs: MethodInput) -> Attribution:
    return Attribution(_detached(methods.gradient(inputs.score, inputs.x)))


def _guided(inputs: MethodInput) -> Attribution:
    return Attribution(_detached(methods.gradient(inputs.score, inputs.x, "guided")))


def _deconv(inputs: MethodInput) -> Attribution:
    return Attribution(_detached(methods.gradient(inputs.score, inputs.x, "deconv")))


def _input_x_gradient(inputs: MethodInput) -> Attribution:
    return Attribution(_detached(methods.input_times_gradient(inputs.score, inputs.x)))


def _smoothgrad(inputs: MethodInput) -> Attribution:
    params = inputs.params
    # One generator per image, so that the result for an image does not depend on the others.
    generator = torch.Generator().manual_seed(params.seed)
    values = methods.smooth_gradient(
        inputs.score, inputs.x, samples=params.samples, sigma=params.sigma, generator=generator
    )
    return Attribution(_detached(values))


def _integrated(inputs: MethodInput) -> Attribution:
    result = methods.integrated_gradients(inputs.score, inputs.x, inputs.black, steps=inputs.params.steps)
    completeness = Completeness(float(result.totals), float(result.differences), float(result.errors))
    return Attribution(_detached(result.values), completeness)


def _detached(values: Tensor) -> Tensor:
    """Return the first of a batch of attributions, float32, on the CPU."""
    return values[0].detach().float().cpu().contiguous()


METHODS: Final[Mapping[str, Method]] = {
    "gradient": Method("gradient", "stretched", _gradient, {"relu": "vanilla"}),
    "saliency": Method("saliency", "gray", _gradient, {"relu": "vanilla"}),
    "guided": Method("guided backprop", "signed", _guided, {"relu": "guided"}),
    "deconv": Method("deconvolution", "signed", _deconv, {"relu": "deconv"}),
    "input_x_gradient": Method("input x gradient", "gray", _input_x_gradient, {"relu": "vanilla"}),
    "smoothgrad": Method(
        "SmoothGrad", "gray", _smoothgrad, {"relu": "vanilla"}, ("samples", "sigma", "seed")
    ),
    "integrated": Method(
        "integrated gradients", "gray", _integrated, {"baseline": "black", "rule": "midpoint"}, ("steps",)
    ),
}
"""All methods by name."""
