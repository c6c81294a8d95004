"""Gradients as tiles: the same alone and together, and the same quantile in both ways to compute it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from torchlurk.runtime import pictures
from torchlurk.runtime.pictures import GRAY, gradient_tiles


def some_gradients() -> Tensor:
    """Dense, sparse, one-sided, tiny and huge gradients, one with a single value, and one of zeros."""
    draw = torch.Generator().manual_seed(5)
    dense = torch.randn(8, 3, 40, 30, generator=draw)
    dense[1] *= torch.rand(3, 40, 30, generator=draw) > 0.9
    dense[2] = dense[2].clamp(min=0)
    dense[3] *= 1e-30
    dense[4] *= 1e20
    dense[5] = 0
    dense[6] = 0
    dense[6, 1, 7, 9] = -3.0
    dense[7] = dense[7].round()  # many equal magnitudes
    return dense


@pytest.mark.parametrize("size", [(40, 30), (80, 60), (20, 15)])
def test_tiles_do_not_depend_on_what_is_drawn_with_them(size: tuple[int, int]) -> None:
    together = gradient_tiles(some_gradients(), size)
    for tile, gradient in zip(together, some_gradients(), strict=True):
        (alone,) = gradient_tiles(gradient[None], size)
        assert np.array_equal(tile, alone)
    assert (together[5] == GRAY).all()


def test_full_colour_is_the_quantile_of_the_magnitudes_that_are_not_zero() -> None:
    for gradient in some_gradients():
        magnitudes = np.sort(np.abs(gradient.numpy())[gradient.numpy() != 0])
        expected = magnitudes[max(1, round(len(magnitudes) * 0.99)) - 1] if len(magnitudes) else 1.0
        assert pictures._full_colour(gradient).item() == expected


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 149, 150, 151, 250, 350, 400])
def test_gradients_on_a_device_get_the_same_full_colour(count: int) -> None:
    """The operations for a device run on the CPU as well."""
    gradients = some_gradients()
    gradients[0].flatten()[count:] = 0
    found = pictures._full_colours(gradients)
    expected = torch.stack([pictures._full_colour(gradient) for gradient in gradients])
    assert torch.equal(found.flatten(), expected)
