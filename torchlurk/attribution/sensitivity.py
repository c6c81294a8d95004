"""Gradients of any target with respect to the input, to layers and to parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from torchlurk.attribution.backward import require_history
from torchlurk.attribution.targets import (
    ClassLogit,
    LayerUnit,
    Target,
    find_module,
    is_unit,
    parse_unit,
    pick_logit,
    pick_unit,
)
from torchlurk.errors import LurkError, Option
from torchlurk.graph import prepare
from torchlurk.models.hooks import MapAxes, as_feature_map, check_observable
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import run_forward
from torchlurk.models.validate import as_module, check_module

GradientTarget = Target | int | str | Callable[[object], Tensor]
"""A class by number; `LAYER:CHANNEL[@Y,X]`; `LAYER`, its whole output; or a function of the output."""

_ParsedTarget = Target | str | Callable[[object], Tensor]


@dataclass(frozen=True)
class Gradients:
    """The gradients of a target.

    Attributes:
        value: The target itself: `(N,)` for a class or a unit; otherwise of the target's own shape.
        input: Gradient with respect to the input, of its shape.
        layers: Gradients with respect to layers by dotted name, each of the shape of the layer's output.
        parameters: Gradients with respect to parameters by dotted name, such as `features.28.weight`.
    """

    value: Tensor
    input: Tensor = field(repr=False)
    layers: Mapping[str, Tensor] = field(repr=False)
    parameters: Mapping[str, Tensor] = field(repr=False)


def gradients(
    model: nn.Module,
    x: Tensor,
    target: GradientTarget,
    *,
    layers: Sequence[str] = (),
    parameters: Sequence[str] = (),
    weights: Tensor | None = None,
) -> Gradients:
    """Compute the gradients of a target with respect to the input, to activations and to parameters.

    One forward and one backward pass in eval mode compute all of them. Afterwards, also after an exception,
    the network is unchanged: its modes, its hooks, its parameters, their `requires_grad` and their `grad`.

    Args:
        model: A network; its parameters need not require gradients.
        x: `(N, C, H, W)`, or any other input of the network; floating point, on its device.
        target: What to differentiate: the logit of a class, by number; a unit or the mean of a map, as
            `"features.28:7@6,3"` or `"features.28:7"`; the whole output of a layer, as `"features.28"`; or a
            function of the network's output.
        layers: Dotted names of modules with respect to whose outputs to differentiate; for a module that is
            called several times, its first output.
        parameters: Dotted names of modules with respect to all of whose parameters to differentiate; `""` for
            all parameters of the network.
        weights: Weights of the target's values, of its shape. Without them the target must be a scalar, or
            one number per image, such as the logit of a class; these are then summed.

    Returns:
        Gradients, detached; zero where the target does not depend on something.

    Raises:
        LurkError: There is no such layer, class or unit, a layer is not reached, or `weights` have another
            shape than the target.

    Examples:
        >>> x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> found = torchlurk.gradients(model, x, 6, layers=["features.14"], parameters=["classifier"])
        >>> found.value.shape, found.input.shape, found.layers["features.14"].shape
        (torch.Size([2]), torch.Size([2, 3, 32, 32]), torch.Size([2, 128, 8, 8]))
        >>> list(found.parameters)
        ['classifier.weight', 'classifier.bias']

        The whole output of a layer, with weights of its shape; and a function of the output:

        >>> weights = torch.ones(2, 32, 32, 32)
        >>> torchlurk.gradients(model, x, "features.3", weights=weights).value.shape
        torch.Size([2, 32, 32, 32])
        >>> surprise = torchlurk.gradients(model, x, lambda logits: logits.logsumexp(1) - logits[:, 6])
        >>> surprise.input.shape
        torch.Size([2, 3, 32, 32])
    """
    model = as_module(model)
    check_module(model)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise LurkError(f"x is a {kind}", "give a tensor of floats, (N, C, H, W), as the network takes it")
    parsed = _parse_target(target)
    modules = {name: find_module(model, name) for name in _layers_to_keep(layers, parsed)}
    differentiated = _parameters_of(model, parameters)
    with isolated(model), ExitStack() as stack:
        axes = _axes(model, parsed.layer, x) if isinstance(parsed, LayerUnit) else {}
        stack.enter_context(torch.enable_grad())
        kept = stack.enter_context(_keep_outputs(modules))
        for parameter in differentiated.values():
            parameter.requires_grad_(True)
        leaf = x.detach().clone().requires_grad_()
        # A copy, since the first operation of the network may be in place, which a leaf does not allow.
        output = run_forward(model, leaf.clone())
        for name in modules:
            if name not in kept:
                raise LurkError(f"layer {name!r} is not reached by this input", "name another layer")
        images = len(x) if x.dim() == 4 else None
        value = _value(parsed, output, kept, modules, axes, images)
        require_history(value)
        results = torch.autograd.grad(
            value,
            [leaf, *(kept[name] for name in layers), *differentiated.values()],
            grad_outputs=_grad_outputs(value, weights),
            allow_unused=True,
            materialize_grads=True,
        )
    return Gradients(
        value.detach(),
        results[0],
        dict(zip(layers, results[1 : 1 + len(layers)], strict=True)),
        dict(zip(differentiated, results[1 + len(layers) :], strict=True)),
    )


def _parse_target(target: GradientTarget) -> _ParsedTarget:
    if isinstance(target, int):
        return ClassLogit(target)
    if isinstance(target, str) and is_unit(target):
        return parse_unit(target)
    return target


def _layers_to_keep(layers: Sequence[str], target: _ParsedTarget) -> list[str]:
    """Return the layers whose outputs are needed: to differentiate by, and of the target."""
    names = [*layers]
    if isinstance(target, LayerUnit):
        names.append(target.layer)
    elif isinstance(target, str):
        names.append(target)
    return list(dict.fromkeys(names))


def _axes(model: nn.Module, layer: str, x: Tensor) -> Mapping[str, MapAxes]:
    """Return how to read a layer's output as feature maps; nothing if the input is not a batch of images.

    Raises:
        LurkError: Its output cannot be read as feature maps of single images.
    """
    if x.dim() != 4 or not len(x):
        return {}
    shape = (x.shape[1], x.shape[2], x.shape[3])
    runner, graph = prepare(model, shape, (layer,), x.detach()[:2])
    for skipped in graph.skipped:
        raise LurkError(
            f"layer {skipped.name!r} ({skipped.kind}) {skipped.reason}", "name a unit of another layer"
        )
    return runner.axes


def _value(
    target: _ParsedTarget,
    output: object,
    kept: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
    axes: Mapping[str, MapAxes],
    images: int | None,
) -> Tensor:
    if isinstance(target, ClassLogit):
        return pick_logit(output, target, images)
    if isinstance(target, LayerUnit):
        module = modules[target.layer]
        maps = as_feature_map(module, kept[target.layer], axes.get(target.layer))
        return pick_unit(maps, target, type(module).__name__)
    if isinstance(target, str):
        return kept[target]
    value: object = target(output)
    if not isinstance(value, Tensor):
        raise LurkError(
            f"the target function returns a {type(value).__name__}",
            "return a tensor that is computed from the output",
        )
    return value


def _grad_outputs(value: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        if value.dim() > 1:
            raise LurkError(
                f"the target has the shape {tuple(value.shape)}",
                ("give ", Option("weights"), " of that shape, or a target that is one number per image"),
            )
        return torch.ones_like(value)
    if weights.shape != value.shape:
        raise LurkError(
            f"weights have the shape {tuple(weights.shape)}",
            f"give weights of the target's shape, {tuple(value.shape)}",
        )
    return weights.to(value)


def _parameters_of(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Parameter]:
    """Return the floating-point parameters of some modules by name.

    Raises:
        LurkError: There is no such module, or it has no parameters.
    """
    parameters: dict[str, nn.Parameter] = {}
    for name in names:
        own = dict(find_module(model, name).named_parameters(prefix=name, remove_duplicate=False))
        if not own:
            raise LurkError(f"layer {name!r} has no parameters", "name a layer that has some")
        parameters |= {key: value for key, value in own.items() if value.is_floating_point()}
    return parameters


@contextmanager
def _keep_outputs(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep the first output of each module, and pass a copy of it on to the network."""
    kept: dict[str, Tensor] = {}
    handles = []

    def hook(name: str) -> Callable[[nn.Module, object, object], object]:
        def keep(module: nn.Module, inputs: object, output: object) -> object:  # noqa: ARG001
            leaves, structure = pytree.tree_flatten(output)
            index = next((i for i, leaf in enumerate(leaves) if _is_floating(leaf)), None)
            if name in kept or index is None:
                return output
            tensor = leaves[index]
            check_observable(tensor)
            if not tensor.requires_grad:  # it depends on nothing to differentiate by
                tensor = tensor.detach().requires_grad_()
            kept[name] = tensor
            # An in-place function that follows changes the copy, not the tensor to differentiate by.
            leaves[index] = tensor.clone()
            return pytree.tree_unflatten(leaves, structure)

        return keep

    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(hook(name)))
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _is_floating(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()
