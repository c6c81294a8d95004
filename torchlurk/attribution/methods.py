"""What in an image a target depends on: the gradient, and what is made of it.

Each function takes a `ScoreFunction`, which says what a target's value on some inputs is, and gives an
attribution of the shape of its input. Images of a batch do not mix. None of them touches the network.
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
"""`(N, C, H, W)`, as the network is fed, to `(N,)`; each value depends on its own image alone."""

AT_ONCE = 8
"""So many noisy copies, or steps, run through the network together, which is faster by far."""


def gradient(score: ScoreFunction, x: Tensor, rule: ReluRule = "vanilla") -> Tensor:
    """The gradient of a score with respect to the input (Simonyan et al. 2013, arXiv:1312.6034).

    Args:
        score: the target.
        x: `(N, C, H, W)`.
        rule: what ReLUs let back; `guided` makes it guided backprop (Springenberg et al. 2014,
            arXiv:1412.6806), `deconv` deconvolution (Zeiler and Fergus 2013, arXiv:1311.2901).

    Returns:
        `(N, C, H, W)`.

    Raises:
        LurkError: nothing flows back from the score.
    """
    with torch.inference_mode(False), torch.enable_grad(), relu_rule(rule):
        leaf = x.detach().clone().requires_grad_()
        # A copy, for the network may begin by working in place, which a leaf does not bear.
        values = score(leaf.clone())
        (found,) = input_gradients(values.sum(), [leaf])
    return found


def input_times_gradient(score: ScoreFunction, x: Tensor) -> Tensor:
    """The gradient times the input, elementwise (Shrikumar et al. 2016, arXiv:1605.01713).

    In a network of ReLUs without biases it sums to the score.
    """
    return gradient(score, x) * x


def smooth_gradient(
    score: ScoreFunction, x: Tensor, *, samples: int, sigma: float, generator: torch.Generator
) -> Tensor:
    """SmoothGrad: the mean of the gradients of noisy copies (Smilkov et al. 2017, arXiv:1706.03825).

    Args:
        score: the target.
        x: `(N, C, H, W)`.
        samples: how many copies.
        sigma: standard deviation of the noise, as a share of each image's range (its highest value less
            its lowest).
        generator: of the noise, on the CPU; all images of a batch get the same.

    Returns:
        `(N, C, H, W)`.
    """
    spread = sigma * (x.amax(dim=(1, 2, 3), keepdim=True) - x.amin(dim=(1, 2, 3), keepdim=True))

    def noisy() -> Tensor:
        # Drawn on the CPU, so that it is the same on every device.
        return x + spread * torch.randn((1, *x.shape[1:]), generator=generator).to(x)

    return _mean_gradient(score, [noisy] * samples)


def _mean_gradient(score: ScoreFunction, points: Sequence[Callable[[], Tensor]]) -> Tensor:
    """The mean of the gradients at some inputs, `(N, C, H, W)` each, `AT_ONCE` of which run together."""
    total: Tensor | None = None
    for start in range(0, len(points), AT_ONCE):
        batch = [point() for point in points[start : start + AT_ONCE]]
        found = torch.unflatten(gradient(score, torch.cat(batch)), 0, (len(batch), -1)).sum(0)
        total = found if total is None else total + found
    if total is None:
        raise ValueError("there is no mean of nothing")
    return total / len(points)


@dataclass(frozen=True)
class Integrated:
    """Integrated gradients, and whether they add up.

    Attributes:
        values: `(N, C, H, W)`.
        totals: `(N,)` float64, their sum for each image.
        differences: `(N,)` float64, what they should sum to: the score on the image less that on the
            baseline.
    """

    values: Tensor
    totals: Tensor
    differences: Tensor

    @property
    def errors(self) -> Tensor:
        """`(N,)` how far the sums are from the differences; it falls with the number of steps."""
        return (self.totals - self.differences).abs()


def integrated_gradients(score: ScoreFunction, x: Tensor, baseline: Tensor, *, steps: int) -> Integrated:
    """Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365).

    The gradients along the straight line from the baseline to the image, averaged by the midpoint rule,
    times the difference of the two.

    Args:
        score: the target.
        x: `(N, C, H, W)`.
        baseline: an input that shows nothing; broadcast to the shape of `x`.
        steps: points on the line.
    """
    difference = x - baseline
    points = [partial(torch.add, baseline, difference, alpha=(step + 0.5) / steps) for step in range(steps)]
    values = difference * _mean_gradient(score, points)
    with torch.no_grad():
        ends = score(x.clone()).double() - score(baseline.expand_as(x).clone()).double()
    return Integrated(values, values.double().sum(dim=(1, 2, 3)), ends)
