"""From a module to a `torch.fx` graph that knows the shape of each value and which module gave it.

`torch.fx` follows a network without running it, and so cannot follow one whose path depends on its data. Then
one real forward is recorded, call by call: the graph is that of the path which that input took.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from torchlurk.models.preserve import preserve
from torchlurk.models.validate import forward_failure, needs_autograd, random_input

_CONTAINERS = (
    nn.Sequential, nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)  # fmt: skip
"""Modules of `torch.nn` that call modules of their own."""


@dataclass(frozen=True)
class OperationTrace:
    """A network's operations in execution order.

    Attributes:
        nodes: each with `meta["shape"]`, a tuple, if its value is a tensor, and the module in
            `meta["module"]` if it is the call of one.
        outputs: the node that gives the first output of each module, leaf or container, by dotted name.
        called: dotted names of all modules that are called, also of those that give no tensor.
        recorded: whether this is the path of one forward, and not of all.
    """

    nodes: tuple[fx.Node, ...]
    outputs: Mapping[str, fx.Node]
    called: frozenset[str]
    recorded: bool


def trace_operations(
    model: nn.Module, shape: tuple[int, int, int], image: Tensor | None = None
) -> OperationTrace:
    """Follow the data through a network, without running it if that can be, else through one forward.

    Args:
        model: a network in evaluation mode; attributes that a forward sets are restored.
        shape: `(C, H, W)` of its input.
        image: `(1, C, H, W)`, an input; by default random numbers.

    Raises:
        LurkError: an input of that shape does not pass.
    """
    x = random_input(model, shape)
    x = x if image is None else image.to(x)
    tracer = _Tracer()
    try:
        with preserve(model), torch.no_grad():
            graph = tracer.trace(model)
            # Some networks can be traced but not run so: what they ask of a tensor's shape has been lost.
            _Shapes(fx.GraphModule(tracer.root, graph)).run(x.clone())
    except Exception:  # whatever it is, the forward itself will say it better
        return record(model, x)
    modules = dict(model.named_modules())
    for node in graph.nodes:
        if node.op == "call_module":
            node.meta["module"] = modules[str(node.target)]
    return OperationTrace(tuple(graph.nodes), tracer.outputs, frozenset(tracer.called), recorded=False)


def note(node: fx.Node, value: Any) -> None:
    """Note the shape of a node's value: of a tensor in `meta["shape"]`, of several in `meta["parts"]`."""
    if isinstance(value, Tensor):
        node.meta["shape"] = tuple(value.shape)
    elif isinstance(value, list | tuple) and any(isinstance(one, Tensor) for one in value):
        node.meta["parts"] = [tuple(one.shape) if isinstance(one, Tensor) else () for one in value]


def is_data(node: fx.Node) -> bool:
    """Whether a node's value holds tensors, and is not a size, say."""
    return node.op != "output" and ("shape" in node.meta or "parts" in node.meta)


def part(values: tuple[Any, ...], index: int) -> Any:
    """One of the tensors that a call gave: what stands in a recorded graph for the unpacking of a tuple."""
    return values[index]


def unseen(x: Tensor) -> Tensor:
    """What stands in a recorded graph for a computation that it does not show."""
    return x


class _Tracer(fx.Tracer):
    """Notes which node gives the output of each module, containers included."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}
        self.called: set[str] = set()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation, as those of `torch.nn` are but for containers."""
        return not isinstance(m, _CONTAINERS) and super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        name = self.path_of_module(m)
        self.called.add(name)
        result = super().call_module(m, forward, args, kwargs)
        first = _first(result, fx.Proxy)
        if first is not None:
            self.outputs.setdefault(name, first.node)
        return result


def _first(result: Any, kind: type) -> Any:
    """The first value of that kind in what a module returned, which may be a tuple or a dict."""
    return next((leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, kind)), None)


class _Shapes(fx.Interpreter):
    """Runs a graph once and notes the shape of each node's value, if that is a tensor."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        note(n, result)
        return result


def record(model: nn.Module, x: Tensor) -> OperationTrace:
    """Record one forward, call by call.

    Args:
        model: a network in evaluation mode; attributes that a forward sets are restored.
        x: `(1, C, H, W)`, its input.

    Raises:
        LurkError: the input does not pass.
    """
    try:
        with torch.no_grad():
            return _record(model, x.clone())
    except Exception as problem:
        if needs_autograd(problem):
            with contextlib.suppress(Exception), torch.enable_grad():
                return _record(model, x.detach().clone().requires_grad_().clone())
        raise forward_failure(model, (x.shape[1], x.shape[2], x.shape[3]), problem) from problem


def _record(model: nn.Module, x: Tensor) -> OperationTrace:
    own = [leaf for module in model.modules() for leaf in pytree.tree_leaves(vars(module))]
    traced = _record_with(model, x, [leaf for leaf in own if isinstance(leaf, Tensor)])
    if any(node.target is unseen for node in traced.nodes):
        # Tensors of no module: to find those of globals and caches takes a look at all objects there are.
        traced = _record_with(model, x, _tensors())
    return traced


def _record_with(model: nn.Module, x: Tensor, before: Iterable[Tensor]) -> OperationTrace:
    """Record a forward where some tensors are known not to depend on its input."""
    x = x.clone()
    recorder = _Recorder(fx.Graph(), before)
    # Not inference mode, whose tensors do not count how often they were written to.
    with preserve(model), _hooked(model, recorder), recorder:
        recorder.latest = recorder.graph.placeholder("x")
        recorder.dependent.add(recorder.latest)
        recorder.know(x, recorder.latest)
        recorder.graph.output(recorder.node_of(_first(model(x), Tensor)))
    return OperationTrace(
        tuple(recorder.graph.nodes), recorder.outputs, frozenset(recorder.called), recorded=True
    )


_LEAVING = ("numpy", "tolist", "__array__")
"""Functions by which values leave torch."""

_MAKING = ("tensor", "as_tensor", "asarray", "from_numpy", "frombuffer")
"""Functions that make tensors of what is none."""


class _Recorder(TorchFunctionMode):
    """Writes down each call on tensors outside the leaf modules, and each leaf module, as a node.

    What computes without torch's functions is not seen: scripted functions, NumPy. A tensor that they give
    may hold anything that depends on the input, and is written down as a function of it.

    Args:
        graph: where to.
        before: tensors that there are before the forward, which do not depend on its input.
    """

    def __init__(self, graph: fx.Graph, before: Iterable[Tensor]) -> None:
        super().__init__()
        self.graph = graph
        self.before = {id(tensor): tensor for tensor in before}
        self.dependent: set[fx.Node] = set()  # on the input
        self.latest: fx.Node | None = None  # of those
        self.left = False  # whether values have left torch, so that they may come back as numbers
        self.outputs: dict[str, fx.Node] = {}
        self.called: set[str] = set()
        # A tensor is kept with its node, for a new one may take the place of one that is gone.
        self.memory: dict[int, tuple[Tensor, fx.Node]] = {}
        self.inside = 0

    def know(self, tensor: Tensor, node: fx.Node) -> None:
        note(node, tensor)
        self.memory[id(tensor)] = (tensor, node)

    def node_of(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value if isinstance(value, int | float | str | bool | type(None) | slice) else repr(value)
        known = self.memory.get(id(value))
        if known is None:
            if id(value) in self.before:
                node = self.graph.create_node("get_attr", "constant")
            else:
                node = self.graph.create_node("call_function", unseen, (self.latest,))
                self.dependent.add(node)
            self.know(value, node)
            known = self.memory[id(value)]
        return known[1]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        before = _versions((args, given))
        result = func(*args, **given)
        if not self.inside:
            result = _apart(result, before)
        name = getattr(func, "__name__", "")
        self.left |= name in _LEAVING
        if self.inside or name in ("__get__", "size", "dim", "numel") or (self.left and name in _MAKING):
            return result
        changed = args[0] if args and isinstance(args[0], Tensor) else None
        if result is None and name == "__setitem__" and changed is not None:
            result_tensors = [changed]
        else:
            result_tensors = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        if result_tensors:
            self.write(func, name, args, given, result_tensors)
        return result

    def write(
        self,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        given: dict[str, Any],
        results: list[Tensor],
    ) -> None:
        is_method = getattr(torch.Tensor, name, None) is func
        node = self.graph.create_node(
            "call_method" if is_method else "call_function",
            name if is_method else func,
            pytree.tree_map(self.node_of, args),
            pytree.tree_map(self.node_of, given),
        )
        self.give(node, results)

    def give(self, node: fx.Node, results: list[Tensor]) -> None:
        """Note whose values these are; of several, each is a part of the node."""
        if not self.dependent.isdisjoint(node.all_input_nodes):
            self.dependent.add(node)
            self.latest = node
        if len(results) == 1:
            self.know(results[0], node)
            return
        note(node, results)
        for index, tensor in enumerate(results):
            self.know(tensor, self.graph.create_node("call_function", part, (node, index)))


def _tensors() -> list[Tensor]:
    """All tensors that there are: of modules, in globals, in caches of functions."""
    return [one for one in gc.get_objects() if issubclass(type(one), Tensor)]


def _versions(values: Any) -> dict[int, int]:
    """How often each of the tensors has been written to, by its id."""
    return {id(t): t._version for t in pytree.tree_leaves(values) if isinstance(t, Tensor)}


def _apart(result: Any, before: Mapping[int, int]) -> Any:
    """A tensor that came back as it went in, as another object: it is a value of its own in the graph."""

    def alias(value: Any) -> Any:
        same = isinstance(value, Tensor) and before.get(id(value)) == value._version
        return value.view(value.shape) if same else value

    return pytree.tree_map(alias, result)


@contextmanager
def _hooked(model: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Tell the recorder of each module that is called; leaves are those of `torch.nn`, as for `torch.fx`."""
    tracer = _Tracer()
    handles = []

    def before(leaf: bool) -> Callable[..., None]:
        def hook(module: nn.Module, args: object) -> None:  # noqa: ARG001
            recorder.inside += leaf

        return hook

    def after(name: str, leaf: bool) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            recorder.inside -= leaf
            recorder.called.add(name)
            if leaf and not recorder.inside and not getattr(module, "inplace", False):
                output = _apart(output, _versions((args, kwargs)))
            tensors = [t for t in pytree.tree_leaves(output) if isinstance(t, Tensor)]
            if not tensors or recorder.inside:
                return output
            if leaf:
                nodes = pytree.tree_map(recorder.node_of, (args, kwargs))
                node = recorder.graph.create_node("call_module", name, *nodes)
                node.meta["module"] = module
                recorder.give(node, tensors)
            recorder.outputs.setdefault(name, recorder.node_of(tensors[0]))
            return output

        return hook

    try:
        for name, module in model.named_modules():
            leaf = bool(name) and tracer.is_leaf_module(module, name)
            handles.append(module.register_forward_pre_hook(before(leaf)))
            handles.append(module.register_forward_hook(after(name, leaf), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
