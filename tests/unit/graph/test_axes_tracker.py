"""Axes that are followed through a running forward; tests/oracle/test_needed.py checks what rests on them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from torchlurk.graph.axes_tracker import AxesTracker
from torchlurk.graph.receptive_field import IntervalRule


def started() -> tuple[AxesTracker, Tensor]:
    tracker, x = AxesTracker(), torch.rand(1, 4, 9, 8)
    tracker.start(x)
    return tracker, x


def rules(tracker: AxesTracker, tensor: Tensor) -> tuple[IntervalRule | None, IntervalRule | None] | None:
    axes = tracker.axes_of(tensor)
    return None if axes is None else (axes.rows.rule, axes.columns.rule)


def test_windows_are_composed() -> None:
    tracker, x = started()
    assert rules(tracker, x) == (IntervalRule(1, 1, 0), IntervalRule(1, 1, 0))
    y = tracker.call(torch.conv2d, (x, torch.rand(2, 4, 3, 5)), {"padding": (1, 2)})
    assert rules(tracker, y) == (IntervalRule(3, 1, -1), IntervalRule(5, 1, -2))
    z = tracker.call(F.max_pool2d, (tracker.call(F.relu, (y,), {}), 2), {})
    assert rules(tracker, z) == (IntervalRule(4, 2, -1), IntervalRule(6, 2, -2))
    both = tracker.call(torch.cat, ([x, y], 1), {})
    assert rules(tracker, both) == rules(tracker, y)
    for part in tracker.call(torch.chunk, (y, 2, 1), {}):
        assert rules(tracker, part) == rules(tracker, y)


def test_unknown_operations_and_constants_have_no_axes() -> None:
    tracker, x = started()
    assert rules(tracker, torch.rand(1, 4, 9, 8)) is None
    for func, args in ((torch.flip, (x, (2,))), (torch.cumsum, (x, 2)), (torch.mean, (x, (2, 3), True))):
        assert rules(tracker, tracker.call(func, args, {})) is None
    unusual = {"bias": torch.rand(2), "weight": torch.rand(2, 4, 1, 1), "input": x}
    assert rules(tracker, tracker.call(torch.conv2d, (), unusual)) is None


def test_an_unknown_operation_in_place_removes_the_axes() -> None:
    tracker, x = started()
    y = tracker.call(Tensor.relu_, (x,), {})
    assert y is x
    assert rules(tracker, x) is not None
    tracker.call(Tensor.copy_, (x, x.flip(2)), {})
    assert rules(tracker, x) is None
    z = tracker.call(Tensor.clone, (started()[1],), {})
    assert rules(tracker, z) is None


def test_a_new_tensor_with_the_id_of_a_deleted_one_has_no_axes() -> None:
    tracker, x = started()
    axes = tracker.axes_of(x)
    tracker._axes[id(x)] = (lambda: None, 0, axes)  # type: ignore[assignment]
    assert rules(tracker, x) is None
