"""The numbers of a comparison by hand: lists, profiles, sums over images, weights, histograms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from torchlurk.comparing.measures import MEASURES
from torchlurk.comparing.moments import (
    best_partners,
    correlations,
    init_layer_moments,
    relative_differences,
    summarise_maps,
    update_layer_moments,
)
from torchlurk.comparing.parameters import filter_parameters, parameter_changes
from torchlurk.comparing.store_measures import (
    profile_distance,
    rank_distance,
    replaced_share,
    standardised_shift,
)
from torchlurk.comparing.summaries import distribution, layer_change, pair_sentences
from torchlurk.errors import LurkError
from torchlurk.store.comparison import FilterChanges

LISTS = st.integers(1, 6).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 9), min_size=k, max_size=k, unique=True)] * 2)
)
"""Two lists of one length, as those of two stores are."""
PROFILES = st.dictionaries(st.integers(0, 30), st.floats(-5, 5), min_size=1, max_size=10).map(
    lambda means: sorted(means.items(), key=lambda pair: (-pair[1], pair[0]))
)


@given(LISTS)
def test_lists_are_as_far_apart_as_back_and_the_same_only_if_they_are(
    lists: tuple[list[int], list[int]],
) -> None:
    a, b = lists
    assert 0 <= replaced_share(a, b) == replaced_share(b, a) <= 1
    assert (replaced_share(a, b) == 0) == (set(a) == set(b))
    assert 0 <= rank_distance(a, b) <= 2
    assert rank_distance(a, b) == pytest.approx(rank_distance(b, a))
    assert rank_distance(a, a) == 0
    if a != b:
        assert rank_distance(a, b) > 0


@given(PROFILES, st.floats(-5, 5), PROFILES, st.floats(-5, 5))
def test_profiles_are_as_far_apart_as_back(
    a: list[tuple[int, float]], mean: float, b: list[tuple[int, float]], mean_after: float
) -> None:
    apart = profile_distance(a, mean, b, mean_after)
    assert 0 <= apart <= 1 + 1e-12
    assert apart == pytest.approx(profile_distance(b, mean_after, a, mean))
    assert profile_distance(a, mean, a, mean) == 0


def test_a_profile_that_lists_ten_of_many_does_not_jump_at_its_end() -> None:
    whole = [(label, 20.0 - label) for label in range(12)]
    assert profile_distance(whole[:10], 3.0, [*whole[:9], (10, 10.9)], 3.0) < 0.01


def test_profiles_without_a_class_above_the_mean() -> None:
    flat, steep = [(0, -1.0), (1, -1.0000001)], [(0, -2.0), (1, 1.0)]
    assert profile_distance(flat, -1.0, flat, -1.0) == profile_distance([(0, 1.0)], 0.9, [(0, 1.0)], 1.0) == 0
    assert profile_distance(flat, -1.0, steep, -0.5) == 1


def test_shifts() -> None:
    assert standardised_shift(1.0, 0.0, 1.0, 0.0) == 0
    assert standardised_shift(1.0, 0.0, 2.0, 0.0) is None
    assert standardised_shift(2.0, 1.0, 1.0, 1.0) == -1


def test_filters_that_do_not_vary() -> None:
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


def test_of_equal_partners_a_filter_is_its_own() -> None:
    maps = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1)).expand(5, 4, 6, 6).clone()
    sums = update_layer_moments(
        init_layer_moments(summarise_maps(maps), summarise_maps(maps)),
        summarise_maps(maps),
        summarise_maps(maps),
    )
    assert best_partners(sums)[0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("groups", [1, 2])
def test_the_weights_of_a_transposed_convolution_are_those_of_its_outputs(groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups)
    rows = filter_parameters(layer, 6)
    assert rows is not None
    assert rows.shape == (6, 4 // groups * 9 + 1)
    x = torch.randn(1, 4, 5, 5)
    before = layer(x)
    changed = 3
    with torch.no_grad():
        layer.bias[changed] = 0
        layer.weight.view(groups, 4 // groups, 6 // groups, 3, 3)[
            changed // (6 // groups), :, changed % (6 // groups)
        ] = 0
    assert (layer(x) - before).abs().amax((0, 2, 3)).nonzero().flatten().tolist() == [changed]
    after = filter_parameters(layer, 6)
    assert after is not None
    size, direction = parameter_changes("t", rows, after)
    assert size.tolist() == [0, 0, 0, 1, 0, 0]
    assert direction[changed].isnan()


def test_layers_without_weights_of_their_own() -> None:
    assert filter_parameters(nn.ReLU(), 4) is None
    assert filter_parameters(nn.Sequential(nn.Conv2d(3, 4, 1)), 4) is None
    norm = filter_parameters(nn.BatchNorm2d(4), 4)
    assert norm is not None
    assert norm.shape == (4, 2)
    with pytest.raises(LurkError, match=r"10 weights .* and 6 "):
        parameter_changes("0", torch.zeros(4, 10), torch.zeros(4, 6))


def test_a_histogram_counts_each_value_once() -> None:
    told = distribution(MEASURES["active"], [0.0, -0.5, 1.0, None, 1e-7])
    assert told is not None
    assert (told.counted, told.unchanged, told.max, told.most) == (4, 1, 1, 2)
    assert told.median == pytest.approx(0.25)
    assert sum(told.histogram) == 4
    middle = len(told.histogram) // 2
    assert told.histogram[middle] == 2
    assert distribution(MEASURES["active"], [None, None]) is None


def test_a_layer_with_one_new_filter_among_many_did_not_change_least() -> None:
    columns = {"still": [0.0] * 9, "replaced": [0.0] * 8 + [1.0], "after": [0.01] * 9}
    changes = {
        name: layer_change(FilterChanges(0, 1, {"maps": list(values)}, None, None))
        for name, values in columns.items()
    }
    told = pair_sentences(changes, "maps")
    assert told.startswith(
        "Of 3 layers, 2 changed. By activation maps, replaced changed most (0.11 on average)"
    )
