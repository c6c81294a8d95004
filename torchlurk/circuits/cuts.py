"""Cut running forwards at their layers, so that gradients end at the layers directly upstream."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from torchlurk.circuits.autograd_graph import graph_leaves
from torchlurk.graph import Layer
from torchlurk.models.hooks import first_output
from torchlurk.models.runner import Runner

_Hook = Callable[[nn.Module, tuple[Any, ...], Any], Any]
"""A forward hook: takes a module, its inputs and its output, and may return another output."""

_FRESH = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
"""Modules whose output is a new tensor that nobody else holds."""


@dataclass(frozen=True)
class Cuts:
    """Where forwards of a network are cut.

    Attributes:
        modules: By layer, the module whose output is replaced by a leaf: the layer itself; or the layer's own
            BatchNorm, if this BatchNorm alone reads the layer's output.
        repeated: The layers that a forward calls more than once.
    """

    modules: Mapping[str, str]
    repeated: frozenset[str]


@dataclass(frozen=True)
class Call:
    """The first call of a layer in a forward that is cut.

    Attributes:
        layer: Its name.
        module: Its module.
        input: The first argument, with its graph from the leaves; `None` if it is no tensor.
        output: The first tensor of the output, with its graph.
        upstream: The leaves in the graph of the output, by layer in the order of the network.
    """

    layer: str
    module: nn.Module
    input: Tensor | None
    output: Tensor
    upstream: Mapping[str, Sequence[Tensor]]


@dataclass(frozen=True)
class _Leaves:
    """The leaves of a forward and their layers.

    Attributes:
        owners: By id, since tensors are compared number by number. A tensor may inherit the id of a deleted
            one, so the tensor itself is stored as well; weakly, since the graph keeps those that it needs.
    """

    owners: dict[int, tuple[weakref.ref[Tensor], str]] = field(default_factory=dict)

    def cut(self, layer: str, module: nn.Module, output: Any) -> Any:
        """Return an output whose first floating-point tensor comes from a new leaf."""
        values, structure = pytree.tree_flatten(output)
        index = next(
            (i for i, v in enumerate(values) if isinstance(v, Tensor) and v.is_floating_point()), None
        )
        if index is None:
            return output
        leaf = values[index].detach()
        if type(module) not in _FRESH:  # an operation in place may reach an output that others hold
            leaf = leaf.clone()
        leaf.requires_grad_()
        self.owners[id(leaf)] = (weakref.ref(leaf), layer)
        # A copy, since an operation in place may follow, which a leaf does not allow.
        values[index] = leaf.clone()
        return pytree.tree_unflatten(values, structure)

    def upstream(self, tensor: Tensor, order: Sequence[str]) -> dict[str, list[Tensor]]:
        """Return the leaves in the graph of a tensor by layer, in the given order of layers."""
        found: dict[str, list[Tensor]] = {}
        for leaf in graph_leaves(tensor):
            reference, layer = self.owners.get(id(leaf), (None, ""))
            if reference is not None and reference() is leaf:
                found.setdefault(layer, []).append(leaf)
        return {layer: found[layer] for layer in order if layer in found}


@contextmanager
def cut_forward(
    runner: Runner,
    layers: Sequence[Layer],
    cut_at: Mapping[str, str],
    observe: Callable[[Call], None],
) -> Iterator[None]:
    """Cut the forward that runs inside.

    The observer is called at once, while the graph upstream of a layer is as the forward has made it: an
    operation in place may change tensors later.

    Args:
        runner: How to run the network, which is isolated.
        layers: In execution order; the observer sees them all.
        cut_at: By layer, the module whose output is replaced by a leaf; see `Cuts.modules`.
        observe: Called at the first call of each layer.
    """
    order = [layer.name for layer in layers]
    leaves = _Leaves()
    called: set[str] = set()
    busy = False  # whether a backward pass runs, in which custom functions may run modules again

    def observe_layer(name: str) -> _Hook:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            nonlocal busy
            tensor = None if busy or name in called else first_output(output)
            if tensor is None:
                return
            called.add(name)
            first = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
            busy = True
            try:
                with torch._C.DisableTorchFunction():  # such as a mode that linearises the network
                    observe(Call(name, module, first, tensor, leaves.upstream(tensor, order)))
            finally:
                busy = False

        return hook

    def cut(name: str) -> _Hook:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:  # noqa: ARG001
            # Inside no_grad, autograd does not see who reads the output.
            return leaves.cut(name, module, output) if torch.is_grad_enabled() and not busy else output

        return hook

    hooks = [(name, observe_layer(name)) for name in order]
    hooks += [(module, cut(name)) for name, module in cut_at.items()]
    with torch.enable_grad(), _registered(runner.model, hooks):
        yield


def find_cuts(runner: Runner, layers: Sequence[Layer], x: Tensor) -> Cuts:
    """Decide where forwards of a network are cut, from a forward of one image.

    Args:
        runner: How to run the network, which is isolated.
        layers: Its scanned layers.
        x: `(N, C, H, W)`, an input; the first image is used.
    """
    names = {layer.name for layer in layers}
    norms = {
        name
        for name, module in runner.model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and name not in names
    }
    # Nodes of the autograd graph: of a layer's output, and of a BatchNorm's input and output.
    marks: dict[str, list[Any]] = {name: [] for name in names}
    calls: dict[str, list[tuple[Any, Any]]] = {name: [] for name in norms}

    def mark(name: str) -> _Hook:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:  # noqa: ARG001
            copied = output.clone() if isinstance(output, Tensor) else output
            marks[name].append(copied.grad_fn if isinstance(copied, Tensor) else None)
            return copied

        return hook

    def note(name: str) -> _Hook:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
            read = inputs[0] if inputs else None
            if isinstance(read, Tensor) and isinstance(output, Tensor) and read.shape == output.shape:
                calls[name].append((read.grad_fn, output.grad_fn))
            else:
                calls[name].append((None, None))

        return hook

    hooks = [*((name, mark(name)) for name in names), *((name, note(name)) for name in norms)]
    with torch.enable_grad(), _registered(runner.model, hooks):
        output = runner(x[:1].detach().clone().requires_grad_())
    ends = [leaf.grad_fn for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    ends += [node for own in marks.values() for node in own]
    ends += [end for own in calls.values() for _, end in own]
    readers = _readers(ends)
    layer_of = {own[0]: name for name, own in marks.items() if len(own) == 1 and own[0] is not None}
    modules = {layer.name: layer.name for layer in layers}
    for norm, own in calls.items():
        read, end = own[0] if len(own) == 1 else (None, None)
        if read in layer_of and end is not None and readers[read] <= _readers([end], read).keys():
            modules[layer_of[read]] = norm
    return Cuts(modules, frozenset(name for name, own in marks.items() if len(own) > 1))


def _readers(ends: Sequence[Any], stop: Any = None) -> dict[Any, set[Any]]:
    """Return the nodes of autograd graphs, without those before `stop`, each with the nodes that read it."""
    readers: dict[Any, set[Any]] = {node: set() for node in ends if node is not None}
    waiting = list(readers)
    while waiting:
        node = waiting.pop()
        for source, _ in node.next_functions if node is not stop else ():
            if source is not None and source not in readers:
                readers[source] = set()
                waiting.append(source)
            if source is not None:
                readers[source].add(node)
    return readers


@contextmanager
def _registered(model: nn.Module, hooks: Sequence[tuple[str, _Hook]]) -> Iterator[None]:
    """Register forward hooks on modules by name, and remove them afterwards."""
    modules = dict(model.named_modules())
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name, hook in hooks:
            handles.append(modules[name].register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
