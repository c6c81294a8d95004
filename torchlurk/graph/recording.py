"""Record the operations of one forward, call by call."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from torchlurk.graph.operation_trace import (
    OperationTrace,
    annotate_shape,
    first_of_type,
    is_leaf,
    take_part,
    unrecorded,
)
from torchlurk.models.exceptions import FORWARD_ERRORS
from torchlurk.models.preserve import preserve
from torchlurk.models.trial_forward import explain_failed_forward, needs_autograd

_LEAVE_TORCH = ("numpy", "tolist", "__array__")
"""Functions by which values leave torch."""

_CREATE_TENSORS = ("tensor", "as_tensor", "asarray", "from_numpy", "frombuffer")
"""Functions that create tensors from other values."""

_NO_OPERATION = ("__get__", "size", "dim", "numel")
"""Functions that only read an attribute of a tensor."""


def record_forward(model: nn.Module, x: Tensor) -> OperationTrace:
    """Record the operations of one forward.

    Args:
        model: A network in eval mode; attributes that a forward sets are restored.
        x: `(1, C, H, W)`, its input.

    Raises:
        LurkError: The input does not pass through the network.
    """
    try:
        with torch.no_grad():
            return _record(model, x.clone())
    except FORWARD_ERRORS as problem:
        if needs_autograd(problem):
            with contextlib.suppress(*FORWARD_ERRORS), torch.enable_grad():
                return _record(model, x.detach().clone().requires_grad_().clone())
        raise explain_failed_forward(model, (x.shape[1], x.shape[2], x.shape[3]), problem) from problem


def _record(model: nn.Module, x: Tensor) -> OperationTrace:
    attributes = [leaf for module in model.modules() for leaf in pytree.tree_leaves(vars(module))]
    trace = _record_with(model, x, [leaf for leaf in attributes if isinstance(leaf, Tensor)])
    if any(node.target is unrecorded for node in trace.nodes):
        # The network uses tensors of no module. Those of globals and caches are only found among all objects.
        trace = _record_with(model, x, _all_tensors())
    return trace


def _record_with(model: nn.Module, x: Tensor, constants: Iterable[Tensor]) -> OperationTrace:
    """Record a forward, given tensors that are known not to depend on its input."""
    x = x.clone()
    recorder = _Recorder(fx.Graph(), constants)
    # Not in inference mode, whose tensors do not count how often they were written to.
    with preserve(model), _recording_modules(model, recorder), recorder:
        recorder.latest = recorder.graph.placeholder("x")
        recorder.dependent.add(recorder.latest)
        recorder.remember(x, recorder.latest)
        recorder.graph.output(recorder.node_of(first_of_type(model(x), Tensor)))
    return OperationTrace(
        tuple(recorder.graph.nodes), recorder.outputs, frozenset(recorder.called), recorded=True
    )


class _Recorder(TorchFunctionMode):
    """Adds a node for each call on tensors outside leaf modules, and for each leaf module.

    Computations without torch functions, such as scripted functions and NumPy, are not intercepted. A tensor
    that they return may depend on the input in any way, so it is recorded as a function of it.

    Args:
        graph: The graph to add nodes to.
        constants: Tensors that exist before the forward, and so do not depend on its input.
    """

    def __init__(self, graph: fx.Graph, constants: Iterable[Tensor]) -> None:
        super().__init__()
        self.graph = graph
        self.constants = {id(tensor): tensor for tensor in constants}
        self.dependent: set[fx.Node] = set()  # the nodes that depend on the input
        self.latest: fx.Node | None = None  # the last of them
        self.left_torch = False  # whether values have left torch, so that they may come back as numbers
        self.outputs: dict[str, fx.Node] = {}
        self.called: set[str] = set()
        # Each tensor is kept beside its node, since a new tensor may get the id of a deleted one.
        self.memory: dict[int, tuple[Tensor, fx.Node]] = {}
        self.leaf_depth = 0

    def remember(self, tensor: Tensor, node: fx.Node) -> None:
        """Associate a tensor with its node."""
        annotate_shape(node, tensor)
        self.memory[id(tensor)] = (tensor, node)

    def node_of(self, value: Any) -> Any:
        """Return the node of a tensor; other values as they are, or as text."""
        if not isinstance(value, Tensor):
            return value if isinstance(value, int | float | str | bool | type(None) | slice) else repr(value)
        if id(value) not in self.memory:
            if id(value) in self.constants:
                node = self.graph.create_node("get_attr", "constant")
            else:
                node = self.graph.create_node("call_function", unrecorded, (self.latest,))
                self.dependent.add(node)
            self.remember(value, node)
        return self.memory[id(value)][1]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        before = _versions((args, options))
        result = func(*args, **options)
        if not self.leaf_depth:
            result = _distinct(result, before)
        name = getattr(func, "__name__", "")
        self.left_torch |= name in _LEAVE_TORCH
        if self.leaf_depth or name in _NO_OPERATION or (self.left_torch and name in _CREATE_TENSORS):
            return result
        changed = args[0] if args and isinstance(args[0], Tensor) else None
        if result is None and name == "__setitem__" and changed is not None:
            results = [changed]
        else:
            results = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        if results:
            self.add_call(func, name, args, options, results)
        return result

    def add_call(
        self,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        options: dict[str, Any],
        results: list[Tensor],
    ) -> None:
        """Add the node of a call of a function or a method."""
        is_method = getattr(torch.Tensor, name, None) is func
        node = self.graph.create_node(
            "call_method" if is_method else "call_function",
            name if is_method else func,
            pytree.tree_map(self.node_of, args),
            pytree.tree_map(self.node_of, options),
        )
        self.set_results(node, results)

    def set_results(self, node: fx.Node, results: list[Tensor]) -> None:
        """Associate a call's results with its node; each of several results is a part of the node."""
        if not self.dependent.isdisjoint(node.all_input_nodes):
            self.dependent.add(node)
            self.latest = node
        if len(results) == 1:
            self.remember(results[0], node)
            return
        annotate_shape(node, results)
        for index, tensor in enumerate(results):
            self.remember(tensor, self.graph.create_node("call_function", take_part, (node, index)))


def _all_tensors() -> list[Tensor]:
    """Return all existing tensors: of modules, in globals, in caches of functions."""
    return [obj for obj in gc.get_objects() if issubclass(type(obj), Tensor)]


def _versions(values: Any) -> dict[int, int]:
    """Return how often each tensor has been written to, by its id."""
    return {id(t): t._version for t in pytree.tree_leaves(values) if isinstance(t, Tensor)}


def _distinct(result: Any, before: Mapping[int, int]) -> Any:
    """Replace tensors that a call returns unchanged by views, so that they get nodes of their own."""

    def view_if_unchanged(value: Any) -> Any:
        unchanged = isinstance(value, Tensor) and before.get(id(value)) == value._version
        return value.view(value.shape) if unchanged else value

    return pytree.tree_map(view_if_unchanged, result)


@contextmanager
def _recording_modules(model: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Report each module call to the recorder; leaves are those of `torch.nn`, as for `torch.fx`."""
    handles = []

    def before(leaf: bool) -> Callable[..., None]:
        def hook(module: nn.Module, args: object) -> None:  # noqa: ARG001
            recorder.leaf_depth += leaf

        return hook

    def after(name: str, leaf: bool) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            recorder.leaf_depth -= leaf
            recorder.called.add(name)
            if leaf and not recorder.leaf_depth and not getattr(module, "inplace", False):
                output = _distinct(output, _versions((args, kwargs)))
            tensors = [t for t in pytree.tree_leaves(output) if isinstance(t, Tensor)]
            if not tensors or recorder.leaf_depth:
                return output
            if leaf:
                nodes = pytree.tree_map(recorder.node_of, (args, kwargs))
                node = recorder.graph.create_node("call_module", name, *nodes)
                node.meta["module"] = module
                recorder.set_results(node, tensors)
            recorder.outputs.setdefault(name, recorder.node_of(tensors[0]))
            return output

        return hook

    try:
        for name, module in model.named_modules():
            leaf = bool(name) and is_leaf(module, name)
            handles.append(module.register_forward_pre_hook(before(leaf)))
            handles.append(module.register_forward_hook(after(name, leaf), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
