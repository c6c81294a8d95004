"""Run a network linearised: activations as the identity, max pooling as average pooling.

What remains nonlinear, such as a gate or a LayerNorm, runs as it is (Voss et al. 2021, "Visualizing
Weights", doi:10.23915/distill.00024.007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_IN_PLACE: frozenset[Any] = frozenset(
    {
        *(F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_, F.leaky_relu_, F.elu_, torch.threshold_, F.rrelu_),
        *(torch.selu_, torch.celu_, torch.clamp_, Tensor.clamp_, Tensor.clip_, Tensor.clamp_min_),
        *(torch.tanh_, Tensor.tanh_),
    }
)
_ACTIVATIONS: frozenset[Any] = _IN_PLACE | {
    *(F.relu, torch.relu, Tensor.relu, F.relu6, F.hardtanh, F.leaky_relu, F.elu, F.threshold, F.rrelu),
    *(F.prelu, torch.prelu, Tensor.prelu, F.selu, torch.selu, F.celu, torch.celu, F.gelu, F.silu, F.mish),
    *(F.hardswish, F.softplus, torch.clamp, Tensor.clamp, torch.clip, Tensor.clip, torch.clamp_min),
    *(Tensor.clamp_min, torch.tanh, Tensor.tanh, F.tanh, F.hardshrink, F.softshrink, F.softsign),
}
"""Activations that are about the identity for some inputs; not gates, such as a sigmoid."""

_MAX_POOLS: frozenset[Any] = frozenset({F.max_pool2d, torch.max_pool2d})
_ADAPTIVE_MAX_POOLS: frozenset[Any] = frozenset({F.adaptive_max_pool2d})
_MAXIMA: frozenset[Any] = frozenset({torch.amax, Tensor.amax})
_REPLACED = _ACTIVATIONS | _MAX_POOLS | _ADAPTIVE_MAX_POOLS | _MAXIMA


class Linearised(TorchFunctionMode):
    """A context in which activations are the identity and max pooling is average pooling."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func not in _REPLACED:
            return func(*args, **options)
        args = args or (options.pop("input"),)
        if func in _ACTIVATIONS:
            # What follows may change the result in place.
            return args[0] if func in _IN_PLACE or options.get("inplace") else args[0].clone()
        if func in _MAX_POOLS:
            return _average_pool(func, *args, **options)
        if func in _ADAPTIVE_MAX_POOLS:
            return _adaptive_average_pool(*args, **options)
        return _mean(*args, **options)


def _average_pool(
    func: Callable[..., Any],
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    dilations = (dilation,) if isinstance(dilation, int) else tuple(dilation)
    if any(step != 1 for step in dilations):  # torch has no dilated average pooling
        options = {"return_indices": True} if return_indices else {}
        return func(x, kernel_size, stride, padding, dilation, ceil_mode, **options)
    return F.avg_pool2d(x, kernel_size, stride or None, padding, ceil_mode, count_include_pad=False)


def _adaptive_average_pool(x: Tensor, output_size: Any, return_indices: bool = False) -> Any:  # noqa: ARG001
    return F.adaptive_avg_pool2d(x, output_size)


def _mean(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    return x.mean(dim, keepdim=keepdim) if dim != () else x.mean()
