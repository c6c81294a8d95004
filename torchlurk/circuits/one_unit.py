"""What one unit is made of in one image, and where in the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchlurk.attribution.targets import LOGITS, LayerUnit, find_module, pick_unit
from torchlurk.circuits.cuts import Call, cut_forward, find_cuts
from torchlurk.errors import LurkError
from torchlurk.graph import Graph, prepare
from torchlurk.models.hooks import as_feature_map
from torchlurk.models.runner import Runner, activation, forward_until


@dataclass(frozen=True)
class ContributionMaps:
    """The contributions to one unit, position by position.

    Attributes:
        score: The activation of the unit.
        maps: By layer directly upstream, in execution order, `(C, H, W)`: the gradient of the unit with
            respect to each activation, times the activation.
    """

    score: float
    maps: dict[str, Tensor]


def convolutions_and_linear_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers that count as upstream by default."""
    named = model.named_modules()
    return [name for name, module in named if name and isinstance(module, nn.Conv2d | nn.Linear)]


@contextmanager
def prepared(
    model: nn.Module, x: Tensor, layer: str, patterns: Sequence[str] | None = None
) -> Iterator[tuple[Runner, Graph, str]]:
    """Prepare a network for the contributions to units of a layer.

    Args:
        model: The network, isolated.
        x: `(1, C, H, W)`, its input.
        layer: Name of the units' layer, or `logits` for the layer that gives the network's output.
        patterns: Patterns of the layers that count as upstream; by default all convolutions and linear
            layers.

    Yields:
        How the network is run, its graph, and the name of the layer.

    Raises:
        LurkError: There is no such layer, or it gives no feature maps of single images.
    """
    modules = dict(model.named_modules())
    if patterns is None:
        patterns = convolutions_and_linear_layers(model)
    if layer != LOGITS:
        find_module(model, layer)
    runner, graph = prepare(model, (x.shape[1], x.shape[2], x.shape[3]), (*patterns, layer), x.detach())
    for skipped in graph.skipped:
        if skipped.name == layer:
            raise LurkError(
                f"layer {skipped.name!r} ({skipped.kind}) {skipped.reason}", "name a unit of another layer"
            )
    is_alias = layer == LOGITS and graph.logits is not None and layer not in modules
    with runner.in_memory_format():
        yield runner, graph, (graph.logits or layer) if is_alias else layer


def strongest_unit(runner: Runner, unit: LayerUnit, x: Tensor) -> LayerUnit:
    """Return a unit with a position: its own, or that of its map's maximum.

    Args:
        runner: How to run the network, which is isolated.
        unit: The unit, or the filter.
        x: `(1, C, H, W)`, the input.

    Raises:
        LurkError: There is no such filter or position.
    """
    with runner.without_gradients():
        maps = activation(runner, unit.layer, x).detach()
    pick_unit(maps, unit, type(find_module(runner.model, unit.layer)).__name__)
    if unit.at is not None:
        return unit
    y, column = divmod(int(maps[0, unit.channel].flatten().argmax()), maps.shape[3])
    return LayerUnit(unit.layer, unit.channel, (y, column))


def contribution_maps(runner: Runner, graph: Graph, x: Tensor, unit: LayerUnit) -> ContributionMaps:
    """Compute the contributions to one unit, position by position.

    The sum over a map is the contribution of its filter, see `contributions.unit_contributions`. Of a layer
    that is called several times, the calls with maps of the first one's size are added.

    Args:
        runner: How to run the network, which is isolated.
        graph: Its layers.
        x: `(1, C, H, W)`, the input.
        unit: The unit, with a position.

    Raises:
        LurkError: The input does not pass through the layer.
    """
    axes = {layer.name: layer.axes for layer in graph.layers}
    found: list[ContributionMaps] = []

    def observe(call: Call) -> None:
        if call.layer != unit.layer or unit.at is None:
            return
        score = as_feature_map(call.module, call.output, axes[call.layer])[0, unit.channel][unit.at]
        leaves = [(name, leaf) for name, own in call.upstream.items() for leaf in own]
        maps: dict[str, Tensor] = {}
        if leaves:
            gradients = torch.autograd.grad(
                score, [leaf for _, leaf in leaves], retain_graph=True, allow_unused=True
            )
            for (name, leaf), gradient in zip(leaves, gradients, strict=True):
                if gradient is None:
                    continue
                product = as_feature_map(call.module, gradient * leaf.detach(), axes[name])[0]
                if name not in maps:
                    maps[name] = product
                elif maps[name].shape == product.shape:
                    maps[name] = maps[name] + product
        found.append(ContributionMaps(float(score.detach()), maps))

    with cut_forward(runner, graph.layers, find_cuts(runner, graph.layers, x).modules, observe):
        forward_until(runner, x, [unit.layer])
    if not found:
        raise LurkError(
            f"layer {unit.layer!r} exists, but this input does not pass through it", "name another layer"
        )
    return found[0]
