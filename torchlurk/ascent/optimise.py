"""Gradient ascent: from noise to the image that excites a filter most, many filters in one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

_LEAK = 0.1
"""The share of the gradient that passes an inactive ReLU in the first steps."""


@dataclass(frozen=True)
class AscentParams:
    """Parameters of gradient ascent.

    Attributes:
        steps: Steps of the optimiser, Adam.
        rate: Its learning rate, in units of the spectrum's coefficients.
        jitter: Random movement at each step.
        waking: Number of first steps in which a share of the gradient passes inactive ReLUs.
        bfloat16: Whether to compute the steps in bfloat16; final scores are always computed in float32.

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
    """The images of some filters.

    Attributes:
        images: `(N, C, H, W)` in [0, 1].
        scores: `(N,)` float32, the objective of each image without jitter.
    """

    images: Tensor
    scores: Tensor


def canvas_size(field: Field, input_size: tuple[int, int]) -> tuple[int, int]:
    """Return the size of the images of a layer, at most that of the network's input.

    Three quarters of the receptive field contain nearly all of a unit's weight (Luo et al. 2016,
    "Understanding the effective receptive field"). A margin lets the pattern repeat.

    Args:
        field: The receptive fields of the layer.
        input_size: `(H, W)` of the network's input.
    """
    return _canvas_side(field.rows, input_size[0]), _canvas_side(field.columns, input_size[1])


def supported_canvas_size(
    model: Runnable, layer: str, field: Field, input_size: tuple[int, int], depth: int
) -> tuple[int, int]:
    """Return `canvas_size` if the network accepts images of that size, as a transformer does not.

    Otherwise return the size of the network's input.

    Args:
        model: The network, isolated.
        layer: Dotted name.
        field: The receptive fields of the layer.
        input_size: `(H, W)` of the network's input.
        depth: C of the network's input.
    """
    size = canvas_size(field, input_size)
    if size == input_size:
        return input_size
    runner = as_runner(model)
    like = next((p for p in runner.model.parameters() if p.is_floating_point()), torch.empty(0))
    try:
        with preserve(runner.model), runner.without_gradients():
            activation(model, layer, like.new_zeros(1, depth, *size))
    except (ForwardError, RuntimeError, ValueError):
        return input_size
    return size


def _canvas_side(axis: Axis, extent: int) -> int:
    if axis.rule is None:
        return extent
    side = axis.rule.size * 3 / 4 + 16
    return min(extent, max(48, -(-int(side) // 16) * 16))


def filter_generator(seed: int, layer: str, channel: int, attempt: int = 0) -> torch.Generator:
    """Return the random generator of a filter's image, which depends on these arguments alone."""
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
    """Optimise images that excite filters of a layer (Erhan et al. 2009, Olah et al. 2017).

    Args:
        model: The network, isolated.
        layer: Dotted name.
        channels: The filter of each image.
        size: `(H, W)` of the images.
        normalise: From `(N, C, H, W)` in [0, 1] to the network's input.
        objective: The function to maximise.
        params: Steps, learning rate and jitter.
        generators: A generator for each filter, on the CPU; the image of a filter depends on its own alone.
        depth: C, the channels of an image.
        diversity: How to make the images, at least two, differ; `None` to optimise each independently.

    Returns:
        Images and scores, on the model's device.

    Raises:
        LurkError: The layer has no gradient with respect to the input.
    """
    runner = as_runner(model)
    device = next((p.device for p in runner.model.parameters()), torch.device("cpu"))
    spectrum = initial_spectrum(list(generators), depth, size).to(device).requires_grad_()
    draws = draw_jitter(list(generators), params.steps).to(device)
    scale = frequency_scale(size).to(device)
    colours = colour_axes(depth, device)
    own_channels = torch.tensor(list(channels), device=device)
    optimiser = torch.optim.Adam([spectrum], lr=params.rate)
    cast = torch.autocast(device.type, torch.bfloat16) if params.bfloat16 else nullcontext()
    for step in range(params.steps):
        optimiser.zero_grad()
        with torch.enable_grad():
            images = decode_spectrum(spectrum, size, scale, colours)
            x = normalise(jitter_images(images, draws[step], params.jitter))
            with cast, LeakyRelu(_LEAK) if step < params.waking else nullcontext():
                if diversity is None:
                    maps, compared = activation(model, layer, x), None
                else:
                    maps, compared = activations(model, (layer, diversity.layer), x)
            scores = objective(maps.float(), own_channels)
            loss = -scores.sum()
            if diversity is not None and compared is not None:
                loss = loss + diversity_loss(scores, compared, diversity.weight)
        require_history(loss)
        (spectrum.grad,) = torch.autograd.grad(loss, [spectrum], allow_unused=True)
        if spectrum.grad is None:
            raise no_history()
        optimiser.step()
    with runner.without_gradients():
        images = decode_spectrum(spectrum, size, scale, colours).detach()
        scores = objective(activation(model, layer, normalise(images)), own_channels).detach()
    return AscentResult(images, scores)


if not TYPE_CHECKING:  # with this function, type checkers would accept any name
    __getattr__ = former_names(globals(), Recipe="AscentParams", Found="AscentResult")
