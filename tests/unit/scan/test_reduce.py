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
