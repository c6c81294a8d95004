"""The data flow of a network: its layers in execution order, their edges, and what their units see.

The graph comes from `torch.fx`; each node's receptive field follows from those of its inputs by the rules
of `receptive_field`. An operation that is not known to be local counts as one that sees everything, so a
field may be too large, never too small.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Iterable, Sequence
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
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid,
    nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.PReLU, nn.Identity, nn.Dropout,
    nn.Dropout2d, nn.LocalResponseNorm, nn.ChannelShuffle, nn.Softmax2d,
)  # fmt: skip
_LOCAL_FUNCTIONS: set[Any] = {
    F.relu, F.relu_, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.leaky_relu, F.elu, F.gelu, F.silu,
    F.mish, F.sigmoid, torch.sigmoid, torch.tanh, F.hardswish, F.hardsigmoid, F.dropout, F.dropout2d,
    operator.add, operator.iadd, operator.sub, operator.isub, operator.mul, operator.imul,
    operator.truediv, operator.itruediv, operator.neg,
    torch.add, torch.sub, torch.mul, torch.div, torch.cat, torch.clamp,
    "relu", "relu_", "add", "add_", "mul", "mul_", "sub", "sub_", "div", "div_", "sigmoid", "clamp",
    "clamp_", "contiguous", "clone", "detach", "float", "to",
}  # fmt: skip
_WINDOW_FUNCTIONS: dict[Any, tuple[str, ...]] = {
    F.max_pool2d: ("kernel_size", "stride", "padding", "dilation"),
    torch.max_pool2d: ("kernel_size", "stride", "padding", "dilation"),
    F.avg_pool2d: ("kernel_size", "stride", "padding"),
}
"""Poolings, and how their arguments after the input are called."""
_ADAPTIVE_FUNCTIONS: set[Any] = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
_PAD_MODULES: dict[type[nn.Module], str] = {
    nn.ZeroPad2d: "constant",
    nn.ConstantPad2d: "constant",
    nn.ReflectionPad2d: "reflect",
    nn.ReplicationPad2d: "replicate",
    nn.CircularPad2d: "circular",
}


class _Shapes(fx.Interpreter):
    """Runs a graph once and notes the shape of each node's output, if that is a tensor."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            n.meta["shape"] = tuple(result.shape)
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
    try:
        traced = fx.symbolic_trace(model)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as problem:
        raise LurkError(
            f"the data flow of {type(model).__name__} cannot be followed ({_first_line(problem)}): "
            "its forward must be one that torch.fx can trace"
        ) from problem
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    try:
        with torch.inference_mode():
            _Shapes(traced).run(like.new_zeros(1, *shape))
    except (RuntimeError, ValueError) as problem:
        raise LurkError(
            f"an input of {shape[1]} x {shape[2]} px does not pass through the network "
            f"({_first_line(problem)}): choose a larger --size"
        ) from problem
    modules = dict(traced.named_modules())
    fields: dict[fx.Node, Field] = {}
    constants: set[fx.Node] = set()
    upstream: dict[fx.Node, list[str]] = {}
    layers: dict[str, Layer] = {}
    edges: list[tuple[str, str]] = []
    for node in traced.graph.nodes:
        inputs = node.all_input_nodes
        sources = list(dict.fromkeys(name for source in inputs for name in upstream[source]))
        upstream[node] = sources
        if node.op == "output":
            continue
        if node.op != "placeholder" and constants.issuperset(inputs):
            constants.add(node)
            continue
        seen = [fields[source] for source in inputs if source not in constants]
        fixed = [source for source in inputs if source in constants]
        fields[node] = _field(node, modules, seen, fixed, shape)
        name, size = str(node.target), _spatial(node)
        module = modules.get(name) if node.op == "call_module" else None
        # A module that is called again is a layer where it is called first.
        if module is None or len(size) != 3 or name in layers or not wanted(name, module):
            continue
        layers[name] = Layer(name, type(module).__name__, (size[0], size[1], size[2]), fields[node])
        edges.extend((source, name) for source in sources)
        upstream[node] = [name]
    return Graph(tuple(layers.values()), tuple(edges))


def _first_line(problem: BaseException) -> str:
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def _spatial(node: fx.Node) -> tuple[int, ...]:
    """The shape of a node's output without the batch; `()` if it is no tensor."""
    return tuple(node.meta.get("shape", ()))[1:]


def _field(
    node: fx.Node,
    modules: dict[str, Any],
    seen: Sequence[Field],
    constants: Iterable[fx.Node],
    shape: tuple[int, int, int],
) -> Field:
    """What the units of a node's output see.

    Args:
        node: an operation.
        modules: of the network, by dotted name.
        seen: what the units of its inputs see, constants left out.
        constants: those of its inputs that do not depend on the network's input.
        shape: `(C, H, W)` of the network's input.
    """
    if node.op == "placeholder":
        return Field(rf.pixels(shape[1]), rf.pixels(shape[2]))
    size = _spatial(node)
    lengths = (size[1], size[2]) if len(size) == 3 else (1, 1)
    both = (rf.union([f.rows for f in seen]), rf.union([f.columns for f in seen]))
    whole = Field(rf.everything(both[0], lengths[0]), rf.everything(both[1], lengths[1]))
    target: Any = modules[str(node.target)] if node.op == "call_module" else node.target
    if _is_local(node, target):
        # Maps that have lost their channels are maps still.
        if (len(both[0]), len(both[1])) != (lengths if len(size) == 3 else size[-2:]):
            return whole
        masked = target is not F.batch_norm and any(_is_mask(c) for c in constants)
        return Field(rf.uncut(both[0]), rf.uncut(both[1])) if masked else Field(*both)
    if len(size) != 3 or len(node.all_input_nodes) > 1:
        return whole
    if isinstance(target, nn.Conv2d):
        return _windows(both, lengths, _conv_arguments(target), target.padding_mode)
    if isinstance(target, nn.MaxPool2d | nn.AvgPool2d):
        return _windows(both, lengths, _pool_arguments(vars(target)))
    if isinstance(target, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) or _is(target, _ADAPTIVE_FUNCTIONS):
        return Field(rf.adaptive(both[0], lengths[0]), rf.adaptive(both[1], lengths[1]))
    if _is(target, _WINDOW_FUNCTIONS):
        names = _WINDOW_FUNCTIONS[target]
        given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
        return _windows(both, lengths, _pool_arguments(given))
    padding = _pad_arguments(node, target)
    if padding is not None:
        (left, right, top, bottom), mode = padding
        before = ((1, 1), (1, 1), (top, left), (1, 1))
        after = (len(both[0]) + top + bottom, len(both[1]) + left + right)
        return _windows(both, lengths, before, mode) if after == lengths else whole
    return whole


def _is(target: Any, known: Container[Any]) -> bool:
    try:
        return target in known
    except TypeError:  # a module may be unhashable
        return False


def _is_local(node: fx.Node, target: Any) -> bool:
    """Whether each place of the output depends on that place of the inputs alone."""
    if isinstance(target, nn.modules.batchnorm._BatchNorm):
        return target.running_mean is not None  # without, it measures each map
    if target is F.batch_norm:
        given = dict(zip(("mean", "var", "weight", "bias", "training"), node.args[1:], strict=False))
        return not (given | dict(node.kwargs)).get("training", False)
    if target is operator.getitem:
        return _picks_channels(node)
    if target is torch.unsqueeze or target == "unsqueeze":
        return (*node.args[1:], *node.kwargs.values()) == (1,)
    return isinstance(target, _LOCAL_MODULES) or _is(target, _LOCAL_FUNCTIONS)


def _picks_channels(node: fx.Node) -> bool:
    source, index = node.args
    return (
        isinstance(source, fx.Node)
        and len(_spatial(source)) == 3
        and isinstance(index, tuple)
        and len(index) == 2
        and index[0] == slice(None)
        and isinstance(index[1], int | slice)
    )


def _is_mask(constant: fx.Node) -> bool:
    """Whether a constant has a value for each place, and so fits the whole map only."""
    return any(length > 1 for length in constant.meta.get("shape", ())[-2:])


def _windows(
    both: tuple[Axis, Axis],
    lengths: tuple[int, int],
    arguments: Iterable[tuple[int, int]],
    mode: str = "zeros",
) -> Field:
    kernel, stride, padding, dilation = arguments
    rows, columns = (
        rf.window(both[i], kernel[i], stride[i], padding[i], dilation[i], lengths[i], mode) for i in (0, 1)
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


def _pad_arguments(node: fx.Node, target: Any) -> tuple[tuple[int, int, int, int], str] | None:
    """Left, right, top and bottom of a padding and its mode; `None` if it is none, or cuts off."""
    given: dict[str, Any] = dict(node.kwargs)
    if type(target) in _PAD_MODULES:
        given = {"pad": target.padding, "mode": _PAD_MODULES[type(target)]}
    elif target is F.pad:
        given |= dict(zip(("pad", "mode"), node.args[1:], strict=False))
    else:
        return None
    sides: list[int] = list(given["pad"])
    if len(sides) > 4 or min(sides) < 0:
        return None
    left, right, top, bottom = sides + [0] * (4 - len(sides))
    return (left, right, top, bottom), str(given.get("mode", "constant"))
