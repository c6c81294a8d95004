"""The kernels of a convolution as the layers directly upstream meet them.

Between a layer upstream and the convolution there may be a BatchNorm, a pooling, a concatenation or a
shuffle of channels. Which channel of the convolution's input an upstream filter reaches, and by which factor,
is found by probing the linearised network between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torchlurk.circuits.cuts import Call, Cuts, cut_forward, find_cuts
from torchlurk.circuits.linearise import Linearised
from torchlurk.circuits.unit_kernels import find_convolution
from torchlurk.errors import LurkError
from torchlurk.graph import Layer
from torchlurk.models.hooks import MapAxes
from torchlurk.models.runner import Runner, forward_until

_TOLERANCE = 1e-3
"""Relative difference from a connection channel by channel that rounding explains."""


@dataclass(frozen=True)
class ConnectionKernels:
    """The kernels of one layer.

    Attributes:
        upstream: The layers directly upstream, in execution order.
        kernels: For each of them `(C, C_upstream, kh, kw)` float32, times the factor of a BatchNorm between,
            and zero between groups; `None` if no convolution connects the two channel by channel.
    """

    upstream: tuple[str, ...]
    kernels: tuple[Tensor | None, ...]


def network_kernels(
    runner: Runner, layers: Sequence[Layer], names: Sequence[str], x: Tensor, *, cuts: Cuts | None = None
) -> dict[str, ConnectionKernels]:
    """Return the kernels of layers as seen from each layer directly upstream, in two forwards for all.

    Args:
        runner: How to run the network, which is isolated.
        layers: All scanned layers, in execution order.
        names: The layers of the kernels.
        x: `(1, C, H, W)`, any input.
        cuts: Where the network is cut; by default `find_cuts` decides it.
    """
    for name in names:
        if all(name != layer.name for layer in layers):
            raise LurkError(f"layer {name!r} is not among the scanned layers", "name one of them")
    cuts = cuts or find_cuts(runner, layers, x)
    first = x[:1].detach()
    # What differs for another input is no property of the network, such as the gate of a squeeze-excitation.
    draw = torch.Generator().manual_seed(0)
    other = torch.randn(first.shape, generator=draw).to(first) * first.std().nan_to_num().clamp(min=0.1)
    found = [_connections(runner, layers, names, image, cuts) for image in (first, other)]
    for name in names:
        if name not in found[0]:
            raise LurkError(
                f"layer {name!r} is not among the scanned layers that this input reaches",
                "name another layer",
            )
    return {name: _kernels(found[0][name], found[1].get(name)) for name in names}


@dataclass(frozen=True)
class _ChannelMap:
    """Which channel of an input each upstream filter reaches, and by which factor; both `(C_upstream,)`."""

    channels: Tensor
    factors: Tensor

    def agrees(self, other: _ChannelMap | None) -> bool:
        """Return whether another input gives the same connection, up to rounding."""
        if other is None or not bool((self.channels == other.channels).all()):
            return False
        return _close(other.factors, self.factors, self.factors.abs().max())


@dataclass(frozen=True)
class _Connection:
    """The connections of a layer for one input.

    Attributes:
        weight: `(C, C', kh, kw)` of the convolution; `None` if the layer is none.
        maps: By upstream layer; `None` where filters are not connected channel by channel.
    """

    weight: Tensor | None
    maps: Mapping[str, _ChannelMap | None]


def _kernels(connection: _Connection, other: _Connection | None) -> ConnectionKernels:
    kernels: list[Tensor | None] = []
    for name, found in connection.maps.items():
        agrees = found is not None and found.agrees(other.maps.get(name) if other else None)
        if connection.weight is None or found is None or not agrees:
            kernels.append(None)
        else:
            kernels.append((connection.weight[:, found.channels] * found.factors[:, None, None]).float())
    return ConnectionKernels(tuple(connection.maps), tuple(kernels))


def _connections(
    runner: Runner, layers: Sequence[Layer], names: Sequence[str], x: Tensor, cuts: Cuts
) -> dict[str, _Connection]:
    """Return the connections of layers in a forward of the linearised network."""
    axes = {layer.name: layer.axes for layer in layers}
    found: dict[str, _Connection] = {}

    def observe(call: Call) -> None:
        if call.layer in names:
            convolution = find_convolution(call)
            if convolution is None:
                found[call.layer] = _Connection(None, dict.fromkeys(call.upstream))
            else:
                weight = convolution.dense_weight()
                found[call.layer] = _Connection(weight, _channel_maps(convolution.x, call.upstream, axes))

    with cut_forward(runner, layers, cuts.modules, observe), Linearised():
        forward_until(runner, x, names)
    return found


def _channel_maps(
    x: Tensor, upstream: Mapping[str, Sequence[Tensor]], axes: Mapping[str, MapAxes]
) -> dict[str, _ChannelMap | None]:
    """Return how filters are connected with the channels of an input `(1, C, H, W)` at its central position.

    If a filter reaches one channel, the gradient of a weighted sum of channels with respect to it is its
    factor times the weight of this channel. Weights of one, numbers that tell channels apart, and random
    weights give the factor, the channel, and whether it is so.
    """
    count, height, width = x.shape[1:]
    draw = torch.Generator().manual_seed(0)
    weights = torch.stack(
        [torch.ones(count), torch.arange(count) + 1.0, torch.rand(count, generator=draw) + 0.5]
    )
    weights = weights.to(x)
    leaves = [(name, leaf) for name, own in upstream.items() for leaf in own]
    sums = {name: x.new_zeros(3, own[0].shape[axes[name].channels]) for name, own in upstream.items()}
    magnitudes = {name: torch.zeros_like(own[0]) for name, own in sums.items()}
    for number, weight in enumerate(weights):
        seed = torch.zeros_like(x, requires_grad=False)
        seed[:, :, height // 2, width // 2] = weight
        gradients = torch.autograd.grad(
            x, [leaf for _, leaf in leaves], seed, retain_graph=True, allow_unused=True
        )
        for (name, _), gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                by_channel = gradient.movedim(axes[name].channels, 0).flatten(1)
                sums[name][number] += by_channel.sum(1)
                magnitudes[name] += by_channel.abs().sum(1) if number == 0 else 0
    return {name: _channel_map(sums[name], magnitudes[name], weights[2]) for name in upstream}


def _channel_map(sums: Tensor, magnitudes: Tensor, weights: Tensor) -> _ChannelMap | None:
    """Return the connection that the probes of `_channel_maps` show; `None` if it is not by channel."""
    factors, numbered, random = sums
    connected = factors != 0
    numbers = (numbered / factors.where(connected, 1)).where(connected, 1) - 1
    channels = numbers.round().nan_to_num().clamp(0, len(weights) - 1).long()
    is_one = [
        # A convolution between that is no layer gives positions of both signs.
        _close(factors.abs(), magnitudes, magnitudes),
        _close(numbered, factors * (channels + 1), magnitudes * len(weights) / 10),
        _close(random, factors * weights[channels], magnitudes),
    ]
    return _ChannelMap(channels, factors) if all(is_one) else None


def _close(values: Tensor, expected: Tensor, scale: Tensor) -> bool:
    return bool(((values - expected).abs() <= _TOLERANCE * scale).all())
