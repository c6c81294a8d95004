"""Gradient ascent: from noise to the image that excites a filter most, many filters in one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from torchlurk.ascent.diversity import DiversityPenalty, diversity_loss
from torchlurk.ascent.objectives import Objective
from torchlurk.ascent.parametrisation import colour_axes, decode_spectrum, frequency_scale, initial_spectrum
from torchlurk.ascent.transforms import Jitter, draw_jitter, jitter_images
from torchlurk.attribution.backward import LeakyRelu, no_history, require_history
from torchlurk.graph.receptive_field import Axis, Field
from torchlurk.models.preserve import preserve
from torchlurk.models.runner import ForwardError, Runnable, activation, activations, as_runner
from torchlurk.runtime.deprecation import former_names

LEAK = 0.1
"""The share of the gradient that passes a ReLU that is off, in the first steps."""


@dataclass(frozen=True)
class AscentParams:
    """How an image is made by gradient ascent.

    Attributes:
        steps: of the optimiser, Adam.
        rate: learning rate of Adam, in units of the spectrum's coefficients.
        jitter: random movement at each step.
        waking: steps at the start in which a share of the gradient passes ReLUs that are off.
        bfloat16: compute the steps in bfloat16; the final score is always float32's.

    Examples:
        >>> from torchlurk.ascent.optimise import AscentParams
        >>> quick = torchlurk.FeatureVisualizer(model, preprocess, params=AscentParams(steps=8, rate=0.1))
        >>> quick(8).size
        (32, 32)
    """

    steps: int = 64
    rate: float = 0.05
    jitter: Jitter = field(default_factory=Jitter)
    waking: int = 8
    bfloat16: bool = False


@dataclass(frozen=True)
class AscentResult:
    """What gradient ascent found for some filters.

    Attributes:
        images: `(N, C, H, W)` in [0, 1].
        scores: `(N,)` what the objective says of each image, unmoved, in float32.
    """

    images: Tensor
    scores: Tensor


def canvas_size(seen: Field, extent: tuple[int, int]) -> tuple[int, int]:
    """How large an image a layer needs.

    Three quarters of the receptive field hold nearly all of a unit's weight (Luo et al. 2016, "Understanding
    the effective receptive field"); some room beside it lets the pattern repeat. Never above the
    network's own input.
    """
    return _canvas_side(seen.rows, extent[0]), _canvas_side(seen.columns, extent[1])


def supported_canvas_size(
    model: Runnable, layer: str, seen: Field, extent: tuple[int, int], depth: int
) -> tuple[int, int]:
    """The same, where the network takes an image of that size; else, as of a transformer, its own input's.

    Args:
        model: the network, isolated.
        layer: dotted name.
        seen: what its units see.
        extent: `(H, W)` of the network's input.
        depth: C of it.
    """
    size = canvas_size(seen, extent)
    if size == extent:
        return extent
    runner = as_runner(model)
    like = next((p for p in runner.model.parameters() if p.is_floating_point()), torch.empty(0))
    try:
        with preserve(runner.model), runner.without_gradients():
            activation(model, layer, like.new_zeros(1, depth, *size))
    except (ForwardError, RuntimeError, ValueError):
        return extent
    return size


def _canvas_side(axis: Axis, extent: int) -> int:
    if axis.rule is None:
        return extent
    wanted = axis.rule.size * 3 / 4 + 16
    return min(extent, max(48, -(-int(wanted) // 16) * 16))


def filter_generator(seed: int, layer: str, channel: int, attempt: int = 0) -> torch.Generator:
    """The randomness of one filter's image: it depends on nothing but its name and the seed."""
    key = hashlib.sha256(f"{seed}/{layer}/{channel}/{attempt}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)


def ascend(
    model: Runnable,
    layer: str,
    channels: Sequence[int],
    size: tuple[int, int],
    normalise: Callable[[Tensor], Tensor],
    objective: Objective,
    params: AscentParams,
    generators: Sequence[torch.Generator],
    *,
    depth: int = 3,
    diversity: DiversityPenalty | None = None,
) -> AscentResult:
    """Find the images that excite some filters of a layer most (Erhan et al. 2009, Olah et al. 2017).

    Args:
        model: the network, isolated.
        layer: dotted name.
        channels: the filters, one an image.
        size: `(H, W)` of the images.
        normalise: from `(N, C, H, W)` in [0, 1] to what the network is fed.
        objective: what to maximise.
        params: how.
        generators: one a filter, on the CPU; what is found for a filter depends on its own alone.
        depth: C, the channels of an image.
        diversity: how to make the images, at least two, differ; `None` to optimise each independently.

    Returns:
        Images and scores, on the model's device.
    """
    runner = as_runner(model)
    device = next((p.device for p in runner.model.parameters()), torch.device("cpu"))
    own = list(generators)
    spectrum = initial_spectrum(own, depth, size).to(device).requires_grad_()
    draws = draw_jitter(own, params.steps).to(device)
    scale = frequency_scale(size).to(device)
    colours = colour_axes(depth, device)
    chosen = torch.tensor(list(channels), device=device)
    optimiser = torch.optim.Adam([spectrum], lr=params.rate)
    cast = torch.autocast(device.type, torch.bfloat16) if params.bfloat16 else nullcontext()
    for step in range(params.steps):
        optimiser.zero_grad()
        with torch.enable_grad():
            moved = jitter_images(decode_spectrum(spectrum, size, scale, colours), draws[step], params.jitter)
            x = normalise(moved)
            with cast, LeakyRelu(LEAK) if step < params.waking else nullcontext():
                if diversity is None:
                    maps, seen = activation(model, layer, x), None
                else:
                    maps, seen = activations(model, (layer, diversity.layer), x)
            scores = objective(maps.float(), chosen)
            loss = -scores.sum()
            if diversity is not None and seen is not None:
                loss = loss + diversity_loss(scores, seen, diversity.weight)
        require_history(loss)
        (spectrum.grad,) = torch.autograd.grad(loss, [spectrum], allow_unused=True)
        if spectrum.grad is None:
            raise no_history()
        optimiser.step()
    with runner.without_gradients():
        images = decode_spectrum(spectrum, size, scale, colours).detach()
        scores = objective(activation(model, layer, normalise(images)), chosen).detach()
    return AscentResult(images, scores)


__getattr__ = former_names(globals(), Recipe="AscentParams", Found="AscentResult")
