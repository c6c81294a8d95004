"""What is trained and what is frozen: patterns to layers, layers to parameters and modes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import nn

from torchlurk.errors import LurkError, Option
from torchlurk.graph.operation_trace import OperationTrace
from torchlurk.graph.selection import layer_kinds
from torchlurk.store.patterns import match_layers


def find_head(model: nn.Module, traced: OperationTrace, values: int | None) -> str:
    """The layer that gives a classifier its output: linear, or a convolution as in SqueezeNet.

    Between it and the output there may be what has no parameters and one input: a ReLU, a pooling, a
    flattening.

    Args:
        model: the network.
        traced: its data flow.
        values: how many values its output has for an image; `None` where that is no row of numbers.

    Returns:
        The layer's dotted name.

    Raises:
        LurkError: the output does not come from one such layer, with a channel a value.
    """
    modules = dict(model.named_modules())
    kinds = (nn.Linear, nn.Conv2d)
    heads = {node: name for name, node in traced.outputs.items() if isinstance(modules[name], kinds)}
    node = next(node for node in traced.nodes if node.op == "output")
    while node not in heads:
        sources = node.all_input_nodes
        own = node.meta.get("module")
        if len(sources) != 1 or (own is not None and any(True for _ in own.parameters())):
            raise LurkError(
                f"the output of {type(model).__name__} does not come from one Linear or Conv2d (but from "
                f"{node.name!r}): it has no head that a new one could take the place of"
            )
        (node,) = sources
    name = heads[node]
    layer = modules[name]
    gives = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if gives != values or getattr(layer, "groups", 1) != 1:
        raise LurkError(
            f"the last layer of {type(model).__name__} is {name}, which gives {gives} values, and the "
            f"network {values or 'no row of numbers'}: it has no classifier; give the weights of a whole one "
            "(--weights imagenet, caffe or FILE)"
        )
    return name


def chosen_layers(model: nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """The modules that some patterns name, each with all that is in it.

    A pattern is the dotted name of a module, a glob of names, or `kind:` and a glob of class names, case
    aside.

    Args:
        model: the network.
        patterns: may be none.

    Returns:
        Dotted names, in the network's order.

    Raises:
        LurkError: a pattern names nothing, or nothing that has parameters.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    kinds = layer_kinds(model)
    found: set[str] = set()
    for pattern in patterns:
        try:
            names = match_layers([pattern], kinds)
        except LurkError as problem:
            raise LurkError(problem.message, problem.hint, Option("unfreeze")) from None
        matched = [name for name in modules if name in names]
        if not any(True for name in matched for _ in modules[name].parameters()):
            raise LurkError(
                f"{matched[0]} is a {type(modules[matched[0]]).__name__}, which has nothing that could be "
                "trained",
                "name a layer with parameters",
                Option("unfreeze", pattern),
            )
        found.update(matched)
    return tuple(name for name in modules if any(name == one or name.startswith(f"{one}.") for one in found))


def freeze_all_but(model: nn.Module, layers: Collection[str]) -> dict[str, nn.Parameter]:
    """Let some layers be trained, and nothing else change.

    All that is frozen computes as in evaluation: its parameters ask for no gradient, its batch norms keep
    the statistics that they have, its dropouts do nothing. So does the network itself, where its own
    forward asks for its mode.

    Args:
        model: the network; modes and `requires_grad` of all of it are set.
        layers: dotted names of modules, each with what is in it, as `chosen_layers` gives them.

    Returns:
        The parameters that are trained, by name, in the network's order.
    """
    for name, module in model.named_modules():
        module.training = name in layers
    trained = {}
    for name, parameter in model.named_parameters():
        numbers = parameter.is_floating_point() or parameter.is_complex()
        wanted = numbers and name.rpartition(".")[0] in layers
        parameter.requires_grad_(wanted)
        if wanted:
            trained[name] = parameter
    return trained
