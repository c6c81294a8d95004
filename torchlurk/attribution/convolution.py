"""2-d convolutions that compute a part of their output only, and their gradients.

The values of the part, and the gradients with respect to the input, are those of the whole convolution. The
input gradient is computed from this part alone, from its non-zero channels, and in bfloat16 if requested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

_Pair = tuple[int, int]
_P = ParamSpec("_P")
_T = TypeVar("_T")

_FEW = 16
"""The gradient's zero channels are left out if at most one channel in this many is not zero."""


@dataclass(frozen=True)
class Convolution:
    """A call of `conv2d` on one input.

    Attributes:
        x: `(N, C, H, W)`, the input.
        weight: `(C', C / groups, kh, kw)`.
        bias: `(C',)`, or `None`.
        stride: Of rows and columns, as the following.
        before: Padding before the first index.
        after: Padding after the last index.
        dilation: Step between taps.
        groups: Number of groups.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    stride: _Pair
    before: _Pair
    after: _Pair
    dilation: _Pair
    groups: int

    @property
    def output_size(self) -> _Pair:
        """Height and width of the output."""
        return self._output_length(0), self._output_length(1)

    def _output_length(self, axis: int) -> int:
        padded = self.x.shape[2 + axis] + self.before[axis] + self.after[axis]
        return (padded - self._reach(axis)) // self.stride[axis] + 1

    def operations(self, rows: range, columns: range) -> int:
        """Return the number of floating-point operations of a part of the output."""
        per_position = 2 * self.weight.numel()
        return self.x.shape[0] * len(rows) * len(columns) * per_position

    def _reach(self, axis: int) -> int:
        """Return the number of indices from the first tap of a window to its last."""
        return (self.weight.shape[2 + axis] - 1) * self.dilation[axis] + 1

    def taps(self, axis: int, span: range) -> tuple[range, _Pair]:
        """Return which indices of the input some indices of the output see, and the padding on both sides.

        The indices are none if they see nothing but padding.
        """
        first = span.start * self.stride[axis] - self.before[axis]
        stop = (span.stop - 1) * self.stride[axis] - self.before[axis] + self._reach(axis)
        start, end = max(first, 0), min(stop, self.x.shape[2 + axis])
        return range(start, end), (start - first, stop - end)


def convolution_call(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Convolution | None:
    """Return the convolution that a call computes; `None` for another call or one that is not supported.

    Only convolutions of a batch by frozen weights, without autocast, are supported.
    """
    if func is not torch.conv2d:
        return None
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    options = dict(zip(names, args, strict=False)) | dict(kwargs)
    x, weight, bias = options.get("input"), options.get("weight"), options.get("bias")
    if type(x) is not Tensor or x.dim() != 4:
        return None
    if not isinstance(weight, Tensor) or weight.dim() != 4 or weight.requires_grad:
        return None
    if bias is not None and (not isinstance(bias, Tensor) or bias.requires_grad):
        return None
    if not x.is_floating_point() or torch.is_autocast_enabled(x.device.type) or not x.numel():
        return None
    stride, dilation = _pair(options.get("stride", 1)), _pair(options.get("dilation", 1))
    padding = options.get("padding", 0)
    if padding == "same":
        total = [dilation[i] * (weight.shape[2 + i] - 1) for i in (0, 1)]
        before = (total[0] // 2, total[1] // 2)
        after = (total[0] - before[0], total[1] - before[1])
    else:
        before = after = (0, 0) if padding == "valid" else _pair(padding)
    call = Convolution(x, weight, bias, stride, before, after, dilation, options.get("groups", 1))
    return call if min(call.output_size) > 0 else None


def _pair(value: Any) -> _Pair:
    return (int(value[0]), int(value[-1])) if isinstance(value, Sequence) else (int(value), int(value))


def convolve_part(call: Convolution, rows: range, columns: range, *, bfloat16: bool) -> Tensor:
    """Compute a part of a convolution.

    Args:
        call: The convolution.
        rows: Rows of the output that are computed; they must see some of the input.
        columns: Columns of the output that are computed, as `rows`.
        bfloat16: Whether float32 gradients with respect to the input are computed in bfloat16.

    Returns:
        `(N, C', H', W')`, the output, zero outside the part. Gradients outside the part are ignored.
    """
    result: Tensor = _ConvolvePart.apply(call.x, call, rows, columns, bfloat16)
    return result


def _without_modes(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let no function mode intercept what a function computes: there is no ReLU in it, but many calls."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with torch._C.DisableTorchFunction():
            return function(*args, **kwargs)

    return run


class _ConvolvePart(torch.autograd.Function):
    """See `convolve_part`."""

    @staticmethod
    @_without_modes
    def forward(
        ctx: Any, x: Tensor, call: Convolution, rows: range, columns: range, bfloat16: bool
    ) -> Tensor:
        input_rows, (top, bottom) = call.taps(0, rows)
        input_columns, (left, right) = call.taps(1, columns)
        region, padding = _part(x, input_rows, input_columns), (top, left)
        ctx.margins = (0, 0, 0, 0)
        if padding != (bottom, right):  # `conv2d` pads both sides alike
            ctx.margins, padding = (left, right, top, bottom), (0, 0)
            region = F.pad(region, ctx.margins)
        output = torch.conv2d(
            region, call.weight, call.bias, call.stride, padding, call.dilation, call.groups
        )
        ctx.save_for_backward(call.weight)
        ctx.options = (call.stride, padding, call.dilation, call.groups)
        ctx.region, ctx.whole = region.shape, x.shape
        ctx.input_part, ctx.output_part = (input_rows, input_columns), (rows, columns)
        ctx.memory_format = _memory_format(x)
        ctx.bfloat16 = bfloat16 and x.dtype == torch.float32 and call.groups == 1
        whole = (*output.shape[:2], *call.output_size)
        return _place(output, whole, rows, columns, _memory_format(output), output.dtype)

    @staticmethod
    @_without_modes
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.options
        part = _part(gradient, *ctx.output_part)
        channels = _few_nonzero_channels(part) if groups == 1 else None
        if channels is not None:
            part, weight = part[:, channels], weight[channels]
        if not part.shape[1]:
            return gradient.new_zeros(ctx.whole), None, None, None, None
        if ctx.bfloat16:
            part, weight = part.bfloat16(), weight.bfloat16()
        part = part.contiguous(memory_format=ctx.memory_format)
        region = torch.empty(
            ctx.region, dtype=part.dtype, device=part.device, memory_format=ctx.memory_format
        )
        (result, _, _) = torch.ops.aten.convolution_backward(
            part, region, weight, None, stride, padding, dilation, False, (0, 0), groups, (True, False, False)
        )
        left, right, top, bottom = ctx.margins
        result = result[:, :, top : ctx.region[2] - bottom, left : ctx.region[3] - right]
        rows, columns = ctx.input_part
        result = _place(result, ctx.whole, rows, columns, ctx.memory_format, gradient.dtype)
        return result, None, None, None, None


def _memory_format(x: Tensor) -> torch.memory_format:
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return torch.channels_last


def _part(values: Tensor, rows: range, columns: range) -> Tensor:
    """Return some rows and columns of `(N, C, H, W)`."""
    return values[:, :, rows.start : rows.stop, columns.start : columns.stop]


def _place(
    values: Tensor,
    shape: Sequence[int],
    rows: range,
    columns: range,
    memory_format: torch.memory_format,
    dtype: torch.dtype,
) -> Tensor:
    """Return a tensor of a shape that has the values at some rows and columns, and is zero elsewhere."""
    if values.shape == tuple(shape):
        return values.to(dtype)
    whole = torch.empty(list(shape), dtype=dtype, device=values.device, memory_format=memory_format).zero_()
    _part(whole, rows, columns).copy_(values)
    return whole


def _few_nonzero_channels(gradient: Tensor) -> Tensor | None:
    """Return the channels of `(N, C, H, W)` that are not zero; `None` if they are many.

    On a GPU always `None`: to count them would wait for it, longer than the convolution takes.
    """
    if gradient.device.type != "cpu":
        return None
    limit = gradient.shape[1] // _FEW
    # A few positions rule most gradients out.
    height, width = gradient.shape[2:]
    sample = gradient[:, :, :: max(1, height // 4), :: max(1, width // 4)]
    if sample.abs().sum((0, 2, 3)).count_nonzero() > limit:
        return None
    channels = gradient.abs().sum((0, 2, 3)).nonzero().flatten()
    return channels if len(channels) <= limit else None
