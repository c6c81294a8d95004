"""Find the head and the layers to train, and freeze everything else."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import nn

from torchlurk.errors import LurkError, Option
from torchlurk.graph.operation_trace import OperationTrace
from torchlurk.graph.selection import layer_kinds
from torchlurk.store.patterns import match_layers


def find_head(model: nn.Module, traced: OperationTrace, values: int | None) -> str:
    """Find the layer that produces a classifier's output: linear, or a convolution as in SqueezeNet.

    Operations between it and the output must have one input and no parameters, such as a ReLU or a pooling.

    Args:
        model: The network.
        traced: Its data flow.
        values: The number of output values per image; `None` if the output is not a row of numbers per image.

    Returns:
        The layer's dotted name.

    Raises:
        LurkError: The output does not come from a single such layer with one channel per value.
    """
    modules = dict(model.named_modules())
    kinds = (nn.Linear, nn.Conv2d)
    heads = {node: name for name, node in traced.outputs.items() if isinstance(modules[name], kinds)}
    node = next(node for node in traced.nodes if node.op == "output")
    while node not in heads:
        sources = node.all_input_nodes
        module = node.meta.get("module")
        if len(sources) != 1 or (module is not None and any(True for _ in module.parameters())):
            raise LurkError(
                f"the output of {type(model).__name__} does not come from one Linear or Conv2d (but from "
                f"{node.name!r}), so it has no head to replace"
            )
        (node,) = sources
    name = heads[node]
    layer = modules[name]
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if channels != values or getattr(layer, "groups", 1) != 1:
        raise LurkError(
            f"the last layer of {type(model).__name__}, {name}, has {channels} channels, but the network's "
            f"output has {values or 'no'} values per image, so it is not a classifier",
            ("give the weights of a whole classifier (imagenet, caffe or a file) with ", Option("weights")),
        )
    return name


def chosen_layers(model: nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the modules that match patterns, and all modules inside them.

    A pattern is the dotted name of a module, a glob of names, or `kind:` and a glob of class names, which
    ignores case.

    Args:
        model: The network.
        patterns: The patterns; may be empty.

    Returns:
        Dotted names, in the network's order.

    Raises:
        LurkError: A pattern matches nothing, or only modules without parameters.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    found: set[str] = set()
    kinds = layer_kinds(model)
    for pattern in patterns:
        try:
            names = match_layers([pattern], kinds)
        except LurkError as error:
            raise LurkError(error.message, error.hint, Option("unfreeze")) from None
        matched = [name for name in modules if name in names]
        if not any(True for name in matched for _ in modules[name].parameters()):
            raise LurkError(
                f"{matched[0]} is a {type(modules[matched[0]]).__name__}, which has no parameters to train",
                "choose a layer with parameters",
                Option("unfreeze", pattern),
            )
        found.update(matched)
    return tuple(name for name in modules if any(name == one or name.startswith(f"{one}.") for one in found))


def freeze_all_but(model: nn.Module, layers: Collection[str]) -> dict[str, nn.Parameter]:
    """Put chosen layers in training mode and freeze everything else.

    Frozen modules are in eval mode: their parameters require no gradient, batch norms keep their running
    statistics, dropouts do nothing. The network itself is in eval mode too, in case its forward depends on
    its mode.

    Args:
        model: The network; modes and `requires_grad` of all its modules and parameters are set.
        layers: Dotted names of modules, including those inside them, as `chosen_layers` returns them.

    Returns:
        The parameters that are trained, by name, in the network's order.
    """
    for name, module in model.named_modules():
        module.training = name in layers
    trained = {}
    for name, parameter in model.named_parameters():
        differentiable = parameter.is_floating_point() or parameter.is_complex()
        requires_grad = differentiable and name.rpartition(".")[0] in layers
        parameter.requires_grad_(requires_grad)
        if requires_grad:
            trained[name] = parameter
    return trained
