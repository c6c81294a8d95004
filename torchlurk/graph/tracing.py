"""Trace a network's operations without running it, or record a forward if that is impossible.

`torch.fx` follows a network symbolically, and so cannot follow one whose path depends on its data. In that
case one real forward is recorded, see `recording.py`: the graph is the path of that input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from torchlurk.graph.operation_trace import OperationTrace, annotate_shape, first_of_type, is_leaf
from torchlurk.graph.recording import record_forward
from torchlurk.models.exceptions import FORWARD_ERRORS
from torchlurk.models.preserve import preserve
from torchlurk.models.trial_forward import random_input


def trace_operations(
    model: nn.Module, shape: tuple[int, int, int], image: Tensor | None = None
) -> OperationTrace:
    """Trace a network symbolically if possible, otherwise by recording one forward.

    Args:
        model: A network in eval mode; attributes that a forward sets are restored.
        shape: `(C, H, W)` of its input.
        image: `(1, C, H, W)`, an input; by default random numbers.

    Raises:
        LurkError: An input of that shape does not pass through the network.
    """
    x = random_input(model, shape)
    x = x if image is None else image.to(x)
    tracer = _Tracer()
    try:
        with preserve(model), torch.no_grad():
            graph = tracer.trace(model)
            # Some networks can be traced but not run from the trace: it has lost sizes that they use.
            _ShapeInterpreter(fx.GraphModule(tracer.root, graph)).run(x.clone())
    except FORWARD_ERRORS:  # the recorded forward reports a failure best
        return record_forward(model, x)
    modules = dict(model.named_modules())
    for node in graph.nodes:
        if node.op == "call_module":
            node.meta["module"] = modules[str(node.target)]
    return OperationTrace(tuple(graph.nodes), tracer.outputs, frozenset(tracer.called), recorded=False)


class _Tracer(fx.Tracer):
    """A tracer that keeps the node of each module's output, including containers."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}
        self.called: set[str] = set()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is a single operation."""
        return is_leaf(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        name = self.path_of_module(m)
        self.called.add(name)
        result = super().call_module(m, forward, args, kwargs)
        first = first_of_type(result, fx.Proxy)
        if first is not None:
            self.outputs.setdefault(name, first.node)
        return result


class _ShapeInterpreter(fx.Interpreter):
    """Runs a graph once and stores the shape of each node's value."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        annotate_shape(n, result)
        return result
