"""Gradient ascent: from noise to the image that excites a filter most, many filters in one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from torchlurk.ascent.diversity import DiversityPenalty, diversity_loss
from torchlurk.ascent.objectives import Objective
from torchlurk.ascent.parametrisation import (
    colour_axes,
    decode_spectrum,
    frequency_scale,
    grow_spectrum,
    initial_spectrum,
)
from torchlurk.ascent.transforms import Jitter, draw_jitter, jitter_images
from torchlurk.attribution.backward import LeakyRelu, no_history, require_history
from torchlurk.graph.receptive_field import Axis, Field
from torchlurk.models.preserve import preserve
from torchlurk.models.runner import ForwardError, Runnable, Runner, activation, activations, as_runner
from torchlurk.runtime.deprecation import former_names
from torchlurk.runtime.transfer import copy_to_device

_FIRST_SHARE = 5 / 8
"""The sides of the first image of an ascent, as a share of those of the last."""

_LEAK = 0.1
"""The share of the gradient that passes an inactive ReLU in the first steps."""


@dataclass(frozen=True)
class AscentParams:
    """Parameters of gradient ascent.

    Attributes:
        steps: Steps of the optimiser, Adam, for an image that keeps its size.
        rate: Its learning rate, in units of the spectrum's coefficients.
        jitter: Random movement at each step.
        waking: Number of first steps in which a share of the gradient passes inactive ReLUs.
        bfloat16: Whether to compute the steps in bfloat16; final scores are always computed in float32.
        resolutions: Number of sizes of the image. The first steps optimise a small image, which is then
            repeated to fill a larger one. Half of the steps then suffice, and each size takes about the same
            time. 1 to keep the size, as an objective needs that refers to positions.

    Examples:
        >>> from torchlurk.ascent.optimise import AscentParams
        >>> quick = torchlurk.FeatureVisualizer(model, preprocess, params=AscentParams(steps=8, rate=0.1))
        >>> quick(8).size
        (32, 32)
    """

    steps: int = 42
    rate: float = 0.05
    jitter: Jitter = field(default_factory=Jitter)
    waking: int = 8
    bfloat16: bool = False
    resolutions: int = 3


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

    Half of a large receptive field contains nearly all of a unit's weight (Luo et al. 2016,
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
    return size if size == input_size or _accepts(model, layer, size, depth) else input_size


def _accepts(model: Runnable, layer: str, size: tuple[int, int], depth: int) -> bool:
    """Return whether the network accepts images of a size, as far as a layer."""
    runner = as_runner(model)
    like = next((p for p in runner.model.parameters() if p.is_floating_point()), torch.empty(0))
    try:
        with preserve(runner.model), runner.without_gradients():
            activation(model, layer, like.new_zeros(1, depth, *size))
    except (ForwardError, RuntimeError, ValueError):
        return False
    return True


def size_schedule(size: tuple[int, int], steps: int, resolutions: int) -> list[tuple[tuple[int, int], int]]:
    """Return the sizes of an image during an ascent, ascending, each with its number of steps.

    The first size is five eighths of the last, but no side is shorter than 48 px.

    Args:
        size: `(H, W)` of the final image.
        steps: Steps for an image that keeps its size; one of several sizes takes half of them.
        resolutions: Number of sizes; small images have fewer.
    """
    shares = [_FIRST_SHARE + (1 - _FIRST_SHARE) * i / (resolutions - 1) for i in range(resolutions - 1)]
    smaller = [(_shrink(size[0], share), _shrink(size[1], share)) for share in shares]
    sizes = [*dict.fromkeys(one for one in smaller if one != size), size]
    if len(sizes) > 1:
        steps = (steps + 1) // 2
    # The time of a step is proportional to the area.
    weights = [1 / (height * width) for height, width in sizes]
    ends = [round(steps * sum(weights[: i + 1]) / sum(weights)) for i in range(len(sizes))]
    counts = [end - start for start, end in pairwise([0, *ends])]
    return [(one, count) for one, count in zip(sizes, counts, strict=True) if count or one == size]


def _shrink(side: int, share: float) -> int:
    """Return a share of a side as a multiple of 16, the stride of deep layers, and at least 48."""
    return min(side, max(48, round(side * share / 16) * 16))


def _canvas_side(axis: Axis, extent: int) -> int:
    if axis.rule is None:
        return extent
    side = axis.rule.size / 2 + 24
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
    schedule = size_schedule(size, params.steps, params.resolutions)
    if not all(_accepts(model, layer, smaller, depth) for smaller, _ in schedule[:-1]):
        schedule = [(size, params.steps)]
    spectrum = copy_to_device(initial_spectrum(list(generators), depth, schedule[0][0]), device)
    draws = copy_to_device(draw_jitter(list(generators), params.steps), device)
    colours = colour_axes(depth, device)
    own_channels = copy_to_device(torch.tensor(list(channels)), device)
    done, before = 0, schedule[0][0]
    for current, steps in schedule:
        spectrum = _optimise(
            runner,
            layer,
            grow_spectrum(spectrum, before, current) if current != before else spectrum,
            current,
            lambda images, step: normalise(jitter_images(images, draws[step], params.jitter)),
            lambda maps: objective(maps, own_channels),
            params,
            range(done, done + steps),
            colours,
            diversity,
        )
        done, before = done + steps, current
    with runner.without_gradients():
        images = decode_spectrum(spectrum, size, copy_to_device(frequency_scale(size), device), colours)
        scores = objective(activation(model, layer, normalise(images)), own_channels).detach()
    return AscentResult(images, scores)


def _optimise(
    runner: Runner,
    layer: str,
    spectrum: Tensor,
    size: tuple[int, int],
    network_input: Callable[[Tensor, int], Tensor],
    score: Callable[[Tensor], Tensor],
    params: AscentParams,
    steps: range,
    colours: Tensor | None,
    diversity: DiversityPenalty | None,
) -> Tensor:
    """Take steps of the optimiser at one size, and return the spectra after them.

    Args:
        runner: How to run the network.
        layer: Dotted name.
        spectrum: The spectra before the first step.
        size: `(H, W)` of the images.
        network_input: From images and the number of a step to the network's input.
        score: From feature maps to the scores of the images.
        params: Learning rate, precision and first steps.
        steps: Numbers of the steps.
        colours: See `decode_spectrum`.
        diversity: How to make the images differ.
    """
    spectrum = spectrum.clone().requires_grad_()
    scale = copy_to_device(frequency_scale(size), spectrum.device)
    optimiser = torch.optim.Adam([spectrum], lr=params.rate)
    cast = torch.autocast(spectrum.device.type, torch.bfloat16) if params.bfloat16 else nullcontext()
    for step in steps:
        with torch.enable_grad():
            x = network_input(decode_spectrum(spectrum, size, scale, colours), step)
            with cast, LeakyRelu(_LEAK) if step < params.waking else nullcontext():
                if diversity is None:
                    maps, compared = activation(runner, layer, x), None
                else:
                    maps, compared = activations(runner, (layer, diversity.layer), x)
            scores = score(maps.float())
            loss = -scores.sum()
            if diversity is not None and compared is not None:
                loss = loss + diversity_loss(scores, compared, diversity.weight)
        require_history(loss)
        (spectrum.grad,) = torch.autograd.grad(loss, [spectrum], allow_unused=True)
        if spectrum.grad is None:
            raise no_history()
        optimiser.step()
    return spectrum.detach()


if not TYPE_CHECKING:  # with this function, type checkers would accept any name
    __getattr__ = former_names(globals(), Recipe="AscentParams", Found="AscentResult")
