"""What the autograd graph of a forward says: the leaves that a tensor depends on, and how."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from torchlurk.models.hooks import MapAxes

_ELEMENTWISE = frozenset({"CloneBackward0", "ReluBackward0", "LeakyReluBackward0", "PreluKernelBackward0"})
"""Operations on single numbers that are positively homogeneous: f(a x) = a f(x) for a > 0."""

_POOLINGS = frozenset(
    {
        "MaxPool2DWithIndicesBackward0",
        "AvgPool2DBackward0",
        "AdaptiveMaxPool2DBackward0",
        "AdaptiveAvgPool2DBackward0",
    }
)
"""Poolings of `(N, C, H, W)`, which are positively homogeneous too."""

_VIEWS = frozenset({"ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0"})


def graph_leaves(tensor: Tensor) -> list[Tensor]:
    """Return the leaves of a tensor's autograd graph."""
    leaves: list[Tensor] = []
    waiting: list[Any] = [tensor.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        waiting.extend(source for source, _ in node.next_functions)
    return leaves


def is_channelwise(tensor: Tensor, leaf: Tensor, axes: MapAxes, contracted: int) -> bool:
    """Return whether a tensor is a chain of channelwise, positively homogeneous operations on one leaf.

    Then Euler's theorem holds for every channel on its own: the derivative of the tensor's numbers with
    respect to the leaf, times the leaf, is the tensor.

    Args:
        tensor: A tensor of a running forward.
        leaf: A leaf of its graph.
        axes: Of the leaf.
        contracted: The dimension of the tensor that must hold the leaf's channels; or its channels and then
            their positions, if the map has been flattened.
    """
    is_map = (axes.dims, axes.batch, axes.channels) == (4, 0, 1)
    flattened = False
    node: Any = tensor.grad_fn
    while node is not None:
        if hasattr(node, "variable"):
            return node.variable is leaf and contracted == axes.channels and axes.batch == 0
        name = node.name()
        if name in _VIEWS:
            count, *rest = node._saved_self_sym_sizes
            if flattened or not is_map or len(rest) != 3 or tensor.shape != (count, math.prod(rest)):
                return False
            flattened = True
        elif name not in _ELEMENTWISE and not (is_map and name in _POOLINGS):
            return False
        sources = [source for source, _ in node.next_functions if source is not None]
        if len(sources) != 1:
            return False
        (node,) = sources
    return False
