"""Which layers a user means by globs of dotted names, by kinds, and by `logits`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import Tensor, fx, nn

from torchlurk.errors import LurkError
from torchlurk.graph.layers import Graph, Wanted, arrange, bases_of, kind_of, merge
from torchlurk.graph.tracing import OperationTrace, is_data, record, trace_operations

USUAL = "Conv2d"
"""The kind of layer that is meant where no kind is named."""


def select(
    model: nn.Module, shape: tuple[int, int, int], patterns: Sequence[str], images: Sequence[Tensor] = ()
) -> Graph:
    """The layers of a network that some patterns name.

    A pattern is the dotted name of a module, whatever its kind; or a glob of names; or `kind:` and a glob of
    class names, case aside, of a module's class or one that it derives from; or `logits`, the module that
    gives the network's output. Globs and kinds narrow each other: without a kind only convolutions are meant,
    without a glob all names.

    Args:
        model: a network in evaluation mode.
        shape: `(C, H, W)` of its input.
        patterns: at least one.
        images: inputs `(1, C, H, W)`, whose paths are followed where the path depends on the data; by default
            one of random numbers.

    Raises:
        LurkError: a pattern names nothing that can be scanned, or an input of that shape does not pass
            through the network.
    """
    traced = trace_operations(model, shape, images[0] if images else None)
    logits = _logits(traced)
    wanted = _wanted(model, logits, patterns)
    graph = arrange(traced, model, shape, wanted)
    if traced.recorded and len(images) > 1:
        like = images[0]
        others = [record(model, image.to(like)) for image in images[1:]]
        graph = merge([graph, *(arrange(other, model, shape, wanted) for other in others)])
    if not graph.layers:
        raise LurkError(nothing_left(graph) if graph.skipped else no_match(model, patterns))
    return replace(graph, logits=logits)


def nothing_left(graph: Graph) -> str:
    """A line that says why none of the layers that were named can be scanned."""
    first = graph.skipped[0]
    more = f" (and {len(graph.skipped) - 1} more, for reasons of this kind)" if len(graph.skipped) > 1 else ""
    why = f"{first.name!r} ({first.kind}) {first.reason}{more}"
    return f"no layer can be scanned: {why}; name others by --layers"


def _wanted(model: nn.Module, logits: str | None, patterns: Sequence[str]) -> Wanted:
    names = {name for name, _ in model.named_modules() if name}
    exact = {pattern for pattern in patterns if pattern in names}
    kinds = [p.removeprefix("kind:").lower() for p in patterns if p.startswith("kind:")]
    if "logits" in patterns and "logits" not in names:
        if logits is None:
            raise LurkError(
                f"no single module of {type(model).__name__} gives its output: name a layer, not 'logits'"
            )
        exact.add(logits)
    globs = [p for p in patterns if p not in names and p != "logits" and not p.startswith("kind:")]
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            raise LurkError(no_match(model, (glob,)))
    by_pattern = bool(globs or kinds)

    def wanted(name: str, module: nn.Module) -> bool:
        if name in exact:
            return True
        classes = [kind.lower() for kind in (kind_of(module), *bases_of(module))]
        return (
            by_pattern
            and any(fnmatchcase(kind, one) for one in kinds or [USUAL.lower()] for kind in classes)
            and any(fnmatchcase(name, one) for one in globs or ["*"])
        )

    return wanted


def _logits(traced: OperationTrace) -> str | None:
    """The innermost module that gives what the network gives, but for its shape; `None` if none does."""
    given = {node: name for name, node in traced.outputs.items() if name}
    innermost: dict[fx.Node, str] = {}
    for name, node in traced.outputs.items():
        if name and name.count(".") >= innermost.get(node, "").count("."):
            innermost[node] = name
    node = next(node for node in traced.nodes if node.op == "output")
    while node not in given:
        before = [source for source in node.all_input_nodes if is_data(source)]
        if len(before) != 1:
            return None
        (node,) = before
    return innermost[node]


def no_match(model: nn.Module, patterns: Sequence[str]) -> str:
    """A line that says that patterns name nothing, and which names or kinds are near."""
    modules = {name: kind_of(module) for name, module in model.named_modules() if name}
    counts = Counter(modules.values())
    near = [
        hint
        for pattern in patterns
        for hint in (
            [
                f"kind:{kind}"
                for kind in get_close_matches(pattern.removeprefix("kind:"), counts, n=3, cutoff=0.5)
            ]
            if pattern.startswith("kind:")
            else get_close_matches(pattern, modules, n=3, cutoff=0.4)
        )
    ]
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(5))
    wanted = " or ".join(repr(pattern) for pattern in patterns)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"no layer matches {wanted}: {meant}the network has {kinds}"
