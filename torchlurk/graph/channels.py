"""Along which dimension of a tensor its channels lie, followed through the operations of a network.

Dimensions are counted from the end, as -3 for `(N, C, H, W)` and -1 for `(N, T, C)`; `None` means unknown.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import fx, nn
from torch.nn import functional as F

from torchlurk.graph.operation_trace import is_one_of, take_part
from torchlurk.graph.spatial_axes import Shape
from torchlurk.models.hooks import axes_by_type

_CONVOLUTIONS: set[Any] = {
    F.conv1d, F.conv2d, F.conv3d, torch.conv1d, torch.conv2d, torch.conv3d, F.batch_norm, F.group_norm,
    F.instance_norm, torch.conv_transpose2d, F.conv_transpose2d, torch.batch_norm, torch.group_norm,
}  # fmt: skip
"""Functions whose results have channels in the second dimension."""

_LINEAR: set[Any] = {F.linear, F.layer_norm, torch.layer_norm, F.embedding}
"""Functions whose results have channels in the last dimension."""

_RESHAPES: set[Any] = {
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten,
    "view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as",
}  # fmt: skip

_REDUCTIONS: set[Any] = {
    torch.mean, torch.sum, torch.amax, torch.amin, torch.max, torch.min, torch.std, torch.var, torch.norm,
    torch.logsumexp, "mean", "sum", "amax", "amin", "max", "min", "std", "var", "norm", "logsumexp",
}  # fmt: skip


def channels_after(
    node: fx.Node, target: Any, inputs: Sequence[tuple[int | None, Shape]], out: Shape
) -> int | None:
    """Return the channel dimension of an operation's result.

    Args:
        node: The operation.
        target: The module, the function, or a method's name.
        inputs: Channel dimension and shape of each input that depends on the network's input.
        out: Shape of the result.
    """
    if isinstance(target, nn.Module):
        usual = axes_by_type(target, len(out))
        if usual is not None:
            return usual.channels - usual.dims
    if is_one_of(target, _CONVOLUTIONS):
        return 1 - len(out) if len(out) > 1 else None
    if is_one_of(target, _LINEAR):
        return -1
    with_channels = [(channels, shape) for channels, shape in inputs if channels is not None]
    if not with_channels:
        return None
    (channels, shape) = with_channels[0]
    if is_one_of(target, _RESHAPES) or isinstance(target, nn.Flatten | nn.Unflatten):
        return _after_reshape(channels, shape, out)
    order = _permutation(node, target, len(shape))
    if order is not None:
        return order.index(channels % len(shape)) - len(shape)
    if is_one_of(target, _REDUCTIONS) and len(out) < len(shape):
        return _after_reduction(node, channels, shape, out)
    if target is operator.getitem or target == "__getitem__":
        return _after_indexing(node.args[1], channels, shape)
    if target is take_part:
        return channels
    candidates = {dim for dim, own in with_channels if len(own) == len(out)}
    return candidates.pop() if len(candidates) == 1 else None


def _after_reshape(channels: int, shape: Shape, out: Shape) -> int | None:
    """Return the dimension of the same length with as many numbers before and after it, if there is one."""
    index = len(shape) + channels
    before, after = math.prod(shape[:index]), math.prod(shape[index + 1 :])
    for dim in range(len(out)):
        if out[dim] == shape[index] and math.prod(out[:dim]) == before and math.prod(out[dim + 1 :]) == after:
            return dim - len(out)
    # `(N, C, H, W)` flattened to `(N, C * H * W)`: each number is a channel of its own.
    return -1 if len(out) == 2 and len(shape) > 2 else None


def _permutation(node: fx.Node, target: Any, dims: int) -> list[int] | None:
    """Return which dimension each dimension of the result was; `None` if the operation permutes none."""
    if is_one_of(target, {torch.permute, "permute"}) or isinstance(target, torchvision.ops.Permute):
        order: Any = target.dims if isinstance(target, torchvision.ops.Permute) else node.args[1:]
        order = node.kwargs.get("dims", order)
        order = order[0] if order and isinstance(order[0], Sequence) else order
        return [dim % dims for dim in order] if len(order) == dims else None
    if is_one_of(target, {torch.transpose, "transpose", torch.swapaxes, "swapaxes"}):
        first: Any = node.kwargs.get("dim0", node.args[1] if len(node.args) > 1 else 0)
        second: Any = node.kwargs.get("dim1", node.args[2] if len(node.args) > 2 else 1)
        swapped = list(range(dims))
        swapped[first], swapped[second] = swapped[second], swapped[first]
        return swapped
    if is_one_of(target, {torch.t, "t"}) and dims == 2:
        return [1, 0]
    return None


def _after_reduction(node: fx.Node, channels: int, shape: Shape, out: Shape) -> int | None:
    dim: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    if dim is None:
        return None
    removed = {one % len(shape) for one in (dim if isinstance(dim, Sequence) else [dim])}
    index = channels % len(shape)
    if index in removed:
        return None
    before: int = sum(one < index for one in removed)
    return index - before - len(out)


def _after_indexing(index: Any, channels: int, shape: Shape) -> int | None:
    if isinstance(index, int) and not shape:  # a part of a tensor that was split
        return channels
    indices = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(part, int | slice) for part in indices) or len(indices) > len(shape):
        return None
    dim = channels % len(shape)
    if dim < len(indices) and isinstance(indices[dim], int):
        return None
    kept = [d for d in range(len(shape)) if d >= len(indices) or isinstance(indices[d], slice)]
    return kept.index(dim) - len(kept)
