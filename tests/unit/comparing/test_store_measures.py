"""Distances of lists, of class profiles and of means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.comparing.store_measures import (
    profile_distance,
    rank_distance,
    replaced_share,
    standardised_shift,
)

LISTS = st.integers(1, 6).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 9), min_size=k, max_size=k, unique=True)] * 2)
)
"""Two lists of one length, as those of with_networks stores are."""


PROFILES = st.dictionaries(st.integers(0, 30), st.floats(-5, 5), min_size=1, max_size=10).map(
    lambda means: sorted(means.items(), key=lambda pair: (-pair[1], pair[0]))
)


@given(LISTS)
def test_distances_of_lists_are_symmetric_and_zero_only_for_equal_lists(
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
def test_the_distance_of_profiles_is_symmetric(
    a: list[tuple[int, float]], mean: float, b: list[tuple[int, float]], mean_after: float
) -> None:
    apart = profile_distance(a, mean, b, mean_after)
    assert 0 <= apart <= 1 + 1e-12
    assert apart == pytest.approx(profile_distance(b, mean_after, a, mean))
    assert profile_distance(a, mean, a, mean) == 0


def test_a_change_at_the_end_of_a_truncated_profile_is_a_small_distance() -> None:
    whole = [(label, 20.0 - label) for label in range(12)]
    assert profile_distance(whole[:10], 3.0, [*whole[:9], (10, 10.9)], 3.0) < 0.01


def test_profiles_without_a_class_above_the_mean() -> None:
    flat, steep = [(0, -1.0), (1, -1.0000001)], [(0, -2.0), (1, 1.0)]
    assert profile_distance(flat, -1.0, flat, -1.0) == profile_distance([(0, 1.0)], 0.9, [(0, 1.0)], 1.0) == 0
    assert profile_distance(flat, -1.0, steep, -0.5) == 1


def test_standardised_shift() -> None:
    assert standardised_shift(1.0, 0.0, 1.0, 0.0) == 0
    assert standardised_shift(1.0, 0.0, 2.0, 0.0) is None
    assert standardised_shift(2.0, 1.0, 1.0, 1.0) == -1
