"""What each operation of a network does to the spatial axes of its input.

An operation that is not known to be local counts as global, so a receptive field may be too large, but never
too small. Operations whose windows slide over the map are in `windows.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import fx, nn
from torch.nn import functional as F

from torchlurk.graph.operation_trace import is_one_of, take_part
from torchlurk.graph.spatial_axes import (
    Shape,
    SpatialAxes,
    broadcast,
    collapse,
    keeps_positions,
    mix_positions,
    permute,
    require_whole_input,
    reshape,
    varies_by_position,
)
from torchlurk.graph.windows import axes_after_window

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
"""Functions, and methods by name, that compute each position of the output from that of the inputs."""
_RESHAPES: set[Any] = {
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze,
    "view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as",
}  # fmt: skip
_SPLITS: dict[Any, int] = {
    torch.chunk: 2,
    torch.split: 2,
    "chunk": 2,
    "split": 2,
    torch.unbind: 1,
    "unbind": 1,
}
"""Operations that split a tensor along a dimension, and the position of the argument that names it."""


def axes_after(
    node: fx.Node,
    target: Any,
    inputs: Sequence[tuple[SpatialAxes, Shape]],
    constants: Sequence[Shape],
    *,
    uses_size: bool,
) -> SpatialAxes:
    """Return the spatial axes of an operation's result.

    Args:
        node: The operation.
        target: The module, the function, or a method's name.
        inputs: Axes and shape of each input that depends on the network's input.
        constants: Shapes of the inputs that do not.
        uses_size: Whether an argument is a number computed from a tensor's size, which differs on a cut.
    """
    axes = [own for own, _ in inputs]
    shapes = [shape for _, shape in inputs]
    out: Shape = node.meta.get("shape", ())
    if _is_local(target):
        result = broadcast(axes, shapes, out)
        fixed_map = any(varies_by_position(shape, result.dims) for shape in constants)
        return require_whole_input(result) if uses_size or fixed_map else result
    if is_one_of(target, {torch.cat, torch.concat, torch.concatenate}):
        dim = _argument(node, 1, "dim", 0)
        along_channels = all(keeps_positions(own, shape, dim) for own, shape in inputs)
        return broadcast(axes, shapes, out) if along_channels else collapse(axes)
    if len(inputs) != 1:
        return collapse(axes)
    (only, shape) = inputs[0]
    rearranged = _after_rearranging(node, target, only, shape, out)
    if rearranged is not None:
        return rearranged
    normalised = _after_mixing(node, target, only, shape)
    if normalised is not None:
        return normalised
    if uses_size or only.dims != (-2, -1) or len(shape) != 4 or len(out) != 4:
        return collapse(axes)
    windowed = axes_after_window(node, target, only, constants, (out[2], out[3]))
    return collapse(axes) if windowed is None else windowed


def _is_local(target: Any) -> bool:
    """Return whether each position of the output depends on that position of the inputs alone."""
    if isinstance(target, nn.modules.batchnorm._BatchNorm):
        return target.running_mean is not None  # without, it computes statistics over each map
    if isinstance(target, torchvision.ops.StochasticDepth):
        return True
    return isinstance(target, _LOCAL_MODULES) or is_one_of(target, _LOCAL_FUNCTIONS)


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return node.kwargs.get(name, node.args[position] if len(node.args) > position else default)


def _after_rearranging(
    node: fx.Node, target: Any, axes: SpatialAxes, shape: Shape, out: Shape
) -> SpatialAxes | None:
    """Return the axes after an operation that only moves numbers; `None` if it is another operation."""
    if is_one_of(target, _RESHAPES) or isinstance(target, nn.Flatten | nn.Unflatten):
        return reshape(axes, shape, out)
    if is_one_of(target, {torch.permute, "permute"}) or isinstance(target, torchvision.ops.Permute):
        dims = target.dims if isinstance(target, torchvision.ops.Permute) else node.args[1:]
        order: Any = dims[0] if isinstance(dims[0], Sequence) else dims
        return permute(axes, list(order))
    if is_one_of(target, {torch.transpose, "transpose", torch.swapaxes, "swapaxes"}):
        swapped = list(range(len(shape)))
        first: int = _argument(node, 1, "dim0", 0)
        second: int = _argument(node, 2, "dim1", 1)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        return permute(axes, swapped)
    if is_one_of(target, _SPLITS):
        dim = _argument(node, _SPLITS[target], "dim", 0)
        return axes if keeps_positions(axes, shape, dim) else collapse([axes])
    if target is operator.getitem or target == "__getitem__":
        return _after_indexing(node.args[1], axes, shape)
    if target is take_part:
        return axes
    return None


def _after_indexing(index: Any, axes: SpatialAxes, shape: Shape) -> SpatialAxes:
    if isinstance(index, int) and not shape:  # a part of a tensor that was split
        return axes
    if axes.dims is None:
        return axes
    indices = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(part, int | slice) for part in indices) or len(indices) > len(shape):
        return collapse([axes])
    for position, part in enumerate(indices):
        dim = position - len(shape)
        if dim in axes.dims and part != slice(None):
            return collapse([axes])
        if dim > min(axes.dims) and not isinstance(part, slice):
            return collapse([axes])
    return axes


def _after_mixing(node: fx.Node, target: Any, axes: SpatialAxes, shape: Shape) -> SpatialAxes | None:
    """Return the axes after a normalisation, linear layer or softmax; `None` if it is another operation."""
    if target is F.batch_norm:
        training = _argument(node, 5, "training", False)
        return mix_positions(axes) if training else axes
    if isinstance(
        target, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.modules.instancenorm._InstanceNorm
    ):
        return mix_positions(axes)
    if isinstance(target, nn.LayerNorm) or target is F.layer_norm:
        normalized_shape = (
            target.normalized_shape
            if isinstance(target, nn.LayerNorm)
            else _argument(node, 1, "normalized_shape", ())
        )
        over_channels = all(keeps_positions(axes, shape, -1 - dim) for dim in range(len(normalized_shape)))
        return axes if over_channels else mix_positions(axes)
    if isinstance(target, nn.Linear) or target is F.linear:
        return axes if keeps_positions(axes, shape, -1) else collapse([axes])
    if isinstance(target, nn.Softmax) or is_one_of(target, {F.softmax, torch.softmax, "softmax"}):
        dim = target.dim if isinstance(target, nn.Softmax) else _argument(node, 1, "dim", -1)
        return axes if dim is not None and keeps_positions(axes, shape, dim) else mix_positions(axes)
    return None
