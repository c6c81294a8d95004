"""The gradients of units and of feature maps with respect to the input, many at once.

The gradient of one unit needs only the input that the unit sees. So the input is cut there, and cuts of
equal size, of whatever filters and images, run through the network together; see
`receptive_field.Axis.cut` for why the numbers are those of the whole image. The gradient of a map's mean
needs the whole image, but one forward serves all filters that ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from torchlurk.attribution.backward import input_gradients, relu_rule
from torchlurk.attribution.relu_rules import ReluRule
from torchlurk.graph.receptive_field import Field
from torchlurk.models.runner import ForwardError, Runnable, activation, as_runner


@dataclass(frozen=True)
class Unit:
    """One unit of one layer on one image.

    Attributes:
        image: which of the images, an index.
        channel: its filter.
        y: its row in the feature map.
        x: its column.
    """

    image: int
    channel: int
    y: int
    x: int


@dataclass(frozen=True)
class UnitGradient:
    """What came back from a unit.

    Attributes:
        index: which of the units asked for.
        score: its activation, computed again from the cut alone.
        left: where in the input the cut begins, pixels.
        top: likewise.
        gradient: `(C, h, w)`; it is zero outside the cut.
    """

    index: int
    score: float
    left: int
    top: int
    gradient: Tensor


@dataclass(frozen=True)
class _Cut:
    index: int
    top: int
    bottom: int
    left: int
    right: int
    y: int
    x: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left


def _cut(index: int, unit: Unit, field: Field) -> _Cut:
    top, bottom, y = field.rows.cut(unit.y)
    left, right, x = field.columns.cut(unit.x)
    return _Cut(index, top, bottom, left, right, y, x)


def unit_gradients(
    model: Runnable,
    layer: str,
    field: Field,
    images: Sequence[Tensor],
    units: Sequence[Unit],
    rule: ReluRule,
    *,
    batch_pixels: int = 16 * 224 * 224,
) -> Iterator[UnitGradient]:
    """The gradient of each unit's activation with respect to the input.

    Args:
        model: the network, isolated.
        layer: dotted name of the units' layer.
        field: what the layer's units see.
        images: each `(C, H, W)`, as the network is fed, on its device.
        units: whose gradients are wanted.
        rule: what ReLUs let back.
        batch_pixels: how many pixels of input run through the network together, which bounds memory.

    Yields:
        One gradient a unit, in no particular order.
    """
    for block in _blocks(units, field, batch_pixels):
        x = _inputs(images, units, block)
        try:
            scores, gradients = _backward(model, layer, x, [(units[c.index], c) for c in block], rule)
        except (ForwardError, RuntimeError, ValueError) as problem:
            if isinstance(problem, torch.OutOfMemoryError) or field.needs_whole_input:
                raise
            # A branch beside the unit's own may not take so small an input: give it all of it.
            chosen = [units[c.index] for c in block]
            for found in unit_gradients(
                model, layer, field.uncuttable, images, chosen, rule, batch_pixels=batch_pixels
            ):
                yield replace(found, index=block[found.index].index)
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
    batch_pixels: int = 16 * 224 * 224,
) -> list[float]:
    """The activation of each unit, computed again from its cut alone; no gradient.

    Arguments are those of `unit_gradients`. Units of several filters at one place of one image share a
    forward.
    """
    at_place: dict[tuple[int, int, int], list[int]] = {}
    for index, unit in enumerate(units):
        at_place.setdefault((unit.image, unit.y, unit.x), []).append(index)
    places = [units[indices[0]] for indices in at_place.values()]
    members = list(at_place.values())
    scores = [0.0] * len(units)
    for block in _blocks(places, field, batch_pixels):
        try:
            with as_runner(model).without_gradients():
                maps = activation(model, layer, _inputs(images, places, block))
        except (ForwardError, RuntimeError, ValueError) as problem:
            if isinstance(problem, torch.OutOfMemoryError) or field.needs_whole_input:
                raise
            chosen = [units[index] for cut in block for index in members[cut.index]]
            again = unit_scores(model, layer, field.uncuttable, images, chosen, batch_pixels=batch_pixels)
            for index, score in zip((i for cut in block for i in members[cut.index]), again, strict=True):
                scores[index] = score
            continue
        for row, cut in enumerate(block):
            own = members[cut.index]
            found = maps[row, [units[index].channel for index in own], cut.y, cut.x].tolist()
            for index, score in zip(own, found, strict=True):
                scores[index] = score
    return scores


def _blocks(units: Sequence[Unit], field: Field, batch_pixels: int) -> Iterator[list[_Cut]]:
    """The units' cuts, so many of one size at a time as hold so many pixels."""
    cuts = sorted(
        (_cut(index, unit, field) for index, unit in enumerate(units)),
        key=lambda cut: (cut.shape, cut.index),
    )
    for (height, width), group in groupby(cuts, key=lambda cut: cut.shape):
        same = list(group)
        at_once = max(1, batch_pixels // (height * width))
        for start in range(0, len(same), at_once):
            yield same[start : start + at_once]


def _inputs(images: Sequence[Tensor], units: Sequence[Unit], block: Sequence[_Cut]) -> Tensor:
    cut = [images[units[c.index].image][:, c.top : c.bottom, c.left : c.right] for c in block]
    return torch.stack(cut)


def _backward(
    model: Runnable, layer: str, x: Tensor, targets: Sequence[tuple[Unit, _Cut]], rule: ReluRule
) -> tuple[list[float], Tensor]:
    x = x.requires_grad_()
    with torch.enable_grad(), relu_rule(rule):
        maps = activation(model, layer, x)
        rows = torch.arange(len(targets), device=x.device)
        channel, y, column = (
            torch.tensor(values, device=x.device)
            for values in zip(*((unit.channel, cut.y, cut.x) for unit, cut in targets), strict=True)
        )
        scores = maps[rows, channel, y, column]
        (gradient,) = input_gradients(scores.sum(), [x])
    return scores.detach().tolist(), gradient


def place_in_input(found: UnitGradient, size: tuple[int, int]) -> Tensor:
    """A unit's gradient in the whole input: `(C, H, W)` of the given `(H, W)`, zero outside its cut."""
    channels, height, width = found.gradient.shape
    whole = found.gradient.new_zeros(channels, *size)
    whole[:, found.top : found.top + height, found.left : found.left + width] = found.gradient
    return whole


def map_gradients(
    model: Runnable, layer: str, image: Tensor, channels: Sequence[int], rule: ReluRule
) -> Iterator[Tensor]:
    """The gradient of the mean of whole feature maps of one image.

    Args:
        model: the network, isolated.
        layer: dotted name.
        image: `(C, H, W)`, as the network is fed.
        channels: whose maps.
        rule: what ReLUs let back.

    Yields:
        `(C, H, W)` for each channel, in order; one forward serves them all.
    """
    x = image[None].clone().requires_grad_()
    with torch.enable_grad(), relu_rule(rule):
        maps = activation(model, layer, x)
    for position, channel in enumerate(channels):
        last = position == len(channels) - 1
        with torch.enable_grad(), relu_rule(rule):
            (gradient,) = input_gradients(maps[0, channel].mean(), [x], retain_graph=not last)
        yield gradient[0]
