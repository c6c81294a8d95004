"""What an operation does to the receptive fields of its input.

An operation that is not known to be local counts as one that sees everything, so a field may be too large,
never too small.
"""

from __future__ import annotations

import operator
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import torch
import torchvision
from torch import fx, nn
from torch.nn import functional as F

from torchlurk.graph import flow as fl
from torchlurk.graph import receptive_field as rf
from torchlurk.graph.flow import Shape, SpatialAxes
from torchlurk.graph.receptive_field import Axis
from torchlurk.graph.tracing import part

_LOCAL_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid,
    nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.PReLU, nn.Identity, nn.Dropout,
    nn.Dropout2d, nn.LocalResponseNorm, nn.ChannelShuffle, nn.Softmax2d, nn.Threshold, nn.RReLU,
)  # fmt: skip
_LOCAL_FUNCTIONS: set[Any] = {
    F.relu, F.relu_, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.leaky_relu, F.elu, F.gelu, F.silu,
    F.mish, F.sigmoid, torch.sigmoid, torch.tanh, F.hardswish, F.hardsigmoid, F.dropout, F.dropout2d,
    F.threshold, F.softplus, F.local_response_norm, torch.exp, torch.sqrt, torch.abs, torch.square,
    operator.add, operator.iadd, operator.sub, operator.isub, operator.mul, operator.imul,
    operator.truediv, operator.itruediv, operator.neg, operator.pow,
    torch.add, torch.sub, torch.mul, torch.div, torch.clamp, torch.maximum, torch.minimum, torch.pow,
    torchvision.ops.stochastic_depth,
    "relu", "relu_", "add", "add_", "mul", "mul_", "sub", "sub_", "div", "div_", "sigmoid", "tanh", "clamp",
    "clamp_", "clamp_min", "clamp_min_", "contiguous", "clone", "detach", "float", "to", "half", "double",
    "bfloat16", "type_as", "exp", "sqrt", "abs", "square", "pow", "neg", "rsub", "__rsub__", "__rtruediv__",
    "__truediv__", "true_divide",
}  # fmt: skip
_WINDOWS: dict[Any, tuple[str, ...]] = {
    F.max_pool2d: ("kernel_size", "stride", "padding", "dilation"),
    torch.max_pool2d: ("kernel_size", "stride", "padding", "dilation"),
    F.avg_pool2d: ("kernel_size", "stride", "padding"),
}
"""Poolings, and how their arguments after the input are called."""
_ADAPTIVE: set[Any] = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
_RESHAPES: set[Any] = {
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze,
    "view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as",
}  # fmt: skip
_PARTS: dict[Any, int] = {
    torch.chunk: 2,
    torch.split: 2,
    "chunk": 2,
    "split": 2,
    torch.unbind: 1,
    "unbind": 1,
}
"""What cuts a tensor along a dimension, and which argument says along which."""
_PADS: dict[type[nn.Module], str] = {
    nn.ZeroPad2d: "constant",
    nn.ConstantPad2d: "constant",
    nn.ReflectionPad2d: "reflect",
    nn.ReplicationPad2d: "replicate",
    nn.CircularPad2d: "circular",
}


def after(
    node: fx.Node,
    target: Any,
    inputs: Sequence[tuple[SpatialAxes, Shape]],
    constants: Sequence[Shape],
    *,
    sized: bool,
) -> SpatialAxes:
    """What the places of an operation's result see.

    Args:
        node: the operation.
        target: the module, the function, or a method's name.
        inputs: flow and shape of each input that depends on the network's input.
        constants: shapes of those that do not.
        sized: whether it takes a number that comes from a tensor's size, and so would do something else
            on a cut.
    """
    flows = [flow for flow, _ in inputs]
    shapes = [shape for _, shape in inputs]
    out: Shape = node.meta.get("shape", ())
    if _is_local(target):
        met = fl.meet(flows, shapes, out)
        return _uncut(met) if sized or any(fl.varies(one, met.at) for one in constants) else met
    if _is(target, {torch.cat, torch.concat, torch.concatenate}):
        along = _argument(node, 1, "dim", 0)
        apart = all(fl.keeps(flow, shape, along) for flow, shape in inputs)
        return fl.meet(flows, shapes, out) if apart else fl.lost(flows)
    if len(inputs) != 1:
        return fl.lost(flows)
    (flow, shape) = inputs[0]
    arranged = _arranged(node, target, flow, shape, out)
    if arranged is not None:
        return arranged
    normalised = _normalised(node, target, flow, shape)
    if normalised is not None:
        return normalised
    if sized or flow.at != (-2, -1) or len(shape) != 4 or len(out) != 4:
        return fl.lost(flows)
    windows = _windowed(node, target, flow, constants, (out[2], out[3]))
    return fl.lost(flows) if windows is None else windows


def _uncut(flow: SpatialAxes) -> SpatialAxes:
    return SpatialAxes(rf.uncut(flow.rows), rf.uncut(flow.columns), flow.at)


def _is(target: Any, known: Container[Any]) -> bool:
    try:
        return target in known
    except TypeError:  # a module may be unhashable
        return False


def _is_local(target: Any) -> bool:
    """Whether each place of the output depends on that place of the inputs alone."""
    if isinstance(target, nn.modules.batchnorm._BatchNorm):
        return target.running_mean is not None  # without, it measures each map
    if isinstance(target, torchvision.ops.StochasticDepth):
        return True
    return isinstance(target, _LOCAL_MODULES) or _is(target, _LOCAL_FUNCTIONS)


def _argument(node: fx.Node, position: int, name: str, otherwise: Any) -> Any:
    return node.kwargs.get(name, node.args[position] if len(node.args) > position else otherwise)


def _arranged(node: fx.Node, target: Any, flow: SpatialAxes, shape: Shape, out: Shape) -> SpatialAxes | None:
    """What only moves numbers about; `None` if it is another operation."""
    if _is(target, _RESHAPES) or isinstance(target, nn.Flatten | nn.Unflatten):
        return fl.reshape(flow, shape, out)
    if _is(target, {torch.permute, "permute"}) or isinstance(target, torchvision.ops.Permute):
        given = target.dims if isinstance(target, torchvision.ops.Permute) else node.args[1:]
        dims: Any = given[0] if isinstance(given[0], Sequence) else given
        return fl.permute(flow, list(dims))
    if _is(target, {torch.transpose, "transpose", torch.swapaxes, "swapaxes"}):
        order = list(range(len(shape)))
        first: int = _argument(node, 1, "dim0", 0)
        second: int = _argument(node, 2, "dim1", 1)
        order[first], order[second] = order[second], order[first]
        return fl.permute(flow, order)
    if _is(target, _PARTS):
        return flow if fl.keeps(flow, shape, _argument(node, _PARTS[target], "dim", 0)) else fl.lost([flow])
    if target is operator.getitem or target == "__getitem__":
        return _picked(node.args[1], flow, shape)
    if target is part:
        return flow
    return None


def _picked(index: Any, flow: SpatialAxes, shape: Shape) -> SpatialAxes:
    if isinstance(index, int) and not shape:  # one of the parts of a cut tensor
        return flow
    if flow.at is None:
        return flow
    given = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(one, int | slice) for one in given) or len(given) > len(shape):
        return fl.lost([flow])
    for place, one in enumerate(given):
        from_end = place - len(shape)
        whole = one == slice(None)
        if (from_end in flow.at and not whole) or (from_end > min(flow.at) and not isinstance(one, slice)):
            return fl.lost([flow])
    return flow


def _normalised(node: fx.Node, target: Any, flow: SpatialAxes, shape: Shape) -> SpatialAxes | None:
    """Normalisations, linear layers and softmax; `None` if it is another operation."""
    if target is F.batch_norm:
        training = _argument(node, 5, "training", False)
        return fl.mixed(flow) if training else flow
    if isinstance(
        target, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.modules.instancenorm._InstanceNorm
    ):
        return fl.mixed(flow)
    if isinstance(target, nn.LayerNorm) or target is F.layer_norm:
        over = (
            target.normalized_shape
            if isinstance(target, nn.LayerNorm)
            else _argument(node, 1, "normalized_shape", ())
        )
        apart = all(fl.keeps(flow, shape, -1 - dim) for dim in range(len(over)))
        return flow if apart else fl.mixed(flow)
    if isinstance(target, nn.Linear) or target is F.linear:
        return flow if fl.keeps(flow, shape, -1) else fl.lost([flow])
    if isinstance(target, nn.Softmax) or _is(target, {F.softmax, torch.softmax, "softmax"}):
        along = target.dim if isinstance(target, nn.Softmax) else _argument(node, 1, "dim", -1)
        return flow if along is not None and fl.keeps(flow, shape, along) else fl.mixed(flow)
    return None


def _windowed(
    node: fx.Node, target: Any, flow: SpatialAxes, constants: Sequence[Shape], lengths: tuple[int, int]
) -> SpatialAxes | None:
    """Convolutions, poolings, paddings, resampling of `(N, C, H, W)`; `None` if it is something else."""
    both = (flow.rows, flow.columns)
    if isinstance(target, nn.Conv2d):
        return _windows(both, lengths, _conv_arguments(vars(target)), target.padding_mode)
    if _is(target, {F.conv2d, torch.conv2d}) and constants:
        given = _named(node, ("weight", "bias", "stride", "padding", "dilation"))
        # The weight's shape, not its node, says how large the kernel is.
        return _windows(both, lengths, _conv_arguments({**given, "kernel_size": constants[0][2:]}))
    if isinstance(target, nn.ConvTranspose2d):
        return _transposed(both, lengths, vars(target))
    if isinstance(target, nn.MaxPool2d | nn.AvgPool2d):
        return _windows(both, lengths, _pool_arguments(vars(target)))
    if isinstance(target, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) or _is(target, _ADAPTIVE):
        return SpatialAxes(rf.adaptive(both[0], lengths[0]), rf.adaptive(both[1], lengths[1]))
    if _is(target, _WINDOWS):
        return _windows(both, lengths, _pool_arguments(_named(node, _WINDOWS[target])))
    if isinstance(target, nn.Upsample):
        return _resampled(both, lengths, target.mode, bool(target.align_corners))
    if target is F.interpolate:
        given = _named(node, ("size", "scale_factor", "mode", "align_corners"))
        if given.get("antialias"):
            return None
        return _resampled(both, lengths, given.get("mode", "nearest"), bool(given.get("align_corners")))
    padding = _pad_arguments(node, target)
    if padding is None:
        return None
    (left, right, top, bottom), mode = padding
    before = ((1, 1), (1, 1), (top, left), (1, 1))
    if (len(both[0]) + top + bottom, len(both[1]) + left + right) != lengths:
        return None
    return _windows(both, lengths, before, mode)


def _named(node: fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    """The arguments of a function after its first, by name."""
    return dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)


def _windows(
    both: tuple[Axis, Axis],
    lengths: tuple[int, int],
    arguments: Iterable[tuple[int, int]],
    mode: str = "zeros",
) -> SpatialAxes:
    kernel, stride, padding, dilation = arguments
    rows, columns = (
        rf.window(both[i], kernel[i], stride[i], padding[i], dilation[i], lengths[i], mode) for i in (0, 1)
    )
    return SpatialAxes(rows, columns)


def _transposed(both: tuple[Axis, Axis], lengths: tuple[int, int], given: Mapping[str, Any]) -> SpatialAxes:
    kernel, stride, padding, dilation = (
        _pair(given[key]) for key in ("kernel_size", "stride", "padding", "dilation")
    )
    rows, columns = (
        rf.transposed(both[i], kernel[i], stride[i], padding[i], dilation[i], lengths[i]) for i in (0, 1)
    )
    return SpatialAxes(rows, columns)


def _resampled(
    both: tuple[Axis, Axis], lengths: tuple[int, int], mode: str, corners: bool
) -> SpatialAxes | None:
    if mode not in ("nearest", "bilinear"):
        return None
    rows, columns = (rf.resampled(both[i], lengths[i], mode, corners=corners) for i in (0, 1))
    return SpatialAxes(rows, columns)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _conv_arguments(given: Mapping[str, Any]) -> list[tuple[int, int]]:
    kernel, stride = _pair(given["kernel_size"]), _pair(given.get("stride", 1))
    dilation, padding = _pair(given.get("dilation", 1)), given.get("padding", 0)
    if padding == "same":
        before = [dilation[i] * (kernel[i] - 1) // 2 for i in (0, 1)]
        return [kernel, stride, (before[0], before[1]), dilation]
    return [kernel, stride, (0, 0) if padding == "valid" else _pair(padding), dilation]


def _pool_arguments(given: Mapping[str, Any]) -> list[tuple[int, int]]:
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
    if type(target) in _PADS:
        given = {"pad": target.padding, "mode": _PADS[type(target)]}
    elif target is F.pad:
        given |= dict(zip(("pad", "mode"), node.args[1:], strict=False))
    else:
        return None
    sides: list[int] = list(given["pad"])
    if len(sides) > 4 or min(sides) < 0:
        return None
    left, right, top, bottom = sides + [0] * (4 - len(sides))
    return (left, right, top, bottom), str(given.get("mode", "constant"))
