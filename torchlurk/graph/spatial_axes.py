"""Which dimensions of a tensor are spatial, and what the positions along them see of the input.

Each value of a network has its `SpatialAxes`. The two axes are the last dimensions of a convolution's
`(N, C, H, W)` and the middle ones of a channels-last block's `(N, H, W, C)`. A linear layer over all of them
removes them: every number then sees all of its input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torchlurk.graph.receptive_field import Axis, Field, global_axis, uncuttable, union_axes

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SpatialAxes:
    """The spatial axes of a tensor.

    Attributes:
        rows: What each index along the row dimension sees.
        columns: What each index along the column dimension sees.
        dims: The two dimensions, counted from the end, as (-2, -1) for `(N, C, H, W)`; `None` if the tensor
            has no spatial dimensions, and then both axes have length 1.
    """

    rows: Axis
    columns: Axis
    dims: tuple[int, int] | None = (-2, -1)

    def field(self, height: int, width: int) -> Field:
        """Return the fields of a map of that size; without spatial dimensions, every unit sees all."""
        rows = self.rows if len(self.rows) == height else global_axis(self.rows, height)
        columns = self.columns if len(self.columns) == width else global_axis(self.columns, width)
        return Field(rows, columns)


def collapse(inputs: Sequence[SpatialAxes]) -> SpatialAxes:
    """Return the axes of a result without spatial dimensions: every number sees all of every input."""
    rows = union_axes([global_axis(axes.rows, 1) for axes in inputs])
    columns = union_axes([global_axis(axes.columns, 1) for axes in inputs])
    return SpatialAxes(rows, columns, None)


def mix_positions(axes: SpatialAxes) -> SpatialAxes:
    """Return the axes after an operation that mixes all positions and keeps them: a normalisation."""
    rows, columns = axes.rows, axes.columns
    return SpatialAxes(global_axis(rows, len(rows)), global_axis(columns, len(columns)), axes.dims)


def require_whole_input(axes: SpatialAxes) -> SpatialAxes:
    """Return the axes after an operation that only works on the whole input."""
    return SpatialAxes(uncuttable(axes.rows), uncuttable(axes.columns), axes.dims)


def broadcast(inputs: Sequence[SpatialAxes], shapes: Sequence[Shape], out: Shape) -> SpatialAxes:
    """Return the axes after an elementwise operation on tensors that are broadcast against each other.

    Args:
        inputs: The axes of the inputs.
        shapes: Their shapes.
        out: The shape of the result.
    """
    candidates = {axes.dims for axes in inputs if axes.dims is not None}
    if len(candidates) != 1:
        return collapse(inputs)
    dims = candidates.pop()
    if dims is None or min(dims) < -len(out):
        return collapse(inputs)
    height, width = out[dims[0]], out[dims[1]]
    fields = []
    for axes, shape in zip(inputs, shapes, strict=True):
        if axes.dims is None and varies_by_position(shape, dims):
            axes = mix_positions(axes)  # its numbers differ by position, each sees everything
        fields.append(axes.field(height, width))
    return SpatialAxes(
        union_axes([field.rows for field in fields]), union_axes([field.columns for field in fields]), dims
    )


def varies_by_position(shape: Shape, dims: tuple[int, int] | None) -> bool:
    """Return whether a tensor of that shape has values of their own for the positions along `dims`.

    Such a constant fits the whole map only, not a cut of it.
    """
    return dims is not None and any(len(shape) >= -dim and shape[dim] > 1 for dim in dims)


def permute(axes: SpatialAxes, order: Sequence[int]) -> SpatialAxes:
    """Return the axes after a transposition in which dimension i of the result was dimension `order[i]`."""
    if axes.dims is None:
        return axes
    count = len(order)
    previous = [dim % count for dim in order]
    rows, columns = (previous.index(dim % count) - count for dim in axes.dims)
    return SpatialAxes(axes.rows, axes.columns, (rows, columns))


def reshape(axes: SpatialAxes, shape: Shape, out: Shape) -> SpatialAxes:
    """Return the axes after a view.

    The map survives where its dimensions stay side by side with as many numbers before and after them.
    """
    if axes.dims is None or axes.dims[1] != axes.dims[0] + 1:
        return collapse([axes])
    first = len(shape) + axes.dims[0]
    before, after = math.prod(shape[:first]), math.prod(shape[first + 2 :])
    size = shape[first : first + 2]
    # Dimensions of length 1 allow several answers; the last one leaves most room for channels.
    for index in range(len(out) - 2, -1, -1):
        if (
            out[index : index + 2] == size
            and math.prod(out[:index]) == before
            and math.prod(out[index + 2 :]) == after
        ):
            return SpatialAxes(axes.rows, axes.columns, (index - len(out), index + 1 - len(out)))
    return collapse([axes])


def keeps_positions(axes: SpatialAxes, shape: Shape, dim: int) -> bool:
    """Return whether an operation along dimension `dim` leaves the positions of a tensor separate."""
    return axes.dims is not None and (dim - len(shape) if dim >= 0 else dim) not in axes.dims
