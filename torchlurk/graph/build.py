"""From a trace of a network's operations to the graph of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import fx, nn

from torchlurk.graph.channels import channels_after
from torchlurk.graph.layers import Graph, Layer, LayerPredicate, SkippedLayer, bases_of, kind_of
from torchlurk.graph.operation_trace import OperationTrace, is_data
from torchlurk.graph.operations import axes_after
from torchlurk.graph.receptive_field import input_axis
from torchlurk.graph.spatial_axes import Shape, SpatialAxes, collapse
from torchlurk.graph.tracing import trace_operations
from torchlurk.models.hooks import MapAxes, axes_by_type


def trace(model: nn.Module, shape: tuple[int, int, int], is_selected: LayerPredicate) -> Graph:
    """Trace a network and return the graph of its selected layers.

    Args:
        model: A network in eval mode.
        shape: `(C, H, W)` of its input.
        is_selected: Takes a dotted name and a module, and returns whether it is a layer of the graph.

    Returns:
        The selected layers in execution order. An edge joins two of them if data flows from one to the other
        without passing a third. A module that is called several times is a layer at its first call.

    Raises:
        LurkError: An input of that shape does not pass through the network.
    """
    return build_graph(trace_operations(model, shape), model, shape, is_selected)


def build_graph(
    traced: OperationTrace, model: nn.Module, shape: tuple[int, int, int], is_selected: LayerPredicate
) -> Graph:
    """Return the graph of the selected layers of a network that is traced already; see `trace`."""
    modules = dict(model.named_modules())
    selected = {name: module for name, module in modules.items() if name and is_selected(name, module)}
    spatial = _spatial_axes(traced, shape)
    channels = _channel_dims(traced, spatial)
    layers_at = _layers_by_node(traced, selected)
    upstream: dict[fx.Node, list[str]] = {}
    layers: dict[str, Layer] = {}
    skipped: dict[str, SkippedLayer] = {}
    edges: list[tuple[str, str]] = []
    for node in traced.nodes:
        if node not in spatial:
            continue
        inputs = [source for source in node.all_input_nodes if source in spatial]
        sources = list(dict.fromkeys(name for source in inputs for name in upstream[source]))
        for name in layers_at.get(node, ()):
            layer = _make_layer(
                name,
                modules[name],
                _first_shape(node),
                spatial[node],
                channels[node],
                recorded=traced.recorded,
            )
            if isinstance(layer, SkippedLayer):
                skipped[name] = layer
            else:
                layers[name] = layer
                edges.extend((source, name) for source in sources)
                sources = [name]
        upstream[node] = sources
    for name, module in selected.items():
        if name not in layers and name not in skipped:
            reason = _why_without_output(name, modules, traced)
            if reason is not None:
                skipped[name] = SkippedLayer(name, kind_of(module), reason)
    return Graph(tuple(layers.values()), tuple(edges), tuple(skipped.values()), traced.recorded)


def merge_paths(graphs: Sequence[Graph]) -> Graph:
    """Merge the graphs of the paths that several images take through one network.

    A layer that only later images reach is inserted behind the layer that it follows on their path.
    """
    order: list[Layer] = list(graphs[0].layers)
    edges = dict.fromkeys(graphs[0].edges)
    for graph in graphs[1:]:
        position = 0
        for layer in graph.layers:
            names = [ordered.name for ordered in order]
            if layer.name in names:
                position = names.index(layer.name) + 1
            else:
                order.insert(position, layer)
                position += 1
        edges |= dict.fromkeys(graph.edges)
    scanned = {layer.name for layer in order}
    skipped = {layer.name: layer for graph in graphs for layer in graph.skipped if layer.name not in scanned}
    return Graph(tuple(order), tuple(edges), tuple(skipped.values()), any(g.recorded for g in graphs))


def _layers_by_node(traced: OperationTrace, selected: Mapping[str, nn.Module]) -> dict[fx.Node, list[str]]:
    """Return the selected modules of each node; a container follows the last module in it."""
    layers: dict[fx.Node, list[str]] = {}
    for name, node in traced.outputs.items():
        if name in selected:
            layers.setdefault(node, []).append(name)
    for names in layers.values():
        names.sort(key=lambda name: -name.count("."))
    return layers


def _why_without_output(name: str, modules: dict[str, nn.Module], traced: OperationTrace) -> str | None:
    """Return why a module has no traced output; `None` for a container that is never called."""
    module = modules[name]
    if type(module).forward is nn.Module.forward:
        return None
    if name in traced.called:
        return "gives nothing that depends on the image"
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        parent = modules[".".join(parts[:count])]
        if isinstance(parent, nn.MultiheadAttention | nn.RNNBase):
            return f"is never called: the {type(parent).__name__} that it is part of computes without it"
    tried = "the image that was tried" if traced.recorded else "the forward in evaluation mode"
    return f"is never called: {tried} does not reach it"


def _spatial_axes(traced: OperationTrace, shape: tuple[int, int, int]) -> dict[fx.Node, SpatialAxes]:
    """Return the spatial axes of all values that depend on the input."""
    spatial: dict[fx.Node, SpatialAxes] = {}
    for node in traced.nodes:
        inputs = node.all_input_nodes
        if node.op == "placeholder":
            # Only the first argument of a forward is the image; others have their default values.
            if not spatial:
                spatial[node] = SpatialAxes(input_axis(shape[1]), input_axis(shape[2]))
        elif is_data(node) and any(source in spatial for source in inputs):
            target = node.meta.get("module", node.target)
            dependent = [(spatial[source], _shape(source)) for source in inputs if source in spatial]
            constants = [_shape(source) for source in inputs if source not in spatial and is_data(source)]
            uses_size = not all(is_data(source) or source.op == "placeholder" for source in inputs)
            spatial[node] = axes_after(node, target, dependent, constants, uses_size=uses_size)
    return spatial


def _channel_dims(
    traced: OperationTrace, spatial: Mapping[fx.Node, SpatialAxes]
) -> dict[fx.Node, int | None]:
    """Return the channel dimension of the same values, see `channels.channels_after`."""
    channels: dict[fx.Node, int | None] = {}
    for node in traced.nodes:
        if node not in spatial:
            continue
        if node.op == "placeholder":
            channels[node] = -3
        else:
            target = node.meta.get("module", node.target)
            inputs = [(channels[s], _shape(s)) for s in node.all_input_nodes if s in channels]
            channels[node] = channels_after(node, target, inputs, _first_shape(node))
    return channels


def _shape(node: fx.Node) -> Shape:
    return tuple(node.meta.get("shape", ()))


def _first_shape(node: fx.Node) -> Shape:
    """Return the shape of a node's value; if it is several tensors, that of the first."""
    parts: list[Shape] = node.meta.get("parts") or [()]
    return _shape(node) or parts[0]


def _make_layer(
    name: str,
    module: nn.Module,
    shape: Shape,
    spatial: SpatialAxes,
    channels: int | None,
    *,
    recorded: bool,
) -> Layer | SkippedLayer:
    """Return the layer of a module, or why its output cannot be read as feature maps."""
    axes = _map_axes(module, shape, spatial, channels)
    if axes is None:
        # An output of one image may have lost the batch dimension by a squeeze.
        text = ", ".join(map(str, shape)) if len(shape) < 2 else ", ".join(["N", *map(str, shape[1:])])
        reason = f"gives the shape ({text}) for one image, whose dimensions are not those of feature maps: "
        return SkippedLayer(name, kind_of(module), f"{reason}(N, C, H, W), (N, T, C), (N, C, L) or (N, C)")
    _, count, height, width = axes.map(torch.empty(shape, device="meta")).shape
    if not count * height * width:
        return SkippedLayer(name, kind_of(module), "gives no numbers at this size of the input")
    dims = tuple(dim - axes.dims for dim in axes.spatial)
    field = (spatial if spatial.dims == dims else collapse([spatial])).field(height, width)
    if recorded:
        # The network might take another path for a cut.
        field = field.uncuttable
    return Layer(name, kind_of(module), (count, height, width), field, axes, bases_of(module))


def _map_axes(module: nn.Module, shape: Shape, spatial: SpatialAxes, channels: int | None) -> MapAxes | None:
    """Return how to read an output as feature maps; `None` if its dimensions are ambiguous."""
    dims = len(shape)
    usual = axes_by_type(module, dims)
    if usual is not None:
        return usual
    if isinstance(module, nn.modules.conv._ConvNd) or not 2 <= dims <= 4:
        return None
    if dims == 2:
        return MapAxes(2, 0, 1)
    if dims == 4 and spatial.dims is not None:
        channels = next((dim for dim in (-3, -2, -1) if dim not in spatial.dims), None)
    if channels is None:
        channels = -3 if dims == 4 else None
    if channels is None or channels == -dims:
        return None
    return MapAxes(dims, 0, dims + channels, tokens=dims == 3 and channels == -1)
