"""The definition of contributions in plain torch: one backward of the whole network for each unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from torchlurk.graph import Layer


@contextmanager
def cut(
    model: nn.Module, cuts: Mapping[str, str], leaf_of: Callable[[Tensor], Tensor]
) -> Iterator[tuple[dict[str, Tensor], list[tuple[str, Tensor]]]]:
    """Replace the outputs of modules by leaves; yield the layers' own first outputs, and the leaves."""
    outputs: dict[str, Tensor] = {}
    leaves: list[tuple[str, Tensor]] = []
    modules = dict(model.named_modules())

    def record(layer: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            # A copy: what follows may be in place.
            outputs.setdefault(layer, output.clone())

        return hook

    def replace(layer: str) -> Callable[..., Tensor]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            leaves.append((layer, leaf_of(output)))
            return leaves[-1][1].clone()

        return hook

    handles = [modules[layer].register_forward_hook(record(layer)) for layer in cuts]
    handles += [modules[name].register_forward_hook(replace(layer)) for layer, name in cuts.items()]
    try:
        yield outputs, leaves
    finally:
        for handle in handles:
            handle.remove()


def plain_contributions(
    model: nn.Module,
    layers: Sequence[Layer],
    cuts: Mapping[str, str],
    x: Tensor,
    layer: str,
    units: Sequence[tuple[int, int, int, int]],
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the contributions to units (image, channel, row, column) by upstream layer, and their scores."""
    axes = {one.name: one.axes for one in layers}
    values: dict[str, list[Tensor]] = {}
    with torch.enable_grad(), cut(model, cuts, lambda v: v.detach().clone().requires_grad_()) as found:
        model(x.clone())
        outputs, leaves = found
        scores = [axes[layer].map(outputs[layer])[unit] for unit in units]
    for row, score in enumerate(scores if scores[0].requires_grad else ()):
        own = [leaf for _, leaf in leaves]
        gradients = torch.autograd.grad(score, own, retain_graph=True, allow_unused=True)
        for (name, leaf), gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                product = (gradient * leaf).detach().movedim(axes[name].channels, -1)
                sums = product.reshape(-1, product.shape[-1]).sum(0)
                rows = values.setdefault(name, [torch.zeros_like(sums) for _ in units])
                rows[row] = rows[row] + sums
    by_layer = {name: torch.stack(rows) for name, rows in values.items()}
    return by_layer, torch.stack(scores).detach()


def bias_part(
    model: nn.Module, layers: Sequence[Layer], cuts: Mapping[str, str], x: Tensor, layer: str
) -> Tensor:
    """Return the feature maps of a layer when all leaves are zero, and all nonlinearities as for `x`."""
    axes = {one.name: one.axes for one in layers}
    states: list[Callable[[Tensor], Tensor]] = []
    with torch.no_grad(), cut(model, cuts, lambda v: v.clone()), _Recorded(states):
        model(x.clone())
    with torch.no_grad(), cut(model, cuts, torch.zeros_like) as (outputs, _), _Frozen(iter(states)):
        model(x.clone())
    return axes[layer].map(outputs[layer])


_ELEMENTWISE = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.leaky_relu, F.relu6,
                F.hardtanh, F.gelu, F.silu, F.hardswish, torch.tanh}  # fmt: skip
_POOLS = {F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool2d}
_MAXIMA = {torch.amax, Tensor.amax}


class _Recorded(TorchFunctionMode):
    """Run a forward and append, for each nonlinearity, the affine function that it is at this input."""

    def __init__(self, states: list[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.states = states

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _ELEMENTWISE:
            with torch.enable_grad():
                start = args[0].detach().clone().requires_grad_()
                end = func(start.clone(), *args[1:], **kwargs)
                (slope,) = torch.autograd.grad(end.sum(), start)
            self.states.append(lambda x: end.detach() + slope * (x - start.detach()))
            return func(*args, **kwargs)
        if func in _POOLS:
            pool = F.adaptive_max_pool2d if func is F.adaptive_max_pool2d else F.max_pool2d
            options = {key: value for key, value in kwargs.items() if key != "return_indices"}
            output, where = pool(*args, **options, return_indices=True)
            self.states.append(lambda x: x.flatten(2).gather(2, where.flatten(2)).view(where.shape))
            return output
        if func in _MAXIMA:  # over all positions
            where = args[0].flatten(2).argmax(2, keepdim=True)
            self.states.append(lambda x: x.flatten(2).gather(2, where)[..., 0])
        return func(*args, **kwargs)


class _Frozen(TorchFunctionMode):
    """Run a forward with recorded affine functions in place of the nonlinearities."""

    def __init__(self, states: Iterator[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.states = states

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _ELEMENTWISE | _POOLS | _MAXIMA:
            value = next(self.states)(args[0])
            in_place = func in (F.relu_, torch.relu_, Tensor.relu_) or (kwargs or {}).get("inplace")
            return args[0].copy_(value) if in_place else value
        return func(*args, **(kwargs or {}))
