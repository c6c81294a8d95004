"""Which pixels a unit sees, exactly.

A receptive field is a product of two intervals, one per axis, so everything here is about one axis. An
`Axis` says for each index of a feature map which half-open interval of the input's pixels it sees; one
function per kind of operation takes the axis of the operation's input to that of its output. Borders are
exact: padding is not part of the input, and a trailing pixel that a stride leaves out is not seen.

Beside the intervals an axis keeps the arithmetic rule that they follow away from the borders
(`IntervalRule`: size, stride, offset), which is what a person wants to read, and what a cut is made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class IntervalRule:
    """Index i sees pixels `i * stride + offset` up to `i * stride + offset + size`, not included."""

    size: int
    stride: int
    offset: int


@dataclass(frozen=True)
class Axis:
    """What the indices of one axis of a feature map see of that axis of the input.

    Attributes:
        first: `(n,)` first pixel seen by each index.
        stop: `(n,)` one past the last pixel seen; not above `first` where nothing is seen but padding.
        extent: length of the input's axis in pixels.
        rule: the rule away from the borders; `None` where there is none, as after a global operation.
        cuttable: whether an index could be computed from a stretch of the axis alone, had it a rule.
    """

    first: Ints
    stop: Ints
    extent: int
    rule: IntervalRule | None
    cuttable: bool = True

    def __len__(self) -> int:
        return len(self.first)

    def interval(self, index: int) -> tuple[int, int]:
        """The pixels `[first, stop)` that one index sees."""
        first = int(self.first[index])
        return first, max(first, int(self.stop[index]))

    @property
    def size(self) -> int:
        """How many pixels an index sees, padding included; the most of any where there is no rule."""
        return self.rule.size if self.rule else max(1, int((self.stop - self.first).max()))

    @property
    def needs_all(self) -> bool:
        """Whether an index can be computed from the whole axis only."""
        return self.rule is None or not self.cuttable

    def window(self, index: int) -> tuple[int, int]:
        """What one index sees, widened to `size` where the axis or a border cuts it short."""
        if self.rule is not None:
            first = index * self.rule.stride + self.rule.offset
            return first, first + self.rule.size
        first, stop = self.interval(index)
        first -= (self.size - (stop - first)) // 2
        return first, first + self.size

    def cut(self, index: int) -> tuple[int, int, int]:
        """The stretch of input from which this index alone can be computed again, exactly.

        It starts at the receptive field, moved down to a multiple of the total stride, so that every
        layer's grid falls on the same pixels; where the field reaches over a border the cut ends at that
        border, and so the layers pad there as they did on the whole input.

        Returns:
            first pixel, one past the last pixel, and the index in the feature map of the cut. It is
            the whole input where that is needed, or where the index sees nothing but padding.
        """
        if self.rule is None or not self.cuttable or self.stop[index] <= self.first[index]:
            return 0, self.extent, index
        start = index * self.rule.stride + self.rule.offset
        stop = min(start + self.rule.size, self.extent)
        start = max(start, 0) // self.rule.stride * self.rule.stride
        return start, stop, index - start // self.rule.stride


def pixels(extent: int) -> Axis:
    """The axis of the input itself: each pixel sees itself."""
    index = np.arange(extent, dtype=np.int64)
    return Axis(index, index + 1, extent, IntervalRule(size=1, stride=1, offset=0))


def window(
    axis: Axis,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    length: int,
    mode: str = "zeros",
) -> Axis:
    """After a convolution or a pooling.

    Args:
        axis: what the operation's input sees.
        kernel: taps.
        stride: step between windows, in indices of the input's axis.
        padding: indices added before the first.
        dilation: step between taps.
        length: how many windows there are; with `ceil_mode` the last may reach over the end.
        mode: what stands in the padding: pixels if `reflect`, `replicate` or `circular`, else a constant.
    """
    taps = np.arange(length, dtype=np.int64)[:, None] * stride - padding
    taps = taps + np.arange(kernel, dtype=np.int64)[None, :] * dilation
    first, stop = _hulls(axis, taps)
    filled = _hulls(axis, _filled(taps, len(axis), mode))
    if not (np.array_equal(first, filled[0]) and np.array_equal(stop, filled[1])):
        # The padding shows pixels that the window itself does not reach: no cut would hold them.
        return Axis(*filled, axis.extent, None)
    rule = axis.rule and IntervalRule(
        size=axis.rule.size + (kernel - 1) * dilation * axis.rule.stride,
        stride=axis.rule.stride * stride,
        offset=axis.rule.offset - padding * axis.rule.stride,
    )
    return Axis(first, stop, axis.extent, rule, axis.cuttable)


def _hulls(axis: Axis, taps: Ints) -> tuple[Ints, Ints]:
    """What windows see, of which each row has the taps: indices, those out of bounds are padding."""
    seen = (taps >= 0) & (taps < len(axis))
    inside = taps.clip(0, len(axis) - 1)
    first = np.where(seen, axis.first[inside], axis.extent).min(axis=1)
    stop = np.where(seen, axis.stop[inside], 0).max(axis=1)
    return first, stop


def _filled(taps: Ints, length: int, mode: str) -> Ints:
    """Which index stands where a tap is in the padding."""
    if mode == "reflect":
        taps = np.abs(taps)
        return np.where(taps < length, taps, 2 * (length - 1) - taps)
    if mode == "replicate":
        return taps.clip(0, length - 1)
    if mode == "circular":
        return taps % length
    return taps


def transposed(axis: Axis, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Axis:
    """After a transposed convolution, of the same arguments as `window`; it has no rule in whole pixels."""
    reach = np.arange(length, dtype=np.int64)[:, None] + padding
    reach = reach - np.arange(kernel, dtype=np.int64)[None, :] * dilation
    # An index takes part where the step falls on it exactly; elsewhere there is nothing, as in padding.
    taps = np.where(reach % stride == 0, reach // stride, -1)
    first, stop = _hulls(axis, taps)
    return Axis(first, stop, axis.extent, None)


def resampled(axis: Axis, length: int, mode: str, *, corners: bool) -> Axis:
    """After an interpolation to `length` indices, `nearest` or `bilinear`; it has no rule in whole pixels.

    Args:
        axis: what the operation's input sees.
        length: indices of the result.
        mode: `nearest` takes one index, `bilinear` the two beside the point.
        corners: whether the outermost indices of both lie on each other (`align_corners`).
    """
    index = np.arange(length, dtype=np.float64)
    if mode == "nearest":
        near = np.floor(index * len(axis) / length).astype(np.int64)
        taps = near[:, None]
    else:
        if corners:
            point = index * ((len(axis) - 1) / (length - 1) if length > 1 else 0.0)
        else:
            point = np.maximum((index + 0.5) * len(axis) / length - 0.5, 0.0)
        low = np.floor(point).astype(np.int64)
        # A point that lies on an index takes nothing of the next.
        high = np.where(point > low, low + 1, low)
        taps = np.stack([low, high], axis=1).clip(0, len(axis) - 1)
    first, stop = _hulls(axis, taps)
    return Axis(first, stop, axis.extent, None)


def adaptive(axis: Axis, length: int) -> Axis:
    """After an adaptive pooling to `length` indices.

    Its windows depend on the size of the map, so there is no rule that would hold on a cut.
    """
    index = np.arange(length, dtype=np.int64)
    begin = index * len(axis) // length
    end = -(-(index + 1) * len(axis) // length)
    first = np.array([axis.first[a:b].min() for a, b in zip(begin, end, strict=True)])
    stop = np.array([axis.stop[a:b].max() for a, b in zip(begin, end, strict=True)])
    return Axis(first, stop, axis.extent, None)


def everything(axis: Axis, length: int) -> Axis:
    """After an operation that mixes the whole axis: linear layers, global pooling, attention."""
    first, stop = int(axis.first.min()), int(axis.stop.max())
    return Axis(
        np.full(length, first, dtype=np.int64),
        np.full(length, stop, dtype=np.int64),
        axis.extent,
        None,
    )


def uncut(axis: Axis) -> Axis:
    """After an operation that works on the whole axis and on no stretch of it, as a fixed mask does."""
    return replace(axis, cuttable=False)


def union(axes: Sequence[Axis]) -> Axis:
    """Where branches meet: a sum, a product, a concatenation of channels.

    An axis of length 1 is broadcast, as the tensors are.
    """
    length = max(len(axis) for axis in axes)
    spread = [everything(axis, length) if len(axis) < length else axis for axis in axes]
    rules = [axis.rule for axis in spread]
    return Axis(
        np.min([axis.first for axis in spread], axis=0),
        np.max([axis.stop for axis in spread], axis=0),
        spread[0].extent,
        _union_rule(rules),
        all(axis.cuttable for axis in spread),
    )


def _union_rule(rules: Sequence[IntervalRule | None]) -> IntervalRule | None:
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules) or len({rule.stride for rule in known}) > 1:
        return None
    offset = min(rule.offset for rule in known)
    stop = max(rule.offset + rule.size for rule in known)
    return IntervalRule(size=stop - offset, stride=known[0].stride, offset=offset)


@dataclass(frozen=True)
class Field:
    """The receptive fields of a feature map: its rows and its columns."""

    rows: Axis
    columns: Axis

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """What unit (y, x) sees: `(left, top, right, bottom)`, half-open pixels of the input."""
        top, bottom = self.rows.interval(y)
        left, right = self.columns.interval(x)
        return left, top, right, bottom

    def window(self, y: int, x: int) -> tuple[int, int, int, int]:
        """The same, not clipped to the input, and of one size for all units: padding is part of it."""
        top, bottom = self.rows.window(y)
        left, right = self.columns.window(x)
        return left, top, right, bottom

    @property
    def uncut(self) -> Field:
        """The same, where no unit can be computed from a part of the input."""
        return Field(uncut(self.rows), uncut(self.columns))

    @property
    def needs_all(self) -> bool:
        """Whether its units can be computed from the whole input only."""
        return self.rows.needs_all and self.columns.needs_all
