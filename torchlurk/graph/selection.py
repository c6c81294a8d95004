"""Which layers of a network the patterns of `--layers` match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, fx, nn

from torchlurk.errors import LurkError, Option
from torchlurk.graph.build import build_graph, merge_paths
from torchlurk.graph.layers import Graph, LayerPredicate, bases_of, kind_of
from torchlurk.graph.operation_trace import OperationTrace, is_data
from torchlurk.graph.recording import record_forward
from torchlurk.graph.tracing import trace_operations
from torchlurk.store.patterns import match_layers, no_layer_match

_DEFAULT_KIND = "Conv2d"
"""The kind of layer that globs match if no kind is given."""


def select(
    model: nn.Module, shape: tuple[int, int, int], patterns: Sequence[str], images: Sequence[Tensor] = ()
) -> Graph:
    """Return the layers of a network that match patterns.

    A pattern is the dotted name of a module, whatever its kind; or a glob of names; or `kind:` and a glob of
    class names, case ignored, of a module's class or one that it derives from; or `logits`, the module that
    gives the network's output. Globs and kinds narrow each other: without a kind only convolutions match,
    without a glob all names.

    Args:
        model: A network in eval mode.
        shape: `(C, H, W)` of its input.
        patterns: At least one.
        images: Inputs `(1, C, H, W)`, whose paths are traced if the path depends on the data; by default one
            of random numbers.

    Raises:
        LurkError: A pattern matches nothing, no match can be scanned, or an input of that shape does not pass
            through the network.
    """
    traced = trace_operations(model, shape, images[0] if images else None)
    logits = _logits_module(traced)
    is_selected = _predicate(model, logits, patterns)
    graph = build_graph(traced, model, shape, is_selected)
    if traced.recorded and len(images) > 1:
        first = images[0]
        other_paths = [record_forward(model, image.to(first)) for image in images[1:]]
        graph = merge_paths([graph, *(build_graph(path, model, shape, is_selected) for path in other_paths)])
    if not graph.layers:
        raise no_scannable_layer(graph) if graph.skipped else no_layer_match(patterns[0], layer_kinds(model))
    return replace(graph, logits=logits)


def no_scannable_layer(graph: Graph) -> LurkError:
    """Return the error for a graph whose selected layers are all skipped."""
    first = graph.skipped[0]
    more = f" (and {len(graph.skipped) - 1} more, for similar reasons)" if len(graph.skipped) > 1 else ""
    return LurkError(
        f"no layer can be scanned: {first.name!r} ({first.kind}) {first.reason}{more}",
        ("name other layers with ", Option("layers")),
    )


def layer_kinds(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return the names of each module's class and its base classes, as `match_layers` takes them."""
    return {name: (kind_of(module), *bases_of(module)) for name, module in model.named_modules() if name}


def _predicate(model: nn.Module, logits: str | None, patterns: Sequence[str]) -> LayerPredicate:
    kinds = layer_kinds(model)
    if "logits" in patterns and "logits" not in kinds and logits is None:
        raise LurkError(
            f"no single module of {type(model).__name__} gives its output",
            "name a layer instead of 'logits'",
        )
    names = match_layers(patterns, kinds, logits=logits, default_kind=_DEFAULT_KIND)
    return lambda name, module: name in names  # noqa: ARG005


def _logits_module(traced: OperationTrace) -> str | None:
    """Return the innermost module that gives the network's output up to a reshape; `None` if none does."""
    innermost: dict[fx.Node, str] = {}
    for name, node in traced.outputs.items():
        if name and name.count(".") >= innermost.get(node, "").count("."):
            innermost[node] = name
    node = next(node for node in traced.nodes if node.op == "output")
    while node not in innermost:
        sources = [source for source in node.all_input_nodes if is_data(source)]
        if len(sources) != 1:
            return None
        (node,) = sources
    return innermost[node]
