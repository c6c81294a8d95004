"""Reductions of feature maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchlurk.scan.reduce import reduce_map


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_position_is_the_first_of_equal_maxima(memory_format: torch.memory_format) -> None:
    x = torch.randint(0, 4, (5, 6, 3, 7), generator=torch.Generator().manual_seed(0)).float()
    found = reduce_map(x.contiguous(memory_format=memory_format))
    for row, channel in np.ndindex(5, 6):
        values = x[row, channel].flatten().tolist()
        assert found.maxima[row, channel] == max(values)
        assert found.positions[row, channel] == values.index(max(values))


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
