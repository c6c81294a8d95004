"""The gradient of whatever one likes with respect to the input, to layers and to parameters."""

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
from torchlurk.errors import LurkError
from torchlurk.graph import prepare
from torchlurk.models.hooks import MapAxes, as_map, check_observable
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import forward
from torchlurk.models.validate import as_network, check_kind

Wanted = Target | int | str | Callable[[object], Tensor]
"""A class by number; `LAYER:CHANNEL[@Y,X]`; `LAYER`, all it gives; or a function of the output."""


@dataclass(frozen=True)
class Gradients:
    """What came back from a target.

    Attributes:
        value: the target itself: `(N,)` of a class or a unit; else of the target's own shape.
        input: of the shape of the input.
        layers: by dotted name, of the shape of what the layer gave.
        parameters: by dotted name, such as `features.28.weight`, of the parameter's shape.
    """

    value: Tensor
    input: Tensor = field(repr=False)
    layers: Mapping[str, Tensor] = field(repr=False)
    parameters: Mapping[str, Tensor] = field(repr=False)


def gradients(
    model: nn.Module,
    x: Tensor,
    target: Wanted,
    *,
    layers: Sequence[str] = (),
    parameters: Sequence[str] = (),
    weights: Tensor | None = None,
) -> Gradients:
    """The gradient of a target with respect to the input, to activations and to parameters, in one pass.

    It is computed in evaluation mode. Afterwards, also after an exception, the network is as it was: its
    modes, its hooks, its parameters, what of them asks for gradients, and their `grad`.

    Args:
        model: a network; none of its parameters needs to ask for gradients.
        x: `(N, C, H, W)`, or whatever else it takes; floating point, on its device.
        target: what to differentiate: a class's logit, by number; a unit or a map's mean, as
            `"features.28:7@6,3"` or `"features.28:7"`; all that a layer gives, as `"features.28"`; or a
            function of what the network gives.
        layers: dotted names of modules whose outputs to differentiate by; of one that is called several
            times, the first output.
        parameters: dotted names of modules, all of whose parameters to differentiate by; `""` for all
            that there are.
        weights: of the target's values, in its shape. Without them the target has to be one number, or
            one for each image, as the logit of a class is; those are then summed.

    Returns:
        Gradients, detached; zero where the target does not depend on something.

    Raises:
        LurkError: there is no such layer, class or unit, a layer is not run, or `weights` do not fit.

    Examples:
        >>> x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> found = torchlurk.gradients(model, x, 6, layers=["features.14"], parameters=["classifier"])
        >>> found.value.shape, found.input.shape, found.layers["features.14"].shape
        (torch.Size([2]), torch.Size([2, 3, 32, 32]), torch.Size([2, 128, 8, 8]))
        >>> list(found.parameters)
        ['classifier.weight', 'classifier.bias']

        All that a layer gives, with weights of its shape; and a function of the output:

        >>> weights = torch.ones(2, 32, 32, 32)
        >>> torchlurk.gradients(model, x, "features.3", weights=weights).value.shape
        torch.Size([2, 32, 32, 32])
        >>> surprise = torchlurk.gradients(model, x, lambda logits: logits.logsumexp(1) - logits[:, 6])
        >>> surprise.input.shape
        torch.Size([2, 3, 32, 32])
    """
    model = as_network(model)
    check_kind(model)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise LurkError(f"x is a {what}: give a tensor of floats, (N, C, H, W), as the network is fed")
    by_layer = _target(target)
    watched = [*layers, *([by_layer.layer] if isinstance(by_layer, LayerUnit) else [])]
    watched += [by_layer] if isinstance(by_layer, str) else []
    modules = {name: find_module(model, name) for name in dict.fromkeys(watched)}
    chosen = _parameters(model, parameters)
    with isolated(model), ExitStack() as stack:
        axes = _axes(model, by_layer.layer, x) if isinstance(by_layer, LayerUnit) else {}
        stack.enter_context(torch.enable_grad())
        kept = stack.enter_context(_keeping(modules))
        for parameter in chosen.values():
            parameter.requires_grad_(True)
        leaf = x.detach().clone().requires_grad_()
        # A copy, for the network may begin by working in place, which a leaf does not bear.
        output = forward(model, leaf.clone())
        for name in modules:
            if name not in kept:
                raise LurkError(
                    f"layer {name!r} is there, but this input does not pass through it: name another"
                )
        images = len(x) if x.dim() == 4 else None
        value = _value(by_layer, output, kept, modules, axes, images)
        require_history(value)
        found = torch.autograd.grad(
            value,
            [leaf, *(kept[name] for name in layers), *chosen.values()],
            grad_outputs=_weights(value, weights),
            allow_unused=True,
            materialize_grads=True,
        )
    own = found[1 : 1 + len(layers)]
    return Gradients(
        value.detach(),
        found[0],
        dict(zip(layers, own, strict=True)),
        dict(zip(chosen, found[1 + len(layers) :], strict=True)),
    )


def _target(target: Wanted) -> Target | str | Callable[[object], Tensor]:
    if isinstance(target, int):
        return ClassLogit(target)
    if isinstance(target, str) and is_unit(target):
        return parse_unit(target)
    return target


def _axes(model: nn.Module, layer: str, x: Tensor) -> Mapping[str, MapAxes]:
    """How the output of a layer is read as feature maps; nothing where the input is no batch of images.

    Raises:
        LurkError: its output cannot be read as feature maps of single images.
    """
    if x.dim() != 4 or not len(x):
        return {}
    shape = (x.shape[1], x.shape[2], x.shape[3])
    runner, graph = prepare(model, shape, (layer,), x.detach()[:2])
    for one in graph.skipped:
        raise LurkError(f"layer {one.name!r} ({one.kind}) {one.reason}: name another")
    return runner.axes


def _value(
    target: Target | str | Callable[[object], Tensor],
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
        maps = as_map(module, kept[target.layer], axes.get(target.layer))
        return pick_unit(maps, target, type(module).__name__)
    if isinstance(target, str):
        return kept[target]
    value: object = target(output)
    if not isinstance(value, Tensor):
        raise LurkError(f"the target gives a {type(value).__name__}: let it return a tensor of the output")
    return value


def _weights(value: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        if value.dim() > 1:
            raise LurkError(
                f"the target has {tuple(value.shape)} values: give weights of that shape, or a target "
                "that is one number an image"
            )
        return torch.ones_like(value)
    if weights.shape != value.shape:
        raise LurkError(
            f"weights of shape {tuple(weights.shape)}: give them the target's shape, {tuple(value.shape)}"
        )
    return weights.to(value)


def _parameters(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Parameter]:
    """The parameters of some modules by name, those that can have a gradient."""
    found: dict[str, nn.Parameter] = {}
    for name in names:
        own = dict(find_module(model, name).named_parameters(prefix=name, remove_duplicate=False))
        if not own:
            raise LurkError(f"layer {name!r} has no parameters: name one that has")
        found |= {key: value for key, value in own.items() if value.is_floating_point()}
    return found


@contextmanager
def _keeping(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep the first output of each module, and hand the network a copy of it."""
    kept: dict[str, Tensor] = {}
    handles = []

    def hook(name: str) -> Callable[[nn.Module, object, object], object]:
        def keep(module: nn.Module, inputs: object, output: object) -> object:  # noqa: ARG001
            leaves, form = pytree.tree_flatten(output)
            at = next((i for i, leaf in enumerate(leaves) if _is_floating(leaf)), None)
            if name in kept or at is None:
                return output
            tensor = leaves[at]
            check_observable(tensor)
            if not tensor.requires_grad:  # it depends on nothing that is asked for
                tensor = tensor.detach().requires_grad_()
            kept[name] = tensor
            # An in-place function that follows overwrites the copy, not what the gradient is asked of.
            leaves[at] = tensor.clone()
            return pytree.tree_unflatten(leaves, form)

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
