"""Forwards that compute of each convolution only what a unit needs.

A unit needs an index of a feature map only if the window of that index lies within its own, both with their
padding (`receptive_field.IntervalRule`). So the needed part of a convolution follows from the windows of its
output, and shrinks from the input to the unit. Everything else stays zero. The network is not modified: a
`TorchFunctionMode` intercepts each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchlurk.attribution.convolution import Convolution, convolution_call, convolve_part
from torchlurk.graph.axes_tracker import AxesTracker
from torchlurk.graph.receptive_field import Axis, Field
from torchlurk.graph.spatial_axes import SpatialAxes

_MIN_PIXELS = 4096
"""Pixels of input from which on it pays to find out what each convolution needs."""

_MIN_SAVED = 50_000_000
"""Operations that a part must save, or bfloat16 must make faster; below, one call of torch is fastest."""

_MIN_SHARE_SAVED = 0.1
"""Share of the operations that a part must save, since the input of a part is copied."""


@dataclass(frozen=True)
class Needed:
    """The part of an input on which units depend.

    Attributes:
        x: `(N, C, H, W)`, the input.
        rows: The rows that the units' windows contain, with padding; `None` for all.
        columns: The columns.
    """

    x: Tensor
    rows: range | None
    columns: range | None


def needed_by(
    x: Tensor, field: Field, units: Sequence[tuple[tuple[int, int], tuple[int, int]]]
) -> Needed | None:
    """Return what some units need of an input.

    Args:
        x: `(N, C, H, W)`, cuts of images.
        field: Receptive fields of the units' layer.
        units: For each unit, its position `(y, x)` in the feature map of the whole image, and the row and the
            column of the image at which its cut starts.

    Returns:
        The needed part; `None` if the input is so small that it takes longer to find out.
    """
    if x.shape[0] * x.shape[2] * x.shape[3] < _MIN_PIXELS:
        return None
    rows = [_window(field.rows, position[0], start[0]) for position, start in units]
    columns = [_window(field.columns, position[1], start[1]) for position, start in units]
    return Needed(x, _hull(rows), _hull(columns))


def _window(axis: Axis, index: int, start: int) -> range | None:
    """Return the window of an index in the coordinates of a cut; `None` if it needs the whole axis."""
    if axis.needs_whole_input:
        return None
    first, stop = axis.window(index)
    return range(first - start, stop - start)


def _hull(windows: Sequence[range | None]) -> range | None:
    present = [window for window in windows if window is not None]
    if len(present) < len(windows):
        return None
    return range(min(window.start for window in present), max(window.stop for window in present))


class NeededConvolutions(TorchFunctionMode):
    """A context for forwards in which convolutions compute only what is needed.

    The context must not surround the backward pass, in which a network may compute parts of its forward
    again.

    Args:
        needed: What the units see; `None` if the whole output of each convolution is needed.
        bfloat16: Whether the gradients of convolutions are computed in bfloat16. The forward is not.
    """

    def __init__(self, needed: Needed | None, *, bfloat16: bool = False) -> None:
        super().__init__()
        self._needed = needed
        self._bfloat16 = bfloat16
        self._records_gradients = False
        self._tracker = AxesTracker()
        if needed is not None:
            self._tracker.start(needed.x)

    def __enter__(self) -> Self:
        self._records_gradients = torch.is_grad_enabled()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if self._needed is None and not self._bfloat16:
            return func(*args, **options)
        call = convolution_call(func, args, options)
        # In the forward of a custom `autograd.Function`, gradients are not recorded. Its backward may compute
        # inputs from outputs, and so needs all of them.
        if call is None or torch.is_grad_enabled() != self._records_gradients:
            return self._tracker.call(func, args, options)
        axes = self._axes_after(call, func, args, options)
        whole = (range(call.output_size[0]), range(call.output_size[1]))
        part = whole if axes is None else self._needed_part(axes)
        saved = call.operations(*whole) - call.operations(*part)
        sees_input = all(part[axis] and call.taps(axis, part[axis])[0] for axis in (0, 1))
        if saved < max(_MIN_SAVED, _MIN_SHARE_SAVED * call.operations(*whole)) or not sees_input:
            part = whole
        if part == whole and not (self._bfloat16 and call.operations(*whole) >= _MIN_SAVED):
            return self._tracker.call(func, args, options)
        result = convolve_part(call, *part, bfloat16=self._bfloat16)
        self._tracker.set_axes(result, axes)
        return result

    def _needed_part(self, axes: SpatialAxes) -> tuple[range, range]:
        """Return the rows and columns of an output that are needed."""
        windows = (None, None) if self._needed is None else (self._needed.rows, self._needed.columns)
        return _inside(axes.rows, windows[0]), _inside(axes.columns, windows[1])

    def _axes_after(
        self, call: Convolution, func: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]
    ) -> SpatialAxes | None:
        """Return the axes of a convolution's output; `None` if those of its input are unknown."""
        axes = self._tracker.axes_of(call.x)
        if axes is None or axes.dims != (-2, -1):
            return None
        shape = (call.x.shape[0], call.weight.shape[0], *call.output_size)
        return self._tracker.after(func, args, options, {id(call.x): axes}, shape)


def _inside(axis: Axis, window: range | None) -> range:
    """Return the indices whose windows lie inside a window; all if either is unknown."""
    if window is None or axis.rule is None:
        return range(len(axis))
    rule = axis.rule
    first = -((rule.offset - window.start) // rule.stride)
    last = (window.stop - rule.size - rule.offset) // rule.stride
    return range(max(first, 0), min(last + 1, len(axis)))
