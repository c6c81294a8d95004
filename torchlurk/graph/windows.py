"""The spatial axes after operations whose windows slide over `(N, C, H, W)`.

These are convolutions, poolings, paddings and interpolations, as modules and as functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from torchlurk.graph import receptive_field as rf
from torchlurk.graph.operation_trace import is_one_of
from torchlurk.graph.receptive_field import Axis
from torchlurk.graph.spatial_axes import Shape, SpatialAxes

_POOLINGS: dict[Any, tuple[str, ...]] = {
    F.max_pool2d: ("kernel_size", "stride", "padding", "dilation"),
    torch.max_pool2d: ("kernel_size", "stride", "padding", "dilation"),
    F.avg_pool2d: ("kernel_size", "stride", "padding"),
}
"""Pooling functions, and the names of their arguments after the input."""
_ADAPTIVE_POOLINGS: set[Any] = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
_PADDING_MODES: dict[type[nn.Module], str] = {
    nn.ZeroPad2d: "constant",
    nn.ConstantPad2d: "constant",
    nn.ReflectionPad2d: "reflect",
    nn.ReplicationPad2d: "replicate",
    nn.CircularPad2d: "circular",
}

_Pair = tuple[int, int]


def axes_after_window(
    node: fx.Node, target: Any, axes: SpatialAxes, constants: Sequence[Shape], size: _Pair
) -> SpatialAxes | None:
    """Return the axes after an operation whose windows slide over the map.

    Args:
        node: The operation.
        target: The module or the function.
        axes: The axes of its input `(N, C, H, W)`.
        constants: Shapes of the inputs that do not depend on the network's input, such as a kernel.
        size: Height and width of the result.

    Returns:
        The axes of the result; `None` if it is another operation.
    """
    both = (axes.rows, axes.columns)
    if isinstance(target, nn.Conv2d):
        return _slide(both, size, _conv_arguments(vars(target)), target.padding_mode)
    if is_one_of(target, {F.conv2d, torch.conv2d}) and constants:
        options = _named_arguments(node, ("weight", "bias", "stride", "padding", "dilation"))
        # The size of the kernel is in the weight's shape, not in its node.
        return _slide(both, size, _conv_arguments({**options, "kernel_size": constants[0][2:]}))
    if isinstance(target, nn.ConvTranspose2d):
        return _slide_transposed(both, size, vars(target))
    if isinstance(target, nn.MaxPool2d | nn.AvgPool2d):
        return _slide(both, size, _pool_arguments(vars(target)))
    if isinstance(target, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) or is_one_of(
        target, _ADAPTIVE_POOLINGS
    ):
        return SpatialAxes(rf.adaptive_pool(both[0], size[0]), rf.adaptive_pool(both[1], size[1]))
    if is_one_of(target, _POOLINGS):
        return _slide(both, size, _pool_arguments(_named_arguments(node, _POOLINGS[target])))
    if isinstance(target, nn.Upsample):
        return _interpolate(both, size, target.mode, bool(target.align_corners))
    if target is F.interpolate:
        options = _named_arguments(node, ("size", "scale_factor", "mode", "align_corners"))
        if options.get("antialias"):
            return None
        return _interpolate(both, size, options.get("mode", "nearest"), bool(options.get("align_corners")))
    padding = _pad_arguments(node, target)
    if padding is None:
        return None
    (left, right, top, bottom), mode = padding
    if (len(both[0]) + top + bottom, len(both[1]) + left + right) != size:
        return None
    one = (1, 1)
    return _slide(both, size, (one, one, (top, left), one), mode)


def _slide(
    both: tuple[Axis, Axis], size: _Pair, arguments: Iterable[_Pair], mode: str = "zeros"
) -> SpatialAxes:
    kernel, stride, padding, dilation = arguments
    rows, columns = (
        rf.slide_window(both[i], kernel[i], stride[i], padding[i], dilation[i], size[i], mode) for i in (0, 1)
    )
    return SpatialAxes(rows, columns)


def _slide_transposed(both: tuple[Axis, Axis], size: _Pair, options: Mapping[str, Any]) -> SpatialAxes:
    kernel, stride, padding, dilation = (
        _pair(options[key]) for key in ("kernel_size", "stride", "padding", "dilation")
    )
    rows, columns = (
        rf.conv_transpose(both[i], kernel[i], stride[i], padding[i], dilation[i], size[i]) for i in (0, 1)
    )
    return SpatialAxes(rows, columns)


def _interpolate(both: tuple[Axis, Axis], size: _Pair, mode: str, align_corners: bool) -> SpatialAxes | None:
    if mode not in ("nearest", "bilinear"):
        return None
    rows, columns = (rf.interpolate(both[i], size[i], mode, align_corners=align_corners) for i in (0, 1))
    return SpatialAxes(rows, columns)


def _named_arguments(node: fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments of a function after its first, by name."""
    return dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)


def _pair(value: Any) -> _Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _conv_arguments(options: Mapping[str, Any]) -> list[_Pair]:
    """Return kernel size, stride, padding before the first index, and dilation."""
    kernel, stride = _pair(options["kernel_size"]), _pair(options.get("stride", 1))
    dilation, padding = _pair(options.get("dilation", 1)), options.get("padding", 0)
    if padding == "same":
        before = [dilation[i] * (kernel[i] - 1) // 2 for i in (0, 1)]
        return [kernel, stride, (before[0], before[1]), dilation]
    return [kernel, stride, (0, 0) if padding == "valid" else _pair(padding), dilation]


def _pool_arguments(options: Mapping[str, Any]) -> list[_Pair]:
    """Return kernel size, stride, padding and dilation."""
    kernel = _pair(options["kernel_size"])
    stride = options.get("stride")
    return [
        kernel,
        kernel if stride is None or stride == [] else _pair(stride),
        _pair(options.get("padding", 0)),
        _pair(options.get("dilation", 1)),
    ]


def _pad_arguments(node: fx.Node, target: Any) -> tuple[tuple[int, int, int, int], str] | None:
    """Return left, right, top and bottom of a padding and its mode; `None` if it is not one, or crops."""
    options: dict[str, Any] = dict(node.kwargs)
    if type(target) in _PADDING_MODES:
        options = {"pad": target.padding, "mode": _PADDING_MODES[type(target)]}
    elif target is F.pad:
        options |= dict(zip(("pad", "mode"), node.args[1:], strict=False))
    else:
        return None
    sides: list[int] = list(options["pad"])
    if len(sides) > 4 or min(sides) < 0:
        return None
    left, right, top, bottom = sides + [0] * (4 - len(sides))
    return (left, right, top, bottom), str(options.get("mode", "constant"))
