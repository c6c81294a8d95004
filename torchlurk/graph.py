"""The data flow of a network: its layers in execution order, their edges, and what their units see.

The graph comes from `torch.fx`; each node's receptive field follows from those of its inputs by the rules
of `receptive_field`. An operation that is not known to be local counts as one that sees everything, so a
field may be too large, never too small.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from torchlurk import receptive_field as rf
from torchlurk.errors import LurkError
from torchlurk.receptive_field import Axis, Field


@dataclass(frozen=True)
class Layer:
    """A module whose output is watched.

    Attributes:
        name: its dotted name in the network.
        kind: its class, e.g. `Conv2d`.
        shape: `(C, H, W)` of its output for one image.
        field: what its units see of the input.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    field: Field


@dataclass(frozen=True)
class Graph:
    """Layers in execution order, and the edges between them."""

    layers: tuple[Layer, ...]
    edges: tuple[tuple[str, str], ...]

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)


_LOCAL_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.PReLU, nn.Identity, nn.Dropout, nn.Dropout2d,
    nn.BatchNorm2d, nn.modules.batchnorm._BatchNorm,
)  # fmt: skip
_LOCAL_FUNCTIONS: set[Any] = {
    F.relu, F.relu_, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.leaky_relu, F.elu, F.gelu, F.silu,
    F.sigmoid, torch.sigmoid, torch.tanh, F.hardswish, F.hardsigmoid, F.dropout, F.batch_norm,
    operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv,
    torch.add, torch.sub, torch.mul, torch.div, torch.cat, torch.clamp,
    "relu", "relu_", "add", "add_", "mul", "mul_", "sub", "div", "sigmoid", "clamp", "contiguous",
    "clone", "detach", "float",
}  # fmt: skip
_WINDOW_FUNCTIONS: set[Any] = {F.max_pool2d, F.avg_pool2d, torch.max_pool2d}
_ADAPTIVE_FUNCTIONS: set[Any] = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d}


class _Shapes(fx.Interpreter):
    """Runs a graph once and notes the shape of each node's output, without the batch."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor) and result.dim() >= 2:
            self.found[n] = tuple(result.shape[1:])
        return result


def trace(model: nn.Module, shape: tuple[int, int, int], wanted: Callable[[str, nn.Module], bool]) -> Graph:
    """Follow the data through a network.

    Args:
        model: a network that `torch.fx` can trace, at rest.
        shape: `(C, H, W)` of its input.
        wanted: says of a dotted name and a module whether it is a layer to watch.

    Returns:
        The wanted layers in execution order; an edge joins two of them when data flows from one to the
        other without passing a third.

    Raises:
        LurkError: the input is too small for the network, or no such layer has a feature map.
    """
    traced = fx.symbolic_trace(model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        with torch.inference_mode():
            shapes = _Shapes(traced)
            shapes.run(torch.zeros(1, *shape, device=device))
    except (RuntimeError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise LurkError(
            f"an input of {shape[1]} x {shape[2]} px does not pass through the network ({reason}): "
            "choose a larger --size"
        ) from problem
    modules = dict(traced.named_modules())
    fields: dict[fx.Node, Field] = {}
    upstream: dict[fx.Node, list[str]] = {}
    layers: list[Layer] = []
    edges: list[tuple[str, str]] = []
    for node in traced.graph.nodes:
        size = shapes.found.get(node)
        inputs = [source for source in node.all_input_nodes if source in upstream]
        sources = list(dict.fromkeys(name for source in inputs for name in upstream[source]))
        upstream[node] = sources
        if size is None or node.op == "output":
            continue
        seen = [fields[source] for source in inputs if source in fields]
        fields[node] = _field(node, modules, seen, shape, size)
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if module is not None and wanted(str(node.target), module) and len(size) == 3:
            name = str(node.target)
            layers.append(Layer(name, type(module).__name__, (size[0], size[1], size[2]), fields[node]))
            edges.extend((source, name) for source in sources)
            upstream[node] = [name]
    return Graph(tuple(layers), tuple(edges))


def _field(
    node: fx.Node,
    modules: dict[str, Any],
    seen: Sequence[Field],
    shape: tuple[int, int, int],
    size: tuple[int, ...],
) -> Field:
    height, width = (size[1], size[2]) if len(size) == 3 else (1, 1)
    if node.op == "placeholder":
        return Field(rf.pixels(shape[1]), rf.pixels(shape[2]))
    if not seen:
        return _global([Field(rf.pixels(shape[1]), rf.pixels(shape[2]))], height, width)
    lengths = (height, width)
    both = (rf.union([f.rows for f in seen]), rf.union([f.columns for f in seen]))
    target: Any = modules[str(node.target)] if node.op == "call_module" else node.target
    if isinstance(target, nn.Conv2d):
        return _windows(both, lengths, _conv_arguments(target))
    if isinstance(target, nn.MaxPool2d | nn.AvgPool2d):
        return _windows(both, lengths, _pool_arguments(vars(target)))
    if isinstance(target, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) or _is(target, _ADAPTIVE_FUNCTIONS):
        return Field(rf.adaptive(both[0], height), rf.adaptive(both[1], width))
    if _is(target, _WINDOW_FUNCTIONS):
        names = ("kernel_size", "stride", "padding")
        given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
        return _windows(both, lengths, _pool_arguments(given))
    local = isinstance(target, _LOCAL_MODULES) or _is(target, _LOCAL_FUNCTIONS)
    if local and (len(both[0]), len(both[1])) == lengths:
        return Field(*both)
    return _global(seen, height, width)


def _is(target: Any, known: set[Any]) -> bool:
    try:
        return target in known
    except TypeError:  # a module may be unhashable
        return False


def _global(seen: Sequence[Field], height: int, width: int) -> Field:
    rows = rf.union([rf.everything(f.rows, height) for f in seen])
    columns = rf.union([rf.everything(f.columns, width) for f in seen])
    return Field(rows, columns)


def _windows(
    both: tuple[Axis, Axis], lengths: tuple[int, int], arguments: Iterable[tuple[int, int]]
) -> Field:
    kernel, stride, padding, dilation = arguments
    rows, columns = (
        rf.window(both[i], kernel[i], stride[i], padding[i], dilation[i], lengths[i]) for i in (0, 1)
    )
    return Field(rows, columns)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _conv_arguments(conv: nn.Conv2d) -> list[tuple[int, int]]:
    kernel, stride, dilation = _pair(conv.kernel_size), _pair(conv.stride), _pair(conv.dilation)
    if conv.padding == "same":
        before = [dilation[i] * (kernel[i] - 1) // 2 for i in (0, 1)]
        return [kernel, stride, (before[0], before[1]), dilation]
    padding = (0, 0) if conv.padding == "valid" else _pair(conv.padding)
    return [kernel, stride, padding, dilation]


def _pool_arguments(given: dict[str, Any]) -> list[tuple[int, int]]:
    kernel = _pair(given["kernel_size"])
    stride = given.get("stride")
    return [
        kernel,
        kernel if stride is None or stride == [] else _pair(stride),
        _pair(given.get("padding", 0)),
        _pair(given.get("dilation", 1)),
    ]
