"""Correlations, differences and partners from moments, where maps are constant or equal."""

from __future__ import annotations

import torch

from torchlurk.comparing.moments import (
    best_partners,
    correlations,
    init_layer_moments,
    relative_differences,
    summarise_maps,
    update_layer_moments,
)


def test_constant_filters() -> None:
    draw = torch.Generator().manual_seed(0)
    before = torch.randn(6, 5, 9, 10, generator=draw)
    after = before.clone()
    before[:, 0] = after[:, 0] = 0.3  # neither varies, and they are equal
    before[:, 1], after[:, 1] = 0.0, 2.0  # neither varies, and they differ
    after[:, 2] = 0.0  # it died
    before[:, 3] = 0.0  # it woke up
    sums = None
    for rows in (slice(0, 4), slice(4, 6)):
        one, other = summarise_maps(before[rows]), summarise_maps(after[rows])
        sums = update_layer_moments(sums or init_layer_moments(one, other), one, other)
    assert sums is not None
    r = correlations(sums.cells)
    assert r[[0, 2, 3, 4]].tolist() == [1, 0, 0, 1]
    assert r[1].isnan()
    apart = relative_differences(sums)
    assert apart[[0, 4]].tolist() == [0, 0]
    assert apart[2] > 0
    assert apart[[1, 3]].isnan().all()
    who, how = best_partners(sums)
    assert who[0] == 0
    assert who[4] == 4
    assert how[[0, 4]].tolist() == [1, 1]
    assert how[[1, 3]].isnan().all()


def test_on_a_tie_a_filter_is_its_own_partner() -> None:
    maps = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1)).expand(5, 4, 6, 6).clone()
    sums = update_layer_moments(
        init_layer_moments(summarise_maps(maps), summarise_maps(maps)),
        summarise_maps(maps),
        summarise_maps(maps),
    )
    assert best_partners(sums)[0].tolist() == [0, 1, 2, 3]
