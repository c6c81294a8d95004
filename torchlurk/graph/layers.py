"""The layers of a network that are watched, with what their units see and how they follow each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import fx, nn

from torchlurk import receptive_field as rf
from torchlurk.graph import flow as fl
from torchlurk.graph.flow import Flow, Shape
from torchlurk.graph.operations import after
from torchlurk.graph.tracing import Traced, follow, is_data
from torchlurk.hooks import as_map, filters_last
from torchlurk.receptive_field import Field

Wanted = Callable[[str, nn.Module], bool]


@dataclass(frozen=True)
class Layer:
    """A module whose output is watched.

    Attributes:
        name: its dotted name in the network.
        kind: its class, e.g. `Conv2d`.
        shape: `(C, H, W)` of its output for one image; `(C, 1, 1)` where it has no map.
        field: what its units see of the input.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    field: Field

    @property
    def flat(self) -> bool:
        """Whether it gives one number a filter, and not a map."""
        return self.shape[1:] == (1, 1)

    @property
    def sees_all(self) -> bool:
        """Whether all of its units see the same, which is all of the input but for what strides leave out."""
        return all(
            axis.first.min() == axis.first.max() and axis.stop.min() == axis.stop.max()
            for axis in (self.field.rows, self.field.columns)
        )


@dataclass(frozen=True)
class Graph:
    """Layers in execution order, and the edges between them.

    Attributes:
        layers: those that were wanted.
        edges: pairs of names.
        recorded: whether this is the path of one input, where the path depends on the data.
        logits: the module that gives the network's output; `None` where none does.
    """

    layers: tuple[Layer, ...]
    edges: tuple[tuple[str, str], ...]
    recorded: bool = False
    logits: str | None = None

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)


def trace(model: nn.Module, shape: tuple[int, int, int], wanted: Wanted) -> Graph:
    """Follow the data through a network.

    Args:
        model: a network at rest.
        shape: `(C, H, W)` of its input.
        wanted: says of a dotted name and a module whether it is a layer to watch.

    Returns:
        The wanted layers in execution order; an edge joins two of them when data flows from one to the
        other without passing a third. A module that is called again is a layer where it is called first.

    Raises:
        LurkError: an input of that shape does not pass through the network.
    """
    return arrange(follow(model, shape), model, shape, wanted)


def arrange(traced: Traced, model: nn.Module, shape: tuple[int, int, int], wanted: Wanted) -> Graph:
    """The same of a network that has been followed already."""
    modules = dict(model.named_modules())
    # A container and the last module in it share a node; what is inside comes first.
    at_node: dict[fx.Node, list[str]] = {}
    for name, node in traced.outputs.items():
        if name and wanted(name, modules[name]):
            at_node.setdefault(node, []).append(name)
    for names in at_node.values():
        names.sort(key=lambda name: -name.count("."))
    flows = _flows(traced, shape)
    upstream: dict[fx.Node, list[str]] = {}
    layers: dict[str, Layer] = {}
    edges: list[tuple[str, str]] = []
    for node in traced.nodes:
        if node not in flows:
            continue
        before = [source for source in node.all_input_nodes if source in flows]
        sources = list(dict.fromkeys(name for source in before for name in upstream[source]))
        for name in at_node.get(node, ()):
            layer = _layer(name, modules[name], _shape(node), flows[node], recorded=traced.recorded)
            if layer is not None:
                layers[name] = layer
                edges.extend((source, name) for source in sources)
                sources = [name]
        upstream[node] = sources
    return Graph(tuple(layers.values()), tuple(edges), traced.recorded)


def _flows(traced: Traced, shape: tuple[int, int, int]) -> dict[fx.Node, Flow]:
    """What the values see that depend on the input."""
    flows: dict[fx.Node, Flow] = {}
    for node in traced.nodes:
        inputs = node.all_input_nodes
        if node.op == "placeholder":
            flows[node] = Flow(rf.pixels(shape[1]), rf.pixels(shape[2]))
        elif is_data(node) and any(source in flows for source in inputs):
            target = node.meta.get("module", node.target)
            seen = [(flows[s], _shape(s)) for s in inputs if s in flows]
            fixed = [_shape(s) for s in inputs if s not in flows and is_data(s)]
            sized = not all(is_data(s) for s in inputs)
            flows[node] = after(node, target, seen, fixed, sized=sized)
    return flows


def _shape(node: fx.Node) -> Shape:
    return tuple(node.meta.get("shape", ()))


def _layer(name: str, module: nn.Module, shape: Shape, flow: Flow, *, recorded: bool) -> Layer | None:
    """The layer of a module, if what it gives are numbers of filters."""
    if len(shape) not in (2, 3, 4):
        return None
    like = as_map(module, torch.empty(shape, device="meta"))
    _, channels, height, width = like.shape
    if not channels * height * width:
        return None
    usual = (-3, -2) if filters_last(module) else (-2, -1)
    kept = flow if flow.at == usual and len(shape) == 4 else fl.lost([flow])
    field = kept.field(height, width)
    if recorded:
        # On a cut the network might take another path.
        field = Field(rf.uncut(field.rows), rf.uncut(field.columns))
    return Layer(name, type(module).__name__, (channels, height, width), field)
