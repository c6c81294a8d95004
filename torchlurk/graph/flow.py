"""What the places of a tensor see of the input, whatever the order of its dimensions.

A `SpatialAxes` goes with each value of a network: two axes, and the tensor's dimensions that they lie along.
A convolution's `(N, C, H, W)` has them last, a channels-last block's `(N, H, W, C)` in the middle; after a
linear layer over all of them they are lost, and every number sees all that went in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torchlurk.graph import receptive_field as rf
from torchlurk.graph.receptive_field import Axis, Field

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SpatialAxes:
    """What is seen, and where in the tensor.

    Attributes:
        rows: what the indices of the rows' dimension see.
        columns: likewise.
        at: the two dimensions, counted from the end, as -2 and -1 for `(N, C, H, W)`; `None` where they
            are lost, and then both axes have length 1.
    """

    rows: Axis
    columns: Axis
    at: tuple[int, int] | None = (-2, -1)

    def field(self, height: int, width: int) -> Field:
        """The fields of a map of that size; one that has been lost sees everything everywhere."""
        rows = self.rows if len(self.rows) == height else rf.everything(self.rows, height)
        columns = self.columns if len(self.columns) == width else rf.everything(self.columns, width)
        return Field(rows, columns)


def lost(flows: Sequence[SpatialAxes]) -> SpatialAxes:
    """Every number sees all that any of the inputs sees."""
    rows = rf.union([rf.everything(flow.rows, 1) for flow in flows])
    columns = rf.union([rf.everything(flow.columns, 1) for flow in flows])
    return SpatialAxes(rows, columns, None)


def mixed(flow: SpatialAxes) -> SpatialAxes:
    """Every place sees all, and the places stay: a normalisation over the map."""
    rows, columns = flow.rows, flow.columns
    return SpatialAxes(rf.everything(rows, len(rows)), rf.everything(columns, len(columns)), flow.at)


def meet(flows: Sequence[SpatialAxes], shapes: Sequence[Shape], out: Shape) -> SpatialAxes:
    """Tensors that are broadcast against each other, place by place.

    Args:
        flows: of the inputs.
        shapes: of the same.
        out: of the result.
    """
    places = {flow.at for flow in flows if flow.at is not None}
    if len(places) != 1:
        return lost(flows)
    at = places.pop()
    if at is None or min(at) < -len(out):
        return lost(flows)
    height, width = out[at[0]], out[at[1]]
    parts = []
    for flow, shape in zip(flows, shapes, strict=True):
        if flow.at is None and _spreads(shape, at):
            flow = mixed(flow)  # its numbers differ from place to place, and each sees everything
        parts.append(flow.field(height, width))
    return SpatialAxes(rf.union([p.rows for p in parts]), rf.union([p.columns for p in parts]), at)


def _spreads(shape: Shape, at: tuple[int, int]) -> bool:
    return any(len(shape) >= -dim and shape[dim] > 1 for dim in at)


def varies(shape: Shape, at: tuple[int, int] | None) -> bool:
    """Whether a constant of that shape has a value for each place, and so fits the whole map only."""
    return at is not None and _spreads(shape, at)


def permute(flow: SpatialAxes, order: Sequence[int]) -> SpatialAxes:
    """After a transposition: result dimension i was dimension `order[i]`."""
    if flow.at is None:
        return flow
    count = len(order)
    was = [dim % count for dim in order]
    rows, columns = (was.index(dim % count) - count for dim in flow.at)
    return SpatialAxes(flow.rows, flow.columns, (rows, columns))


def reshape(flow: SpatialAxes, shape: Shape, out: Shape) -> SpatialAxes:
    """After a view: the map stays where its dimensions stand side by side with as much before and after."""
    if flow.at is None or flow.at[1] != flow.at[0] + 1:
        return lost([flow])
    first = len(shape) + flow.at[0]
    before, after = math.prod(shape[:first]), math.prod(shape[first + 2 :])
    size = shape[first : first + 2]
    # Dimensions of length 1 make several answers right; the last one leaves most room for channels.
    for index in range(len(out) - 2, -1, -1):
        if (
            out[index : index + 2] == size
            and math.prod(out[:index]) == before
            and math.prod(out[index + 2 :]) == after
        ):
            return SpatialAxes(flow.rows, flow.columns, (index - len(out), index + 1 - len(out)))
    return lost([flow])


def keeps(flow: SpatialAxes, shape: Shape, dim: int) -> bool:
    """Whether working along a dimension of a tensor of that shape leaves its places apart."""
    return flow.at is not None and (dim - len(shape) if dim >= 0 else dim) not in flow.at
