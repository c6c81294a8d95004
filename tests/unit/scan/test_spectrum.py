"""The images of a spectrum, beside a plain sort."""

from __future__ import annotations

import numpy as np
import pytest

from torchlurk.scan.spectrum import QUANTILES, spectrum_images


def test_the_first_image_is_at_the_nearest_rank() -> None:
    maxima = np.random.default_rng(0).permutation(101).astype(np.float32)
    found = spectrum_images(maxima, np.zeros(101, int))
    assert [maxima[pair[0]] for pair in found] == [0, 5, 25, 50, 75, 95]
    assert [abs(maxima[a] - maxima[b]) for a, b in found] == [1] * len(QUANTILES)


def test_the_second_image_has_another_class_if_one_is_near() -> None:
    maxima = np.arange(1000, dtype=np.float32)
    labels = np.zeros(1000, int)
    labels[[9, 507, 40]] = 1  # each within ten ranks of a quantile
    found = spectrum_images(maxima, labels)
    assert found[0] == [0, 9]
    assert found[1] == [50, 40]
    assert found[3] == [500, 507]
    assert found[2] == [250, 251]


def test_equal_maxima_rank_by_number() -> None:
    found = spectrum_images(np.zeros(5, np.float32), np.zeros(5, int))
    assert [pair[0] for pair in found] == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [3]), (2, [3, 4])])
def test_images_without_a_maximum_are_left_out(count: int, expected: list[int]) -> None:
    maxima = np.full(6, np.nan, np.float32)
    maxima[3 : 3 + count] = range(count)
    found = spectrum_images(maxima, np.zeros(6, int))
    assert sorted({image for pair in found for image in pair}) == expected
    assert found[0] == expected
