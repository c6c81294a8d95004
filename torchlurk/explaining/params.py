"""Which methods there are, and with which figures they are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from torchlurk.attribution import methods
from torchlurk.attribution.methods import ScoreFunction
from torchlurk.errors import LurkError


@dataclass(frozen=True)
class Completeness:
    """Whether integrated gradients add up to the score.

    Attributes:
        total: their sum.
        difference: the score on the image less that on black; what the sum should be.
        error: how far the two are apart; more steps make it smaller.
    """

    total: float
    difference: float
    error: float


@dataclass(frozen=True)
class Attributed:
    """What a method says of an image.

    Attributes:
        values: `(C, H, W)`, of the input's shape, float32 on the CPU.
        completeness: of integrated gradients; `None` for others.
    """

    values: Tensor
    completeness: Completeness | None = None


@dataclass(frozen=True)
class AttributionParams:
    """How images are explained.

    Attributes:
        methods: which of `gradient`, `saliency`, `guided`, `deconv`, `input_x_gradient`, `smoothgrad` and
            `integrated`, in the order in which they are shown.
        samples: of SmoothGrad, noisy copies.
        sigma: of SmoothGrad, the noise's standard deviation as a share of an image's range of values.
        steps: of integrated gradients, points between black and the image.
        seed: of the noise, and of random weights.

    Raises:
        LurkError: there is no such method, or a figure makes no sense.
    """

    methods: tuple[str, ...] = (
        "gradient", "saliency", "guided", "deconv", "input_x_gradient", "smoothgrad", "integrated",
    )  # fmt: skip
    samples: int = 32
    sigma: float = 0.15
    steps: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            wrong = repr(unknown[0]) if unknown else repr(",".join(self.methods))
            raise LurkError(f"methods {wrong}: choose of {', '.join(METHODS)}, each once")
        if self.samples < 1 or self.steps < 1 or not self.sigma >= 0:
            raise LurkError(
                f"{self.samples} samples, sigma {self.sigma}, {self.steps} steps: samples and steps must "
                "be at least 1, sigma at least 0"
            )


@dataclass(frozen=True)
class Method:
    """A way to explain.

    Attributes:
        label: what a picture of it is called.
        drawn: how, a key of `drawing.WAYS`.
        compute: the attribution of one image, `(1, C, H, W)`, given the score, the image and a black one.
        fixed: what one should know of how it is computed.
        figures: which attributes of the recipe decide it.
    """

    label: str
    drawn: Literal["stretched", "signed", "gray"]
    compute: Callable[[ScoreFunction, Tensor, Tensor, AttributionParams], Attributed]
    fixed: Mapping[str, str]
    figures: tuple[str, ...] = ()

    def told(self, params: AttributionParams) -> dict[str, int | float | str]:
        """How it is computed by a recipe, as the record keeps it."""
        return {**self.fixed, **{name: getattr(params, name) for name in self.figures}}


def _gradient(score: ScoreFunction, x: Tensor, black: Tensor, params: AttributionParams) -> Attributed:  # noqa: ARG001
    return Attributed(_kept(methods.gradient(score, x)))


def _guided(score: ScoreFunction, x: Tensor, black: Tensor, params: AttributionParams) -> Attributed:  # noqa: ARG001
    return Attributed(_kept(methods.gradient(score, x, "guided")))


def _deconv(score: ScoreFunction, x: Tensor, black: Tensor, params: AttributionParams) -> Attributed:  # noqa: ARG001
    return Attributed(_kept(methods.gradient(score, x, "deconv")))


def _times_input(score: ScoreFunction, x: Tensor, black: Tensor, params: AttributionParams) -> Attributed:  # noqa: ARG001
    return Attributed(_kept(methods.input_times_gradient(score, x)))


def _smooth(score: ScoreFunction, x: Tensor, black: Tensor, params: AttributionParams) -> Attributed:  # noqa: ARG001
    # A generator an image, so that what is said of one does not depend on the others.
    generator = torch.Generator().manual_seed(params.seed)
    found = methods.smooth_gradient(score, x, samples=params.samples, sigma=params.sigma, generator=generator)
    return Attributed(_kept(found))


def _integrated(score: ScoreFunction, x: Tensor, black: Tensor, params: AttributionParams) -> Attributed:
    found = methods.integrated_gradients(score, x, black, steps=params.steps)
    sums = Completeness(float(found.totals), float(found.differences), float(found.errors))
    return Attributed(_kept(found.values), sums)


def _kept(values: Tensor) -> Tensor:
    return values[0].detach().float().cpu().contiguous()


METHODS: Final[Mapping[str, Method]] = {
    "gradient": Method("gradient", "stretched", _gradient, {"relu": "vanilla"}),
    "saliency": Method("saliency", "gray", _gradient, {"relu": "vanilla"}),
    "guided": Method("guided backprop", "signed", _guided, {"relu": "guided"}),
    "deconv": Method("deconvolution", "signed", _deconv, {"relu": "deconv"}),
    "input_x_gradient": Method("input x gradient", "gray", _times_input, {"relu": "vanilla"}),
    "smoothgrad": Method("SmoothGrad", "gray", _smooth, {"relu": "vanilla"}, ("samples", "sigma", "seed")),
    "integrated": Method(
        "integrated gradients", "gray", _integrated, {"baseline": "black", "rule": "midpoint"}, ("steps",)
    ),
}
"""All methods by the name that `--methods` takes."""
