"""Tests of attributions as pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchlurk.explaining import METHODS
from torchlurk.explaining.drawing import (
    FRAME_COLOUR,
    draw_frame,
    nonzero_window,
    render_attribution,
    render_gray,
    render_signed,
    render_stretched,
)


def test_a_stretched_picture_spans_minimum_to_maximum() -> None:
    values = torch.tensor([[[-1.0, 0.0], [1.0, 3.0]]] * 3) + torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)
    found = render_stretched(values, (0, 1, 2))
    assert found[:, :, 0].tolist() == [[0, 51], [102, 204]]
    assert found[:, :, 2].tolist() == [[51, 102], [153, 255]]
    assert not render_stretched(torch.zeros(3, 2, 2), (0, 1, 2)).any()


def test_a_gray_picture_is_the_magnitude_clipped_at_the_99th_percentile() -> None:
    values = torch.zeros(2, 10, 20)
    values[0] = torch.linspace(0, -1, 200).view(10, 20)
    values[1, 0, 0] = 50.0
    found = render_gray(values)
    total = values.abs().sum(0).numpy()
    expected = (total / np.quantile(total, 0.99)).clip(0, 1) * 255
    assert np.array_equal(found, np.repeat(expected.round().astype(np.uint8)[:, :, None], 3, 2))
    assert found[0, 0, 0] == 255
    one = torch.zeros(3, 20, 20)
    one[1, 4, 4] = -2
    assert render_gray(one).sum() == 3 * 255, "where nearly all is 0, the highest is white"
    assert not render_gray(torch.zeros(3, 4, 4)).any()


def test_zero_is_gray_in_a_signed_picture() -> None:
    values = torch.zeros(3, 4, 4)
    values[0, 0, 0], values[0, 1, 1] = 2.0, -2.0
    found = render_signed(values, (0, 1, 2))
    assert found[3, 3].tolist() == [128, 128, 128]
    assert found[0, 0, 0] == 255
    assert found[1, 1, 0] == 1


@pytest.mark.parametrize(("channels", "display_channels"), [(1, (0,)), (3, (0, 1, 2)), (5, (4, 2, 0))])
@pytest.mark.parametrize("method", METHODS)
def test_inputs_of_any_number_of_channels_are_drawn(
    method: str, channels: int, display_channels: tuple[int, ...]
) -> None:
    values = torch.randn(channels, 6, 8, generator=torch.Generator().manual_seed(0))
    assert render_attribution(method, values, display_channels).shape == (6, 8, 3)


def test_the_window_is_the_nonzero_part_if_it_is_small() -> None:
    one, other = torch.zeros(3, 20, 30), torch.zeros(3, 20, 30)
    assert nonzero_window([one, other]) is None
    one[1, 4, 7], other[2, 9, 10] = -1.0, 2.0
    assert nonzero_window([one, other]) == (slice(4, 10), slice(7, 11))
    other[0, 19, 29] = 1e-9
    assert nonzero_window([one, other]) is None, "more than a quarter"


def test_a_frame_surrounds_its_window() -> None:
    picture = np.full((20, 30, 3), 77, np.uint8)
    found = draw_frame(picture, (slice(4, 10), slice(0, 5)))
    assert (picture == 77).all()
    assert (found[4:10, 0:5] == 77).all()
    assert found[3, 2].tolist() == [0, 0, 0]
    assert found[2, 2].tolist() == list(FRAME_COLOUR) == found[5, 6].tolist()
    assert (found[14:] == 77).all()
