"""The layers of a network that are watched, with what their units see and how they follow each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import fx, nn
from torch.nn.utils import parametrize

from torchlurk.graph import flow as fl
from torchlurk.graph import receptive_field as rf
from torchlurk.graph.channels import channels_after
from torchlurk.graph.flow import Shape, SpatialAxes
from torchlurk.graph.operations import after
from torchlurk.graph.receptive_field import Field
from torchlurk.graph.tracing import OperationTrace, is_data, trace_operations
from torchlurk.models.hooks import MapAxes, usual_axes

NAMED = 5
"""Layers that a message names at most."""

Wanted = Callable[[str, nn.Module], bool]


@dataclass(frozen=True)
class Layer:
    """A module whose output is watched.

    Attributes:
        name: its dotted name in the network.
        kind: its class, e.g. `Conv2d`.
        shape: `(C, H, W)` of its output for one image; `(C, 1, 1)` where it has no map.
        field: what its units see of the input.
        axes: which dimensions of its output are the images, the channels and the map.
        bases: of a subclass, the classes of `torch.nn` that it derives from.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    field: Field
    axes: MapAxes
    bases: tuple[str, ...] = ()

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
class SkippedLayer:
    """A layer that was wanted and cannot be scanned.

    Attributes:
        name: its dotted name.
        kind: its class.
        reason: why not, as the end of a sentence that begins with the name.
    """

    name: str
    kind: str
    reason: str


class Skipped(Protocol):
    """A `SkippedLayer`, or its record in a manifest."""

    @property
    def name(self) -> str:
        """Its dotted name."""

    @property
    def kind(self) -> str:
        """Its class."""

    @property
    def reason(self) -> str:
        """Why it cannot be scanned."""


def describe_skipped(skipped: Sequence[Skipped]) -> list[str]:
    """A line for each reason for which layers cannot be scanned, with the names of the first few."""
    reasons: dict[str, list[str]] = {}
    for one in skipped:
        reasons.setdefault(one.reason, []).append(f"{one.name} ({one.kind})")
    lines = []
    for reason, names in reasons.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        if len(names) == 1:
            lines.append(f"1 layer is not scanned: {names[0]} {reason}")
        else:
            lines.append(
                f"{len(names)} layers are not scanned, {', '.join(names[:NAMED])}{more}: each {reason}"
            )
    return lines


@dataclass(frozen=True)
class Graph:
    """Layers in execution order, and the edges between them.

    Attributes:
        layers: those that were wanted.
        edges: pairs of names.
        skipped: those that were wanted and cannot be scanned.
        recorded: whether this is the path of one input, where the path depends on the data.
        logits: the module that gives the network's output; `None` where none does.
    """

    layers: tuple[Layer, ...]
    edges: tuple[tuple[str, str], ...]
    skipped: tuple[SkippedLayer, ...] = ()
    recorded: bool = False
    logits: str | None = None

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)


def trace(model: nn.Module, shape: tuple[int, int, int], wanted: Wanted) -> Graph:
    """Follow the data through a network.

    Args:
        model: a network in evaluation mode.
        shape: `(C, H, W)` of its input.
        wanted: says of a dotted name and a module whether it is a layer to watch.

    Returns:
        The wanted layers in execution order; an edge joins two of them when data flows from one to the
        other without passing a third. A module that is called again is a layer where it is called first.

    Raises:
        LurkError: an input of that shape does not pass through the network.
    """
    return arrange(trace_operations(model, shape), model, shape, wanted)


def arrange(traced: OperationTrace, model: nn.Module, shape: tuple[int, int, int], wanted: Wanted) -> Graph:
    """The same of a network that has been followed already."""
    modules = dict(model.named_modules())
    asked = {name: module for name, module in modules.items() if name and wanted(name, module)}
    # A container and the last module in it share a node; what is inside comes first.
    at_node: dict[fx.Node, list[str]] = {}
    for name, node in traced.outputs.items():
        if name in asked:
            at_node.setdefault(node, []).append(name)
    for names in at_node.values():
        names.sort(key=lambda name: -name.count("."))
    flows = _flows(traced, shape)
    channels = _channels(traced, flows)
    upstream: dict[fx.Node, list[str]] = {}
    layers: dict[str, Layer] = {}
    skipped: dict[str, SkippedLayer] = {}
    edges: list[tuple[str, str]] = []
    for node in traced.nodes:
        if node not in flows:
            continue
        before = [source for source in node.all_input_nodes if source in flows]
        sources = list(dict.fromkeys(name for source in before for name in upstream[source]))
        for name in at_node.get(node, ()):
            layer = _layer(
                name, modules[name], _first_shape(node), flows[node], channels[node], recorded=traced.recorded
            )
            if isinstance(layer, SkippedLayer):
                skipped[name] = layer
            else:
                layers[name] = layer
                edges.extend((source, name) for source in sources)
                sources = [name]
        upstream[node] = sources
    for name, module in asked.items():
        if name not in layers and name not in skipped:
            reason = _why_unseen(name, modules, traced)
            if reason is not None:
                skipped[name] = SkippedLayer(name, kind_of(module), reason)
    return Graph(tuple(layers.values()), tuple(edges), tuple(skipped.values()), traced.recorded)


def merge(graphs: Sequence[Graph]) -> Graph:
    """The paths that several images take through one network, as one graph.

    A layer that only later images reach comes behind the layer that it follows on their path.
    """
    order: list[Layer] = list(graphs[0].layers)
    edges = dict.fromkeys(graphs[0].edges)
    for graph in graphs[1:]:
        at = 0
        for layer in graph.layers:
            known = [one.name for one in order]
            if layer.name in known:
                at = known.index(layer.name) + 1
            else:
                order.insert(at, layer)
                at += 1
        edges |= dict.fromkeys(graph.edges)
    found = {layer.name for layer in order}
    skipped = {one.name: one for graph in graphs for one in graph.skipped if one.name not in found}
    return Graph(tuple(order), tuple(edges), tuple(skipped.values()), any(g.recorded for g in graphs))


def kind_of(module: nn.Module) -> str:
    """The name of a module's class, without the class that a parametrisation puts over it."""
    return _classes(module)[0].__name__


def bases_of(module: nn.Module) -> tuple[str, ...]:
    """The names of the public classes that a module's class derives from, nearest first."""
    return tuple(name for kind in _classes(module)[1:] if not (name := kind.__name__).startswith("_"))


def _classes(module: nn.Module) -> list[type]:
    own = list(type(module).__mro__)
    if parametrize.is_parametrized(module) and type(module).__name__.startswith("Parametrized"):
        own = own[1:]
    return [kind for kind in own if kind not in (nn.Module, object)] or [nn.Module]


def _why_unseen(name: str, modules: dict[str, nn.Module], traced: OperationTrace) -> str | None:
    """Why no output of a module was seen; `None` of a container that is never called."""
    module = modules[name]
    if type(module).forward is nn.Module.forward:
        return None
    if name in traced.called:
        return "gives nothing that depends on the image"
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        around = modules[".".join(parts[:count])]
        if isinstance(around, nn.MultiheadAttention | nn.RNNBase):
            return f"is never called: the {type(around).__name__} that it is part of computes without it"
    tried = "the image that was tried" if traced.recorded else "the forward in evaluation mode"
    return f"is never called: {tried} does not reach it"


def _flows(traced: OperationTrace, shape: tuple[int, int, int]) -> dict[fx.Node, SpatialAxes]:
    """What the values see that depend on the input."""
    flows: dict[fx.Node, SpatialAxes] = {}
    for node in traced.nodes:
        inputs = node.all_input_nodes
        if node.op == "placeholder":
            # Other arguments of a forward have the values that it gives them by default.
            if not flows:
                flows[node] = SpatialAxes(rf.pixels(shape[1]), rf.pixels(shape[2]))
        elif is_data(node) and any(source in flows for source in inputs):
            target = node.meta.get("module", node.target)
            seen = [(flows[s], _shape(s)) for s in inputs if s in flows]
            fixed = [_shape(s) for s in inputs if s not in flows and is_data(s)]
            sized = not all(is_data(s) or s.op == "placeholder" for s in inputs)
            flows[node] = after(node, target, seen, fixed, sized=sized)
    return flows


def _channels(traced: OperationTrace, flows: Mapping[fx.Node, SpatialAxes]) -> dict[fx.Node, int | None]:
    """Where the channels of these values lie, as `channels.channels_after` has it."""
    found: dict[fx.Node, int | None] = {}
    for node in traced.nodes:
        if node not in flows:
            continue
        if node.op == "placeholder":
            found[node] = -3
        else:
            target = node.meta.get("module", node.target)
            inputs = [(found[s], _shape(s)) for s in node.all_input_nodes if s in found]
            found[node] = channels_after(node, target, inputs, _first_shape(node))
    return found


def _shape(node: fx.Node) -> Shape:
    return tuple(node.meta.get("shape", ()))


def _first_shape(node: fx.Node) -> Shape:
    """The shape of a node's value; of several tensors, that of the first."""
    parts: list[Shape] = node.meta.get("parts") or [()]
    return _shape(node) or parts[0]


def _layer(
    name: str, module: nn.Module, shape: Shape, flow: SpatialAxes, channels: int | None, *, recorded: bool
) -> Layer | SkippedLayer:
    """The layer of a module, or why it is none: its output is not to be read as feature maps."""
    axes = _axes(module, shape, flow, channels)
    if axes is None:
        # Without the dimension of the images, as an output of one image is that was squeezed.
        text = ", ".join(map(str, shape)) if len(shape) < 2 else ", ".join(["N", *map(str, shape[1:])])
        reason = f"gives the shape ({text}) for one image, whose dimensions are not those of feature maps: "
        return SkippedLayer(name, kind_of(module), f"{reason}(N, C, H, W), (N, T, C), (N, C, L) or (N, C)")
    _, count, height, width = axes.map(torch.empty(shape, device="meta")).shape
    if not count * height * width:
        return SkippedLayer(name, kind_of(module), "gives no numbers at this size of the input")
    places = tuple(dim - axes.dims for dim in axes.spatial)
    field = (flow if flow.at == places else fl.lost([flow])).field(height, width)
    if recorded:
        # On a cut the network might take another path.
        field = field.uncut
    return Layer(name, kind_of(module), (count, height, width), field, axes, bases_of(module))


def _axes(module: nn.Module, shape: Shape, flow: SpatialAxes, channels: int | None) -> MapAxes | None:
    """How to read an output as feature maps; `None` if its dimensions do not tell."""
    dims = len(shape)
    usual = usual_axes(module, dims)
    if usual is not None:
        return usual
    if isinstance(module, nn.modules.conv._ConvNd) or not 2 <= dims <= 4:
        return None
    if dims == 2:
        return MapAxes(2, 0, 1)
    if dims == 4 and flow.at is not None:
        channels = next((dim for dim in (-3, -2, -1) if dim not in flow.at), None)
    if channels is None:
        channels = -3 if dims == 4 else None
    if channels is None or channels == -dims:
        return None
    return MapAxes(dims, 0, dims + channels, tokens=dims == 3 and channels == -1)
