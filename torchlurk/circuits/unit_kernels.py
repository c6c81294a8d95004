"""How single units of a layer depend on the input of its module.

A unit of a convolution or a linear layer is a sum over a window of the input, times a kernel. The kernel is
the gradient of the unit with respect to the input, so no backward pass through the module is needed, which
would compute this gradient at all other positions too. For other modules, autograd computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchlurk.circuits.cuts import Call
from torchlurk.circuits.units import Units
from torchlurk.models.hooks import MapAxes, as_feature_map, default_axes

_Pair = tuple[int, int]

_LINEAR = frozenset(
    {
        *("AddmmBackward0", "MmBackward0", "BmmBackward0", "AddBackward0", "CloneBackward0"),
        *("ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0", "ExpandBackward0"),
    }
)
"""Operations that `nn.Linear` consists of."""


@dataclass(frozen=True)
class UnitKernels:
    """How units depend on a tensor of a running forward.

    Attributes:
        source: The tensor, with its graph from the leaves: the input of the units' module, or its output.
        gradient: Takes units, at most one of each image, and returns the gradient of their sum with respect
            to `source`.
        products: Takes units and returns `(U, K)`: for each index of the channels of `source` the sum of the
            unit's kernel times the input. `None` if `source` is the output.
        numbers: How many numbers of `source` a unit's kernel reads.
        contracted: The dimension of the channels in `source`.
    """

    source: Tensor
    gradient: Callable[[Units], Tensor]
    products: Callable[[Units], Tensor] | None
    numbers: int
    contracted: int


def unit_kernels(call: Call, axes: MapAxes | None) -> UnitKernels:
    """Return how the units of a layer depend on its input; on its output if the layer has no kernels.

    Args:
        call: The call of the layer.
        axes: Of its output; `None` for those of its type.
    """
    convolution = find_convolution(call)
    if convolution is not None:
        return convolution.unit_kernels()
    axes = axes or default_axes(call.module, call.output.dim())
    if axes is not None and _is_linear(call, axes):
        assert isinstance(call.module, nn.Linear)
        assert call.input is not None
        return _linear_kernels(call.module.weight, call.input, call.output, axes)
    maps = as_feature_map(call.module, call.output, axes)

    def gradient(units: Units) -> Tensor:
        return torch.zeros_like(maps).index_put_(units.index, maps.new_ones(()))

    return UnitKernels(maps, gradient, None, 0, 1)


@dataclass(frozen=True)
class InputConvolution:
    """A convolution that computes a layer's output from its input.

    Attributes:
        x: `(N, C', H, W)`, the input.
        weight: `(C, C' / groups, kh, kw)`.
        stride: Of rows and columns, as the following.
        padding: Zeros before the first index.
        dilation: Step between taps.
        groups: Number of groups.
    """

    x: Tensor
    weight: Tensor
    stride: _Pair
    padding: _Pair
    dilation: _Pair
    groups: int

    def unit_kernels(self) -> UnitKernels:
        """Return how its units depend on its input."""
        return UnitKernels(self.x, self._gradient, self._products, self.weight[0].numel(), 1)

    def dense_weight(self) -> Tensor:
        """Return the weight as that of one group: `(C, C', kh, kw)`, zero between groups."""
        count, own, *size = self.weight.shape
        filters = torch.arange(count, device=self.weight.device)
        dense = self.weight.new_zeros(count, self.groups, own, *size)
        dense[filters, self._group_of(filters)] = self.weight
        return dense.flatten(1, 2)

    def _group_of(self, channels: Tensor) -> Tensor:
        return channels // (len(self.weight) // self.groups)

    def _window(self, positions: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Return the `(U, k)` indices that units see along an axis, and which of them are no padding."""
        taps = torch.arange(self.weight.shape[2 + axis], device=positions.device) * self.dilation[axis]
        seen = (positions * self.stride[axis] - self.padding[axis])[:, None] + taps
        return seen, (seen >= 0) & (seen < self.x.shape[2 + axis])

    def _gradient(self, units: Units) -> Tensor:
        (rows, inside_y), (columns, inside_x) = self._window(units.rows, 0), self._window(units.columns, 1)
        unit, y, x = (inside_y[:, :, None] & inside_x[:, None, :]).nonzero(as_tuple=True)
        gradient = torch.zeros_like(self.x, requires_grad=False)
        image, channel = units.images[unit], units.channels[unit]
        taps = self.weight.permute(0, 2, 3, 1)[channel, y, x]
        by_group = torch.unflatten(gradient, 1, (self.groups, -1))
        by_group[image, self._group_of(channel), :, rows[unit, y], columns[unit, x]] = taps
        return gradient

    def _products(self, units: Units) -> Tensor:
        (rows, inside_y), (columns, inside_x) = self._window(units.rows, 0), self._window(units.columns, 1)
        by_group = torch.unflatten(self.x.detach(), 1, (self.groups, -1))
        group = self._group_of(units.channels)
        seen = by_group[
            units.images[:, None, None],
            group[:, None, None],
            :,
            rows.clamp(0, self.x.shape[2] - 1)[:, :, None],
            columns.clamp(0, self.x.shape[3] - 1)[:, None, :],
        ]
        # Not a product with a mask, which would turn an infinity outside the map into NaN.
        seen = seen.masked_fill(~(inside_y[:, :, None] & inside_x[:, None, :])[..., None], 0)
        products = seen.new_zeros(len(units), *by_group.shape[1:3])
        kernels = self.weight.permute(0, 2, 3, 1)[units.channels]
        products[torch.arange(len(units), device=seen.device), group] = (seen * kernels).sum((1, 2))
        return products.flatten(1)


def find_convolution(call: Call) -> InputConvolution | None:
    """Return the 2-d convolution that computes a layer's output from its input; `None` if none does.

    The autograd graph says it, and what the convolution computed with: a module may derive its weights, pad
    its input or change its output.
    """
    x, node = call.input, call.output.grad_fn
    if x is None or x.dim() != 4 or node is None or node.name() != "ConvolutionBackward0":
        return None
    saved: Any = node
    if saved._saved_transposed or saved.next_functions[0] != (x.grad_fn, x.output_nr):
        return None
    return InputConvolution(
        x,
        saved._saved_weight.detach(),
        _pair(saved._saved_stride),
        _pair(saved._saved_padding),
        _pair(saved._saved_dilation),
        saved._saved_groups,
    )


def _pair(values: Sequence[int]) -> _Pair:
    """Return the values of rows and columns; torch saves one if it is that of both."""
    return values[0], values[-1]


def _is_linear(call: Call, axes: MapAxes) -> bool:
    """Return whether a module computes its output as `nn.Linear` does, with the channels last."""
    module, x = call.module, call.input
    if type(module).forward is not nn.Linear.forward or "forward" in vars(module):
        return False
    if x is None or x.grad_fn is None or x.shape[:-1] != call.output.shape[:-1]:
        return False
    if axes.channels != call.output.dim() - 1:
        return False
    node: Any = call.output.grad_fn
    while node is not None and node is not x.grad_fn:  # a user's hook may change the output
        sources = [source for source, _ in node.next_functions if source is not None]
        if node.name() not in _LINEAR or len(sources) != 1:
            return False
        (node,) = sources
    return node is not None


def _linear_kernels(weight: Tensor, x: Tensor, output: Tensor, axes: MapAxes) -> UnitKernels:
    """Return how the units of a linear layer depend on its input; each unit reads one row of it."""
    count = output[..., 0].numel()
    numbers = torch.arange(count, device=x.device).view(*output.shape[:-1], 1)
    row_of = axes.map(numbers)[:, 0]  # by image and position in the feature map

    def gradient(units: Units) -> Tensor:
        rows = x.new_zeros(count, x.shape[-1])
        rows[row_of[units.images, units.rows, units.columns]] = weight[units.channels]
        return rows.view(x.shape)

    def products(units: Units) -> Tensor:
        rows = x.detach().reshape(count, -1)[row_of[units.images, units.rows, units.columns]]
        return rows * weight[units.channels]

    return UnitKernels(x, gradient, products, x.shape[-1], x.dim() - 1)
