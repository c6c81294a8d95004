"""How much each filter of the layers directly upstream contributes to the activation of a unit.

Every layer's output is cut off, so that only the edges between neighbouring layers count. The contribution of
filter p of layer P to a unit with score s is the sum over positions of ds/dv times v, where v is the map of
p. The score is the sum of all contributions and a rest, which holds biases and, in networks that are not
piecewise linear, curvature (input times gradient, Shrikumar et al. 2016, arXiv:1605.01713).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torchlurk.circuits.autograd_graph import is_channelwise
from torchlurk.circuits.cuts import Call, Cuts, cut_forward, find_cuts
from torchlurk.circuits.unit_kernels import UnitKernels, unit_kernels
from torchlurk.circuits.units import Units
from torchlurk.errors import LurkError
from torchlurk.graph import Layer
from torchlurk.models.hooks import MapAxes, Observer, as_feature_map
from torchlurk.models.runner import Runner, capture_outputs, forward_until

__all__ = ["Contributions", "Units", "strongest_units", "unit_contributions"]

_NUMBERS_AT_ONCE = 2**22
"""Numbers of an input that are multiplied with kernels at once, which bounds memory."""


@dataclass(frozen=True)
class Contributions:
    """The contributions to units of one layer.

    Attributes:
        upstream: The layers directly upstream, in execution order; `()` if there are none.
        channels: How many filters each has.
        values: `(U, sum(channels))`, the contributions to each unit, the upstream layers side by side; in
            float32, or in float64 for a network in float64.
        scores: `(U,)`, the activations of the units.
        repeated: Whether the layer or one upstream is called more than once. Of the layer, the first call
            counts; the contributions of all calls of a layer upstream are summed.
    """

    upstream: tuple[str, ...]
    channels: tuple[int, ...]
    values: Tensor
    scores: Tensor
    repeated: bool


def unit_contributions(
    runner: Runner,
    layers: Sequence[Layer],
    x: Tensor,
    units: Mapping[str, Units],
    *,
    cuts: Cuts | None = None,
) -> dict[str, Contributions]:
    """Compute the contributions of the filters directly upstream to units of a batch.

    Args:
        runner: How to run the network, which is isolated.
        layers: All scanned layers, in execution order.
        x: `(N, C, H, W)`, its input.
        units: By layer.
        cuts: Where the network is cut; by default `find_cuts` decides it in one more forward of one image.

    Returns:
        By layer, in the order of `units`.

    Raises:
        LurkError: The network has no such layer, or an image with units does not reach it.
    """
    names = {layer.name for layer in layers}
    units = {name: own.to(x.device) for name, own in units.items()}
    for name in units:
        if name not in names:
            raise LurkError(f"layer {name!r} is not among the scanned layers", "name one of them")
    if not units:
        return {}
    cuts = cuts or find_cuts(runner, layers, x)
    forwards = []
    for images, batch in _batches(runner, x):
        own = {name: found.of_images(images) for name, found in units.items()}
        forwards.append(_forward(runner, layers, cuts, batch.detach(), own))
    order = [layer.name for layer in layers]
    merged = {}
    for name, found in units.items():
        parts = [forward[name] for forward in forwards if name in forward]
        merged[name] = _merged(name, parts, len(found), order, cuts.repeated)
    return merged


def strongest_units(runner: Runner, layers: Sequence[Layer], x: Tensor) -> dict[str, Units]:
    """Return the strongest unit of each filter in each image of a batch.

    Args:
        runner: How to run the network, which is isolated.
        layers: The layers.
        x: `(N, C, H, W)`, its input.

    Returns:
        By layer, images first; of equal activations the first in reading order. An image that does not reach
        a layer has no unit of it.
    """
    names = [layer.name for layer in layers]
    forwards = [_strongest(runner, names, batch, images.start) for images, batch in _batches(runner, x)]
    none = torch.zeros(0, dtype=torch.int64, device=x.device)
    found = {name: [units[name].index for units in forwards if name in units] for name in names}
    return {
        name: Units(*(torch.cat([none, *values]) for values in zip(*indices, strict=True)))
        if indices
        else Units(none, none, none, none)
        for name, indices in found.items()
    }


def _batches(runner: Runner, x: Tensor) -> Iterator[tuple[range, Tensor]]:
    """Yield the batches that run in one forward, and the numbers of their images."""
    size = 1 if runner.one_by_one else max(len(x), 1)
    for start in range(0, len(x), size):
        stop = min(start + size, len(x))
        yield range(start, stop), x[start:stop]


def _strongest(runner: Runner, names: Sequence[str], batch: Tensor, first: int) -> dict[str, Units]:
    """Return the strongest units in one forward, with images numbered from `first`."""
    found: dict[str, Units] = {}

    def observer(name: str) -> Observer:
        def observe(maps: Tensor) -> None:
            if name in found:
                return
            count, channels, _, width = maps.shape
            positions = maps.detach().flatten(2).argmax(dim=2).flatten()
            images = torch.arange(first, first + count, device=maps.device).repeat_interleave(channels)
            filters = torch.arange(channels, device=maps.device).repeat(count)
            found[name] = Units(images, filters, positions // width, positions % width)

        return observe

    with runner.without_gradients(), capture_outputs(runner, {name: observer(name) for name in names}):
        forward_until(runner, batch, names)
    return found


@dataclass(frozen=True)
class _Part:
    """The contributions to the units of a layer in one forward.

    Attributes:
        which: `(M,)` which of the layer's units these are.
        scores: `(M,)` their activations.
        values: By upstream layer `(M, C)`.
    """

    which: Tensor
    scores: Tensor
    values: dict[str, Tensor]


def _forward(
    runner: Runner,
    layers: Sequence[Layer],
    cuts: Cuts,
    batch: Tensor,
    units: Mapping[str, tuple[Tensor, Units]],
) -> dict[str, _Part]:
    """Return the contributions to units in one forward, by layer.

    Raises:
        LurkError: The forward does not reach a layer with units.
    """
    axes = {layer.name: layer.axes for layer in layers}
    found: dict[str, _Part] = {}

    def observe(call: Call) -> None:
        if call.layer in units:
            found[call.layer] = _part(call, axes, *units[call.layer])

    with cut_forward(runner, layers, cuts.modules, observe):
        forward_until(runner, batch, units)
    for name, (which, _) in units.items():
        if len(which) and name not in found:
            raise LurkError(
                f"layer {name!r} exists, but this input does not pass through it", "name another layer"
            )
    return found


def _part(call: Call, axes: Mapping[str, MapAxes], which: Tensor, units: Units) -> _Part:
    maps = as_feature_map(call.module, call.output, axes[call.layer]).detach()
    kernels = unit_kernels(call, axes[call.layer])
    dtype = torch.promote_types(maps.dtype, torch.float32)
    values = {
        name: maps.new_zeros(len(units), leaves[0].shape[axes[name].channels], dtype=dtype)
        for name, leaves in call.upstream.items()
    }
    leaves = [(name, leaf) for name, own in call.upstream.items() for leaf in own]
    if kernels.products and len(leaves) == 1 and _is_direct(kernels, *leaves[0], axes):
        _add_products(kernels, units, values[leaves[0][0]])
    elif leaves:
        _add_gradients(kernels, units, leaves, axes, values)
    return _Part(which, maps[units.index].to(dtype), values)


def _is_direct(kernels: UnitKernels, name: str, leaf: Tensor, axes: Mapping[str, MapAxes]) -> bool:
    """Return whether the input of a kernel is, channel by channel, what one leaf contributes to it."""
    return is_channelwise(kernels.source, leaf, axes[name], kernels.contracted)


def _add_products(kernels: UnitKernels, units: Units, values: Tensor) -> None:
    """Add the contributions of one layer that reaches the units channel by channel: kernel times input."""
    assert kernels.products is not None
    at_once = max(1, _NUMBERS_AT_ONCE // kernels.numbers)
    for start in range(0, len(units), at_once):
        part = slice(start, start + at_once)
        products = kernels.products(units.part(part))
        # A linear layer reads several positions of each channel.
        values[part] += torch.unflatten(products, 1, (values.shape[1], -1)).sum(2)


def _add_gradients(
    kernels: UnitKernels,
    units: Units,
    leaves: Sequence[tuple[str, Tensor]],
    axes: Mapping[str, MapAxes],
    values: Mapping[str, Tensor],
) -> None:
    """Add the contributions of any layers, by a backward pass from the kernels to the leaves."""
    # One tensor for all products of a size: with a new one each time, most time goes into its memory.
    products = {(leaf.shape, leaf.dtype): torch.empty_like(leaf.detach()) for _, leaf in leaves}
    for chosen in units.rounds():
        some = units.part(chosen)
        gradients = torch.autograd.grad(
            kernels.source,
            [leaf for _, leaf in leaves],
            kernels.gradient(some),
            retain_graph=True,
            allow_unused=True,
        )
        for (name, leaf), gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                product = torch.mul(gradient, leaf.detach(), out=products[leaf.shape, leaf.dtype])
                values[name][chosen] += _sums(product, axes[name])[some.images]


def _sums(values: Tensor, axes: MapAxes) -> Tensor:
    """Return `(N, C)`, the sums over all positions of an output with these axes."""
    if axes.spatial:
        values = values.sum(axes.spatial)
    return values if axes.batch < axes.channels else values.t()


def _merged(
    name: str, parts: Sequence[_Part], count: int, order: Sequence[str], repeated: frozenset[str]
) -> Contributions:
    """Return the contributions to the units of a layer in all forwards, which may take different paths."""
    widths = {source: values.shape[1] for part in parts for source, values in part.values.items()}
    upstream = tuple(source for source in order if source in widths)
    channels = tuple(widths[source] for source in upstream)
    if not parts:
        return Contributions((), (), torch.zeros(count, 0), torch.zeros(count), name in repeated)
    values = parts[0].scores.new_zeros(count, sum(channels))
    scores = parts[0].scores.new_zeros(count)
    for part in parts:
        scores[part.which] = part.scores
        first = 0
        for source, width in zip(upstream, channels, strict=True):
            if source in part.values:
                values[part.which, first : first + width] = part.values[source]
            first += width
    return Contributions(upstream, channels, values, scores, bool(repeated & {name, *upstream}))
