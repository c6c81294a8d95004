"""Exact receptive fields: which pixels of the input each unit sees.

A receptive field is a product of two intervals, one per axis, so everything here concerns a single axis. An
`Axis` holds for each index of a feature map the half-open interval of input pixels that it sees. For each
kind of operation, a function maps the axis of the operation's input to that of its output. Borders are exact:
padding is not part of the input, and a trailing pixel that a stride omits is not seen.

Besides the intervals, an axis keeps the rule that they follow away from the borders (`IntervalRule`). That is
the receptive field as papers state it, and a cut of the input is computed from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class IntervalRule:
    """Index i sees the pixels from `i * stride + offset` to `i * stride + offset + size`, exclusive."""

    size: int
    stride: int
    offset: int


@dataclass(frozen=True)
class Axis:
    """The intervals that the indices of one axis of a feature map see, in pixels of that axis of the input.

    Attributes:
        first: `(n,)` first pixel that each index sees.
        stop: `(n,)` one past the last pixel; not above `first` where an index sees only padding.
        extent: Length of the input's axis in pixels.
        rule: The rule away from the borders; `None` if there is none, as after a global operation.
        cuttable: Whether an index with a rule can be computed from a part of the input alone.
    """

    first: _Ints
    stop: _Ints
    extent: int
    rule: IntervalRule | None
    cuttable: bool = True

    def __len__(self) -> int:
        return len(self.first)

    def interval(self, index: int) -> tuple[int, int]:
        """Return the pixels `[first, stop)` that an index sees."""
        first = int(self.first[index])
        return first, max(first, int(self.stop[index]))

    @property
    def size(self) -> int:
        """The number of pixels that an index sees, including padding; the largest if there is no rule."""
        return self.rule.size if self.rule else max(1, int((self.stop - self.first).max()))

    @property
    def needs_whole_input(self) -> bool:
        """Whether an index can only be computed from the whole axis."""
        return self.rule is None or not self.cuttable

    def window(self, index: int) -> tuple[int, int]:
        """Return the interval of an index, widened to `size` where a border clips it."""
        if self.rule is not None:
            first = index * self.rule.stride + self.rule.offset
            return first, first + self.rule.size
        first, stop = self.interval(index)
        first -= (self.size - (stop - first)) // 2
        return first, first + self.size

    def cut(self, index: int) -> tuple[int, int, int]:
        """Return the part of the input from which an index can be recomputed exactly.

        It starts at the receptive field, moved down to a multiple of the total stride, so that the grid of
        every layer falls on the same pixels. Where the field extends over a border the cut ends at that
        border, so the layers pad there as they do on the whole input.

        Returns:
            The first pixel, one past the last pixel, and the index in the feature map of the cut. The cut is
            the whole input if that is needed, or if the index sees only padding.
        """
        if self.rule is None or not self.cuttable or self.stop[index] <= self.first[index]:
            return 0, self.extent, index
        start = index * self.rule.stride + self.rule.offset
        stop = min(start + self.rule.size, self.extent)
        start = max(start, 0) // self.rule.stride * self.rule.stride
        return start, stop, index - start // self.rule.stride

    def equal_cut(self, index: int) -> tuple[int, int, int]:
        """Return `cut`, extended so that the cuts of all indices have the same length.

        Near a border it is extended to the inside. It still ends at a border that the receptive field
        crosses, and starts at a multiple of the total stride.
        """
        start, stop, position = self.cut(index)
        if self.rule is None or stop - start == self.extent:
            return start, stop, position
        stride = self.rule.stride
        longest = min(self.rule.size + self.rule.offset % stride, self.extent)
        last = (self.extent - longest) // stride * stride
        first = min(start, last)
        return first, first + self.extent - last, position + (start - first) // stride


@dataclass(frozen=True)
class Field:
    """The receptive fields of a feature map: those of its rows and of its columns."""

    rows: Axis
    columns: Axis

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Return what unit (y, x) sees: `(left, top, right, bottom)`, half-open pixels of the input."""
        top, bottom = self.rows.interval(y)
        left, right = self.columns.interval(x)
        return left, top, right, bottom

    def window(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Return the box of unit (y, x) with its padding, so that all units have boxes of one size."""
        top, bottom = self.rows.window(y)
        left, right = self.columns.window(x)
        return left, top, right, bottom

    @property
    def uncuttable(self) -> Field:
        """The same fields, none of whose units can be computed from a part of the input."""
        return Field(uncuttable(self.rows), uncuttable(self.columns))

    @property
    def needs_whole_input(self) -> bool:
        """Whether its units can only be computed from the whole input."""
        return self.rows.needs_whole_input and self.columns.needs_whole_input


def input_axis(extent: int) -> Axis:
    """Return the axis of the input itself: each pixel sees itself."""
    index = np.arange(extent, dtype=np.int64)
    return Axis(index, index + 1, extent, IntervalRule(size=1, stride=1, offset=0))


def slide_window(
    axis: Axis,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    length: int,
    mode: str = "zeros",
) -> Axis:
    """Return the axis after a convolution or a pooling.

    Args:
        axis: The axis of the operation's input.
        kernel: Number of taps of the window.
        stride: Step between windows, in indices of the input's axis.
        padding: Number of indices added before the first.
        dilation: Step between taps.
        length: Number of windows; with `ceil_mode` the last may extend over the end.
        mode: The padding: `reflect`, `replicate` and `circular` repeat pixels, others are constant.
    """
    taps = np.arange(length, dtype=np.int64)[:, None] * stride - padding
    taps = taps + np.arange(kernel, dtype=np.int64)[None, :] * dilation
    first, stop = _hulls(axis, taps)
    with_padding = _hulls(axis, _padded_taps(taps, len(axis), mode))
    if not (np.array_equal(first, with_padding[0]) and np.array_equal(stop, with_padding[1])):
        # The padding repeats pixels outside the window itself: no cut would contain them.
        return Axis(*with_padding, axis.extent, None)
    rule = axis.rule and IntervalRule(
        size=axis.rule.size + (kernel - 1) * dilation * axis.rule.stride,
        stride=axis.rule.stride * stride,
        offset=axis.rule.offset - padding * axis.rule.stride,
    )
    return Axis(first, stop, axis.extent, rule, axis.cuttable)


def _hulls(axis: Axis, taps: _Ints) -> tuple[_Ints, _Ints]:
    """Return the intervals of windows; each row of `taps` holds the indices of one, padding out of bounds."""
    inside = (taps >= 0) & (taps < len(axis))
    clipped = taps.clip(0, len(axis) - 1)
    first = np.where(inside, axis.first[clipped], axis.extent).min(axis=1)
    stop = np.where(inside, axis.stop[clipped], 0).max(axis=1)
    return first, stop


def _padded_taps(taps: _Ints, length: int, mode: str) -> _Ints:
    """Replace taps in the padding by the indices that the padding repeats."""
    if mode == "reflect":
        taps = np.abs(taps)
        return np.where(taps < length, taps, 2 * (length - 1) - taps)
    if mode == "replicate":
        return taps.clip(0, length - 1)
    if mode == "circular":
        return taps % length
    return taps


def conv_transpose(axis: Axis, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Axis:
    """Return the axis after a transposed convolution; it has no rule in whole pixels.

    Args are those of `slide_window`.
    """
    reach = np.arange(length, dtype=np.int64)[:, None] + padding
    reach = reach - np.arange(kernel, dtype=np.int64)[None, :] * dilation
    # An index contributes where the step falls on it exactly; elsewhere there is nothing, as in padding.
    taps = np.where(reach % stride == 0, reach // stride, -1)
    first, stop = _hulls(axis, taps)
    return Axis(first, stop, axis.extent, None)


def interpolate(axis: Axis, length: int, mode: str, *, align_corners: bool) -> Axis:
    """Return the axis after an interpolation; it has no rule in whole pixels.

    Args:
        axis: The axis of the operation's input.
        length: Length of the result.
        mode: `nearest` uses one index, `bilinear` the two beside the point.
        align_corners: Whether the outermost indices of input and output coincide.
    """
    index = np.arange(length, dtype=np.float64)
    if mode == "nearest":
        nearest = np.floor(index * len(axis) / length).astype(np.int64)
        taps = nearest[:, None]
    else:
        if align_corners:
            point = index * ((len(axis) - 1) / (length - 1) if length > 1 else 0.0)
        else:
            point = np.maximum((index + 0.5) * len(axis) / length - 0.5, 0.0)
        low = np.floor(point).astype(np.int64)
        # A point on an index has no weight on the next one.
        high = np.where(point > low, low + 1, low)
        taps = np.stack([low, high], axis=1).clip(0, len(axis) - 1)
    first, stop = _hulls(axis, taps)
    return Axis(first, stop, axis.extent, None)


def adaptive_pool(axis: Axis, length: int) -> Axis:
    """Return the axis after an adaptive pooling to `length` indices.

    Its windows depend on the size of the map, so no rule would hold on a cut.
    """
    index = np.arange(length, dtype=np.int64)
    begin = index * len(axis) // length
    end = -(-(index + 1) * len(axis) // length)
    first = np.array([axis.first[a:b].min() for a, b in zip(begin, end, strict=True)])
    stop = np.array([axis.stop[a:b].max() for a, b in zip(begin, end, strict=True)])
    return Axis(first, stop, axis.extent, None)


def global_axis(axis: Axis, length: int) -> Axis:
    """Return the axis after an operation that mixes all of it: a linear layer, global pooling, attention."""
    first, stop = int(axis.first.min()), int(axis.stop.max())
    return Axis(
        np.full(length, first, dtype=np.int64),
        np.full(length, stop, dtype=np.int64),
        axis.extent,
        None,
    )


def uncuttable(axis: Axis) -> Axis:
    """Return the axis after an operation that only works on the whole input, such as a fixed mask."""
    return replace(axis, cuttable=False)


def union_axes(axes: Sequence[Axis]) -> Axis:
    """Return the axis where branches meet: after a sum, a product, a concatenation of channels.

    An axis of length 1 is broadcast, as tensors are.
    """
    length = max(len(axis) for axis in axes)
    broadcast = [global_axis(axis, length) if len(axis) < length else axis for axis in axes]
    return Axis(
        np.min([axis.first for axis in broadcast], axis=0),
        np.max([axis.stop for axis in broadcast], axis=0),
        broadcast[0].extent,
        _union_rule([axis.rule for axis in broadcast]),
        all(axis.cuttable for axis in broadcast),
    )


def _union_rule(rules: Sequence[IntervalRule | None]) -> IntervalRule | None:
    present = [rule for rule in rules if rule is not None]
    if len(present) < len(rules) or len({rule.stride for rule in present}) > 1:
        return None
    offset = min(rule.offset for rule in present)
    stop = max(rule.offset + rule.size for rule in present)
    return IntervalRule(size=stop - offset, stride=present[0].stride, offset=offset)
