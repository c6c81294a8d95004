"""A network's operations as nodes of a `torch.fx` graph, with the shape of each value."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

_CONTAINERS = (
    nn.Sequential, nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)  # fmt: skip
"""Modules of `torch.nn` that call modules of their own."""


@dataclass(frozen=True)
class OperationTrace:
    """A network's operations in execution order.

    Attributes:
        nodes: The operations. `meta["shape"]` is the shape of a value that is a tensor, `meta["module"]` the
            module of a node that calls one.
        outputs: The node of the first output of each module, leaf or container, by dotted name.
        called: Dotted names of all modules that are called, including those that return no tensor.
        recorded: Whether this is the path of one forward, not of all.
    """

    nodes: tuple[fx.Node, ...]
    outputs: Mapping[str, fx.Node]
    called: frozenset[str]
    recorded: bool


def annotate_shape(node: fx.Node, value: Any) -> None:
    """Store the shape of a tensor in `meta["shape"]`, the shapes of several tensors in `meta["parts"]`."""
    if isinstance(value, Tensor):
        node.meta["shape"] = tuple(value.shape)
    elif isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
        node.meta["parts"] = [tuple(part.shape) if isinstance(part, Tensor) else () for part in value]


def is_data(node: fx.Node) -> bool:
    """Return whether a node's value holds tensors, rather than for instance a size."""
    return node.op != "output" and ("shape" in node.meta or "parts" in node.meta)


def is_leaf(module: nn.Module, name: str) -> bool:
    """Return whether a module is a single operation, as those of `torch.nn` are except for containers."""
    return not isinstance(module, _CONTAINERS) and fx.Tracer().is_leaf_module(module, name)


def first_of_type(result: Any, kind: type) -> Any:
    """Return the first value of a type in a module's result, which may be nested; `None` without one."""
    return next((leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, kind)), None)


def is_one_of(target: Any, targets: Container[Any]) -> bool:
    """Return whether the target of a node, a module, a function or a method's name, is in a collection."""
    try:
        return target in targets
    except TypeError:  # a module may be unhashable
        return False


def take_part(values: tuple[Any, ...], index: int) -> Any:
    """Return one of the tensors of a result; stands for the unpacking of a tuple in a recorded graph."""
    return values[index]


def unrecorded(x: Tensor) -> Tensor:
    """Return the input; stands for a computation that a recorded graph does not show."""
    return x
