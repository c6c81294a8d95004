"""Reductions of feature maps: where the maxima are, found only for those that may enter a list."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchlurk.scan import reduce
from torchlurk.scan.reduce import positions_of_candidates, reduce_map


def test_candidates_have_the_first_position_of_their_maximum() -> None:
    x = torch.randint(0, 4, (5, 6, 3, 7), generator=torch.Generator().manual_seed(0)).float()
    maxima = reduce_map(x).maxima
    lowest = torch.tensor([-torch.inf, 0.0, 1.0, 2.0, 3.0, 4.0])
    found = positions_of_candidates(x, maxima, lowest)
    for row, channel in np.ndindex(5, 6):
        values = x[row, channel].flatten().tolist()
        if max(values) >= lowest[channel]:
            assert found[row, channel] == values.index(max(values))


def test_only_candidates_are_located(monkeypatch: pytest.MonkeyPatch) -> None:
    located: list[tuple[list[int], list[int]]] = []

    def locate(_: torch.Tensor, rows: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
        located.append((rows.tolist(), channels.tolist()))
        return torch.zeros_like(rows)

    monkeypatch.setattr(reduce, "positions_of_maxima", locate)
    maxima = torch.tensor([[1.0, 5.0], [2.0, 1.0], [3.0, 3.0]])
    x = maxima[:, :, None, None]
    positions_of_candidates(x, maxima, torch.tensor([2.0, 6.0]))
    # An image with the lowest score enters if its id is smaller.
    assert located == [([1, 2], [0, 0])]
    positions_of_candidates(x, maxima, torch.tensor([4.0, 6.0]))
    assert len(located) == 1


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 5, 40, 33), (2, 4, 1, 9), (1, 6, 7, 1), (2, 3, 1, 1), (0, 3, 4, 4)])
def test_reductions_are_those_of_float64(
    shape: tuple[int, int, int, int], memory_format: torch.memory_format
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 0.5
    reduced = reduce_map(x.contiguous(memory_format=memory_format))
    assert reduced.maxima.tolist() == x.flatten(2).double().amax(2).tolist()
    torch.testing.assert_close(reduced.means.double(), x.double().mean((2, 3)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_value_that_is_not_finite_shows_in_the_maximum_or_the_mean(
    value: float, memory_format: torch.memory_format
) -> None:
    x = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    x[1, 2, 8, 5] = value
    reduced = reduce_map(x.contiguous(memory_format=memory_format))
    finite = (reduced.maxima + reduced.means).isfinite()
    assert finite.tolist() == [[True] * 3, [True, True, False]]
