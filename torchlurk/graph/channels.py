"""Along which dimension of a tensor its channels lie, followed from operation to operation.

A dimension is counted from the end, as -3 for `(N, C, H, W)` and -1 for `(N, T, C)`; `None` stands for one
that is not known.
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

from torchlurk.graph.flow import Shape
from torchlurk.graph.tracing import part
from torchlurk.models.hooks import axes_by_type

_CONVOLUTIONS: set[Any] = {
    F.conv1d, F.conv2d, F.conv3d, torch.conv1d, torch.conv2d, torch.conv3d, F.batch_norm, F.group_norm,
    F.instance_norm, torch.conv_transpose2d, F.conv_transpose2d, torch.batch_norm, torch.group_norm,
}  # fmt: skip
"""Functions that have channels in the second dimension."""

_LINEAR: set[Any] = {F.linear, F.layer_norm, torch.layer_norm, F.embedding}
"""Functions that have channels in the last dimension."""

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
    """Where the channels of an operation's result lie.

    Args:
        node: the operation.
        target: the module, the function, or a method's name.
        inputs: for each input that depends on the network's input, where its channels lie, and its shape.
        out: the result's shape.
    """
    if isinstance(target, nn.Module):
        usual = axes_by_type(target, len(out))
        if usual is not None:
            return usual.channels - usual.dims
    if _is(target, _CONVOLUTIONS):
        return 1 - len(out) if len(out) > 1 else None
    if _is(target, _LINEAR):
        return -1
    known = [(at, shape) for at, shape in inputs if at is not None]
    if not known:
        return None
    (at, shape) = known[0]
    if _is(target, _RESHAPES) or isinstance(target, nn.Flatten | nn.Unflatten):
        return _reshaped(at, shape, out)
    order = _permutation(node, target, len(shape))
    if order is not None:
        return order.index(at % len(shape)) - len(shape)
    if _is(target, _REDUCTIONS) and len(out) < len(shape):
        return _reduced(node, at, shape, out)
    if target is operator.getitem or target == "__getitem__":
        return _picked(node.args[1], at, shape)
    if target is part:
        return at
    same = {place for place, one in known if len(one) == len(out)}
    return same.pop() if len(same) == 1 else None


def _is(target: Any, known: set[Any]) -> bool:
    try:
        return target in known
    except TypeError:  # a module may be unhashable
        return False


def _reshaped(at: int, shape: Shape, out: Shape) -> int | None:
    """The dimension of the same length with as much before it and behind it; `None` if there is none."""
    index = len(shape) + at
    before, behind = math.prod(shape[:index]), math.prod(shape[index + 1 :])
    for place in range(len(out)):
        if (
            out[place] == shape[index]
            and math.prod(out[:place]) == before
            and math.prod(out[place + 1 :]) == behind
        ):
            return place - len(out)
    # `(N, C, H, W)` flattened to `(N, C * H * W)`: the numbers themselves are what is left of channels.
    return -1 if len(out) == 2 and len(shape) > 2 else None


def _permutation(node: fx.Node, target: Any, dims: int) -> list[int] | None:
    """Which dimension each dimension of the result was; `None` if the operation permutes none."""
    if _is(target, {torch.permute, "permute"}) or isinstance(target, torchvision.ops.Permute):
        given: Any = target.dims if isinstance(target, torchvision.ops.Permute) else node.args[1:]
        given = node.kwargs.get("dims", given)
        order = given[0] if given and isinstance(given[0], Sequence) else given
        return [dim % dims for dim in order] if len(order) == dims else None
    if _is(target, {torch.transpose, "transpose", torch.swapaxes, "swapaxes"}):
        first: Any = node.kwargs.get("dim0", node.args[1] if len(node.args) > 1 else 0)
        second: Any = node.kwargs.get("dim1", node.args[2] if len(node.args) > 2 else 1)
        swapped = list(range(dims))
        swapped[first], swapped[second] = swapped[second], swapped[first]
        return swapped
    if _is(target, {torch.t, "t"}) and dims == 2:
        return [1, 0]
    return None


def _reduced(node: fx.Node, at: int, shape: Shape, out: Shape) -> int | None:
    given: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    if given is None:
        return None
    gone = {dim % len(shape) for dim in (given if isinstance(given, Sequence) else [given])}
    index = at % len(shape)
    if index in gone:
        return None
    before: int = sum(dim < index for dim in gone)
    return index - before - len(out)


def _picked(index: Any, at: int, shape: Shape) -> int | None:
    if isinstance(index, int) and not shape:  # one of the parts of a cut tensor
        return at
    given = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(one, int | slice) for one in given) or len(given) > len(shape):
        return None
    place = at % len(shape)
    if place < len(given) and isinstance(given[place], int):
        return None
    left = [dim for dim in range(len(shape)) if dim >= len(given) or isinstance(given[dim], slice)]
    return left.index(place) - len(left)
