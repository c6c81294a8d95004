"""Records of circuits from contributions that are written down by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from torchlurk.api.circuits import letters_to_kernel
from torchlurk.pipeline.contribution_sums import no_units, sum_units
from torchlurk.pipeline.wiring import (
    LayerWiring,
    _largest,
    add_consumers,
    kernel_to_letters,
    mean_wiring,
    no_consumption,
    round_share,
    round_to,
    wiring_to_records,
    with_consumers,
)
from torchlurk.store.schema import Consumer, Contributor, FilterCircuit


def wiring(rows: list[list[float]], *widths: int, scores: list[float] | None = None) -> LayerWiring:
    names = tuple(f"layer{at}" for at in range(len(widths)))
    scores = [0.0] * len(rows) if scores is None else scores
    contributions = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), sum(widths))
    return LayerWiring(names, widths, torch.tensor(scores, dtype=torch.float64), contributions)


def records(rows: list[list[float]], *widths: int, scores: list[float] | None = None) -> list[FilterCircuit]:
    return wiring_to_records(wiring(rows, *widths, scores=scores), [None] * len(widths))


def test_sums_rest_and_lists_of_two_layers() -> None:
    (record,) = records([[1.0, -2.0, 0.0, 4.0, -0.5]], 2, 3, scores=[3.5])
    assert (record.score, record.excitation, record.inhibition, record.rest) == (3.5, 5.0, -2.5, 1.0)
    assert record.sums == [(1.0, -2.0), (4.0, -0.5)]
    assert record.excited_by == [Contributor(1, 1, 4.0, ""), Contributor(0, 0, 1.0, "")]
    assert record.inhibited_by == [Contributor(0, 1, -2.0, ""), Contributor(1, 2, -0.5, "")]
    assert (record.scale, record.used_by) == (0.0, [])


def test_equal_contributions_are_ordered_by_layer_and_channel() -> None:
    (record,) = records([[1.0, 2.0, 2.0, 1.0, -3.0, -3.0]], 3, 3)
    assert [(one.upstream, one.channel) for one in record.excited_by] == [(0, 1), (0, 2), (0, 0), (1, 0)]
    assert [(one.upstream, one.channel) for one in record.inhibited_by] == [(1, 1), (1, 2)]


def test_lists_are_cut_and_sums_are_not() -> None:
    values = [float(number) for number in range(1, 31)]
    (record,) = records([values + [-value for value in values]], 60)
    assert [one.contribution for one in record.excited_by] == values[:17:-1]
    assert [one.contribution for one in record.inhibited_by] == [-30.0, -29.0, -28.0, -27.0, -26.0, -25.0]
    assert (record.excitation, record.inhibition) == (465.0, -465.0)


def test_a_layer_without_others_upstream_has_its_score_as_rest() -> None:
    first, second = records([[], []], scores=[2.5, -1.0])
    assert (first.score, first.rest, first.sums, first.excited_by) == (2.5, 2.5, [], [])
    assert (second.excitation, second.inhibition, second.rest) == (0.0, 0.0, -1.0)


def test_means_are_over_the_units_of_each_filter() -> None:
    sums = sum_units(
        torch.tensor([2, 0, 2]),
        torch.tensor([3.0, 1.0, 5.0]),
        {"b": torch.tensor([[1.0, 2.0], [0.0, 4.0], [3.0, -2.0]])},
        repeated=False,
    )
    means = mean_wiring(sums, 3, ["a", "b"], [1, 2])
    # Filter 1 has no unit, and layer `a` has contributed nothing.
    assert means.scores.tolist() == [1.0, 0.0, 4.0]
    assert means.contributions.tolist() == [[0.0, 0.0, 4.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]


def test_a_layer_without_units_has_zeros() -> None:
    means = mean_wiring(no_units(), 2, ["a"], [3])
    assert means.contributions.tolist() == [[0.0] * 3] * 2
    assert means.shares(0).tolist() == [[0.0] * 3] * 2
    assert [record.score for record in wiring_to_records(means, [torch.ones(2, 3, 1, 1)])] == [0.0, 0.0]


def test_shares_are_signed_parts_of_all_magnitudes() -> None:
    found = wiring([[1.0, -2.0, 5.0], [0.0, 0.0, 0.0]], 2, 1)
    assert found.shares(0).tolist() == [[0.125, -0.25], [0.0, 0.0]]
    assert found.shares(1).tolist() == [[0.625], [0.0]]


def test_consumers_come_from_whole_matrices() -> None:
    """A filter that is in no list of a layer downstream is used by its filters all the same."""
    weak = [[10.0 + other for other in range(40)] + [0.5], [20.0] * 40 + [-4.0]]
    below = wiring(weak, 41)
    record = records(weak, 41)[0]
    assert (0, 40) not in [(one.upstream, one.channel) for one in record.excited_by]
    (found,) = with_consumers(
        records([[]]), add_consumers(no_consumption(1), 0, below.shares(0)[:, 40:])
    )  # fmt: skip
    totals = [sum(10.0 + other for other in range(40)) + 0.5, 804.0]
    assert found.used_by == [
        Consumer(0, 1, round_share(-4 / totals[1])),
        Consumer(0, 0, round_share(0.5 / totals[0])),
    ]


def test_consumers_of_several_layers_are_merged_by_magnitude() -> None:
    def shares(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)[:, None]

    found = no_consumption(1)
    for layer, values in enumerate([[0.1, -0.3, 0.0], [0.3, 0.2]]):
        found = add_consumers(found, layer, shares(*values))
    (record,) = with_consumers(records([[]]), found)
    assert record.used_by == [
        Consumer(0, 1, -0.3), Consumer(1, 0, 0.3), Consumer(1, 1, 0.2), Consumer(0, 0, 0.1),
    ]  # fmt: skip
    many = add_consumers(found, 2, shares(*(0.01 * number for number in range(1, 30))))
    (record,) = with_consumers(records([[]]), many)
    assert len(record.used_by) == 12
    expected = sorted([0.1, 0.3, 0.3, 0.2, *(0.01 * number for number in range(1, 30))], reverse=True)
    assert [abs(use.share) for use in record.used_by] == pytest.approx(expected[:12])


def test_kernels_have_the_scale_of_the_largest_weight_in_the_lists() -> None:
    kernels = torch.zeros(1, 3, 2, 2)
    kernels[0, 0] = torch.tensor([[0.5, -0.25], [0.0, 0.125]])
    kernels[0, 1] = torch.tensor([[-1.0, 1.0], [0.06, 0.07]])
    kernels[0, 2] = 100.0  # contributes nothing, so it is in no list
    found = wiring([[1.0, -2.0, 0.0, 3.0]], 3, 1)
    (record,) = wiring_to_records(found, [kernels, None])
    assert record.scale == 1.0
    assert record.excited_by == [Contributor(1, 0, 3.0, ""), Contributor(0, 0, 1.0, "mgij")]
    assert record.inhibited_by == [Contributor(0, 1, -2.0, "aqij")]
    (zero,) = wiring_to_records(found, [torch.zeros(1, 3, 2, 2), None])
    assert (zero.scale, {one.kernel for one in zero.excited_by}) == (0.0, {""})


def test_a_kernel_that_is_not_finite_is_left_out() -> None:
    kernels = torch.tensor([[[[float("inf")]], [[0.5]]]])
    (record,) = wiring_to_records(wiring([[1.0, 2.0]], 2), [kernels])
    assert record.scale == 0.5
    assert [one.kernel for one in record.excited_by] == ["q", ""]


def test_letters_are_read_as_the_nearest_of_17_levels() -> None:
    kernel = np.linspace(-0.3, 0.3, 35).reshape(5, 7)
    letters = kernel_to_letters(kernel, 0.3)
    assert letters[0] + letters[17] + letters[-1] == "aiq"
    read = letters_to_kernel(letters, 0.3, (5, 7))
    assert read is not None
    assert abs(read - kernel).max() <= 0.3 / 16 + 1e-12
    assert letters_to_kernel("", 0.3, (5, 7)) is None


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (1 / 3, 6, 0.333333),
        (-123456.7, 6, -123457.0),
        (-0.0, 6, 0.0),
        (1e-30, 6, 1e-30),
        (2 / 3, 4, 0.6667),
        (-123456.7, 3, -123000.0),
    ],
)
def test_numbers_have_few_digits(value: float, digits: int, expected: float) -> None:
    assert round_to(value, digits) == expected
    assert str(round_to(value, digits)) != "-0.0"


@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize("size", [0, 1, 3, 12, 40])
def test_the_largest_values_are_those_of_a_stable_sort(size: int, count: int) -> None:
    draw = np.random.default_rng(size * 100 + count)
    for _ in range(50):
        values = draw.integers(-3, 4, size).astype(np.float64)  # many are equal
        expected = [
            at for at in sorted(range(size), key=lambda at: (-values[at], at))[:count] if values[at] > 0
        ]
        assert _largest(values, count) == expected
