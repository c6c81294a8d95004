"""Gradients of units and of feature maps with respect to the input, many at once.

The gradient of a unit needs only the part of the input that the unit sees. So the input is cut there, and
cuts of equal size, of any filters and images, run through the network together. `receptive_field.Axis.cut`
says why the values are those of the whole image. The gradient of a map's mean needs the whole image, but one
forward serves all filters of that image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from torchlurk.attribution.backward import input_gradients, relu_rule, vector_jacobian_products
from torchlurk.attribution.needed import Needed, NeededConvolutions, needed_by
from torchlurk.attribution.relu_rules import ReluRule
from torchlurk.attribution.unit_cuts import Cut, Unit, blocks_of_cuts
from torchlurk.graph.receptive_field import Field
from torchlurk.models.runner import ForwardError, Runnable, activation, activations, as_runner
from torchlurk.runtime.devices import is_out_of_memory, prefers_equal_sizes
from torchlurk.runtime.transfer import copy_to_device

_BATCH_PIXELS = 16 * 224 * 224
"""Pixels of input in one forward, by default."""


@dataclass(frozen=True)
class UnitGradient:
    """The gradient of a unit.

    Attributes:
        index: Which of the requested units.
        score: Its activation, recomputed from the cut alone; one number on the network's device.
        left: The first column of the cut, in pixels of the input.
        top: The first row of the cut.
        gradient: `(C, h, w)`; it is zero outside the cut.
    """

    index: int
    score: Tensor
    left: int
    top: int
    gradient: Tensor


def unit_gradients(
    model: Runnable,
    layer: str,
    field: Field,
    images: Sequence[Tensor],
    units: Sequence[Unit],
    rule: ReluRule,
    *,
    batch_pixels: int = _BATCH_PIXELS,
    bfloat16: bool = False,
) -> Iterator[UnitGradient]:
    """Compute the gradient of each unit's activation with respect to the input.

    Args:
        model: The network, isolated.
        layer: Dotted name of the units' layer.
        field: Receptive fields of the layer.
        images: Preprocessed images, each `(C, H, W)`, on the network's device.
        units: The units.
        rule: How ReLUs pass the gradient back.
        batch_pixels: Pixels of input in one forward, which bounds memory.
        bfloat16: Whether the backward pass of convolutions is computed in bfloat16. Scores are not.

    Yields:
        One gradient per unit, in no particular order.
    """
    for block in blocks_of_cuts(units, field, batch_pixels, images):
        x = _cut_images(images, units, block)
        try:
            needed = _needed(x, field, units, block)
            targets = [(units[c.index], c) for c in block]
            scores, gradients = _backward(model, layer, x, targets, rule, needed, bfloat16=bfloat16)
        except (ForwardError, RuntimeError, ValueError) as problem:
            if is_out_of_memory(problem) or field.needs_whole_input:
                raise
            # A parallel branch may not accept an input as small as the cut: give it the whole image.
            members = [units[c.index] for c in block]
            for result in unit_gradients(
                model, layer, field.uncuttable, images, members, rule,
                batch_pixels=batch_pixels, bfloat16=bfloat16,
            ):  # fmt: skip
                yield replace(result, index=block[result.index].index)
            continue
        for cut, score, gradient in zip(block, scores, gradients, strict=True):
            yield UnitGradient(cut.index, score, cut.left, cut.top, gradient)


def unit_scores(
    model: Runnable,
    layer: str,
    field: Field,
    images: Sequence[Tensor],
    units: Sequence[Unit],
    *,
    batch_pixels: int = _BATCH_PIXELS,
) -> list[float]:
    """Compute the activation of each unit from its cut alone.

    Units of several filters at one position of one image share a forward. The arguments are those of
    `unit_gradients`.

    Returns:
        One activation per unit, in order.
    """
    by_position: dict[tuple[int, int, int], list[int]] = {}
    for index, unit in enumerate(units):
        by_position.setdefault((unit.image, unit.y, unit.x), []).append(index)
    members = list(by_position.values())
    first_units = [units[indices[0]] for indices in members]
    scores = [0.0] * len(units)
    for block in blocks_of_cuts(first_units, field, batch_pixels, images):
        try:
            x = _cut_images(images, first_units, block)
            needed = _needed(x, field, first_units, block)
            with as_runner(model).without_gradients(), NeededConvolutions(needed):
                maps = activation(model, layer, x)
        except (ForwardError, RuntimeError, ValueError) as problem:
            if is_out_of_memory(problem) or field.needs_whole_input:
                raise
            indices = [index for cut in block for index in members[cut.index]]
            again = [units[index] for index in indices]
            whole = unit_scores(model, layer, field.uncuttable, images, again, batch_pixels=batch_pixels)
            for index, score in zip(indices, whole, strict=True):
                scores[index] = score
            continue
        for row, cut in enumerate(block):
            indices = members[cut.index]
            values = maps[row, [units[index].channel for index in indices], cut.y, cut.x].tolist()
            for index, score in zip(indices, values, strict=True):
                scores[index] = score
    return scores


def _cut_images(images: Sequence[Tensor], units: Sequence[Unit], block: Sequence[Cut]) -> Tensor:
    return torch.stack([images[units[c.index].image][:, c.top : c.bottom, c.left : c.right] for c in block])


def _needed(x: Tensor, field: Field, units: Sequence[Unit], block: Sequence[Cut]) -> Needed | None:
    """Return what the units of a block need of their cuts `(N, C, h, w)`, if parts are faster."""
    if prefers_equal_sizes(x.device):
        return None
    targets = [(units[cut.index], cut) for cut in block]
    return needed_by(x, field, [((unit.y, unit.x), (cut.top, cut.left)) for unit, cut in targets])


def _backward(
    model: Runnable,
    layer: str,
    x: Tensor,
    targets: Sequence[tuple[Unit, Cut]],
    rule: ReluRule,
    needed: Needed | None,
    *,
    bfloat16: bool,
) -> tuple[Tensor, Tensor]:
    """Return the activations `(N,)` of units and their gradients `(N, C, h, w)` with respect to the cuts."""
    x.requires_grad_()
    scores, gradient = _forward_backward(
        model, layer, x, targets, rule, NeededConvolutions(needed, bfloat16=bfloat16)
    )
    if needed is not None and not gradient.isfinite().all():
        # The zeros outside the needed part may have been divided by.
        return _forward_backward(model, layer, x, targets, rule, nullcontext())
    return scores, gradient


def _forward_backward(
    model: Runnable,
    layer: str,
    x: Tensor,
    targets: Sequence[tuple[Unit, Cut]],
    rule: ReluRule,
    convolutions: AbstractContextManager[object],
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad(), relu_rule(rule):
        with convolutions:
            maps = activation(model, layer, x)
        rows = torch.arange(len(targets), device=x.device)
        channel, y, column = (
            copy_to_device(torch.tensor(values), x.device)
            for values in zip(*((unit.channel, cut.y, cut.x) for unit, cut in targets), strict=True)
        )
        scores = maps[rows, channel, y, column]
        (gradient,) = input_gradients(scores.sum(), [x])
    return scores.detach(), gradient


def place_in_input(result: UnitGradient, size: tuple[int, int]) -> Tensor:
    """Return a unit's gradient over the whole input: `(C, H, W)` of that `(H, W)`, zero outside its cut."""
    channels, height, width = result.gradient.shape
    whole = result.gradient.new_zeros(channels, *size)
    whole[:, result.top : result.top + height, result.left : result.left + width] = result.gradient
    return whole


def map_gradients(
    model: Runnable,
    layer: str,
    image: Tensor,
    channels: Sequence[int],
    rule: ReluRule,
    *,
    bfloat16: bool = False,
) -> Iterator[Tensor]:
    """Compute the gradients of the means of feature maps of one image, which share a forward pass.

    Args:
        model: The network, isolated.
        layer: Dotted name.
        image: `(C, H, W)`, preprocessed.
        channels: The filters.
        rule: How ReLUs pass the gradient back.
        bfloat16: Whether the backward pass of convolutions is computed in bfloat16.

    Yields:
        `(C, H, W)` for each channel, in order.
    """
    maps = [[(layer, channel) for channel in channels]]
    for gradient in gradients_of_maps(model, image[None], maps, rule, bfloat16=bfloat16):
        yield gradient[0]


def gradients_of_maps(
    model: Runnable,
    images: Tensor,
    maps: Sequence[Sequence[tuple[str, int]]],
    rule: ReluRule,
    *,
    bfloat16: bool = False,
) -> Iterator[Tensor]:
    """Compute the gradients of the means of feature maps of several images, in one forward pass.

    A backward pass gives the gradient of one map of each image.

    Args:
        model: The network, isolated.
        images: `(N, C, H, W)`, preprocessed.
        maps: For each image layers, as dotted names, and filters; no list is longer than the one before it.
        rule: How ReLUs pass the gradient back.
        bfloat16: Whether the backward pass of convolutions is computed in bfloat16.

    Yields:
        For each position in the lists, `(M, C, H, W)`, the gradients of the M images whose list reaches it.
    """
    layers = list(dict.fromkeys(layer for of_image in maps for layer, _ in of_image))
    x = images.clone().requires_grad_()
    with torch.enable_grad(), relu_rule(rule), NeededConvolutions(None, bfloat16=bfloat16):
        found = dict(zip(layers, activations(model, layers, x), strict=True))
    count = max(map(len, maps), default=0)
    for position in range(count):
        chosen: dict[str, list[tuple[int, int]]] = {}
        rows = [(row, *of_image[position]) for row, of_image in enumerate(maps) if len(of_image) > position]
        for row, layer, channel in rows:
            chosen.setdefault(layer, []).append((row, channel))
        outputs = [found[layer] for layer in chosen]
        weights = [_weights_of_means(found[layer], of_layer) for layer, of_layer in chosen.items()]
        with torch.enable_grad(), relu_rule(rule):
            (gradient,) = vector_jacobian_products(outputs, weights, [x], retain_graph=position < count - 1)
        yield gradient[: len(rows)]


def _weights_of_means(values: Tensor, chosen: Sequence[tuple[int, int]]) -> Tensor:
    """Return the weights of values `(N, C, H, W)` in the sum of the means of some maps, by row and channel.

    To start from them is faster than to select each map in the graph: the backward pass of each selection
    would fill a tensor of this size.
    """
    weights = torch.zeros(values.shape, dtype=values.dtype, device=values.device)
    rows, channels = copy_to_device(torch.tensor(chosen), values.device).unbind(1)
    # A number of Python would be copied to the device, which would be waited for.
    weights[rows, channels] = weights.new_full((), 1 / math.prod(values.shape[2:]))
    return weights
