"""Attribution methods: the gradient, and what is computed from it.

Each function takes a `ScoreFunction` that computes the value of a target, and returns an attribution of the
shape of its input. The images of a batch are independent. No method accesses the network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from torchlurk.attribution.backward import input_gradients, relu_rule
from torchlurk.attribution.relu_rules import ReluRule

ScoreFunction = Callable[[Tensor], Tensor]
"""Takes preprocessed images `(N, C, H, W)`; returns `(N,)`, each value computed from its own image alone."""

_BATCH_SIZE = 8
"""Noisy copies, or steps, in one forward."""


def gradient(score: ScoreFunction, x: Tensor, rule: ReluRule = "vanilla") -> Tensor:
    """Compute the gradient of a score with respect to the input (Simonyan et al. 2013, arXiv:1312.6034).

    Args:
        score: The target.
        x: `(N, C, H, W)`.
        rule: How ReLUs pass the gradient back; `guided` makes it guided backprop (Springenberg et al. 2014,
            arXiv:1412.6806), `deconv` deconvolution (Zeiler and Fergus 2013, arXiv:1311.2901).

    Returns:
        `(N, C, H, W)`.

    Raises:
        LurkError: The score has no gradient.
    """
    with torch.inference_mode(False), torch.enable_grad(), relu_rule(rule):
        leaf = x.detach().clone().requires_grad_()
        # A copy, since the first operation of the network may be in place, which a leaf does not allow.
        values = score(leaf.clone())
        (result,) = input_gradients(values.sum(), [leaf])
    return result


def input_times_gradient(score: ScoreFunction, x: Tensor) -> Tensor:
    """Compute the elementwise product of input and gradient (Shrikumar et al. 2016, arXiv:1605.01713).

    In a network of ReLUs without biases it sums to the score.

    Args:
        score: The target.
        x: `(N, C, H, W)`.

    Returns:
        `(N, C, H, W)`.
    """
    return gradient(score, x) * x


def smooth_gradient(
    score: ScoreFunction, x: Tensor, *, samples: int, sigma: float, generator: torch.Generator
) -> Tensor:
    """Compute SmoothGrad, the mean gradient of noisy copies (Smilkov et al. 2017, arXiv:1706.03825).

    Args:
        score: The target.
        x: `(N, C, H, W)`.
        samples: Number of copies.
        sigma: Standard deviation of the noise, as a share of each image's range (its highest value minus its
            lowest).
        generator: Generator of the noise, on the CPU; all images of a batch get the same noise.

    Returns:
        `(N, C, H, W)`.
    """
    spread = sigma * (x.amax(dim=(1, 2, 3), keepdim=True) - x.amin(dim=(1, 2, 3), keepdim=True))

    def noisy() -> Tensor:
        # Drawn on the CPU, so that it is the same on every device.
        return x + spread * torch.randn((1, *x.shape[1:]), generator=generator).to(x)

    return _mean_gradient(score, [noisy] * samples)


def _mean_gradient(score: ScoreFunction, inputs: Sequence[Callable[[], Tensor]]) -> Tensor:
    """Compute the mean gradient over several inputs, each a function that returns `(N, C, H, W)`."""
    total: Tensor | None = None
    for start in range(0, len(inputs), _BATCH_SIZE):
        batch = [make() for make in inputs[start : start + _BATCH_SIZE]]
        summed = torch.unflatten(gradient(score, torch.cat(batch)), 0, (len(batch), -1)).sum(0)
        total = summed if total is None else total + summed
    if total is None:
        raise ValueError("the mean of no gradients is undefined")
    return total / len(inputs)


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated gradients, and a check of their completeness.

    Attributes:
        values: `(N, C, H, W)`.
        totals: `(N,)` float64, the sum of the values of each image.
        differences: `(N,)` float64, what the sum should be: the score of the image minus that of the
            baseline.
    """

    values: Tensor
    totals: Tensor
    differences: Tensor

    @property
    def errors(self) -> Tensor:
        """`(N,)` distances between the sums and the differences; they decrease with the number of steps."""
        return (self.totals - self.differences).abs()


def integrated_gradients(
    score: ScoreFunction, x: Tensor, baseline: Tensor, *, steps: int
) -> IntegratedGradients:
    """Compute integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365).

    The gradients along the straight line from the baseline to the image are averaged by the midpoint rule,
    and multiplied by the difference between image and baseline.

    Args:
        score: The target.
        x: `(N, C, H, W)`.
        baseline: An input without content, broadcast to the shape of `x`.
        steps: Number of points on the line.
    """
    difference = x - baseline
    points = [partial(torch.add, baseline, difference, alpha=(step + 0.5) / steps) for step in range(steps)]
    values = difference * _mean_gradient(score, points)
    with torch.no_grad():
        ends = score(x.clone()).double() - score(baseline.expand_as(x).clone()).double()
    return IntegratedGradients(values, values.double().sum(dim=(1, 2, 3)), ends)
