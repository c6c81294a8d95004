"""Resizing and cropping equal torchvision's bit for bit."""

from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.datasets.conftest import noise
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    sizes=st.sampled_from([(224, 256), (224, 224), (17, 20), (64, 71)]),
)
def test_pixels_equal_torchvisions_to_the_bit(width: int, height: int, sizes: tuple[int, int]) -> None:
    if max(width, height) > 100 * min(width, height):
        return
    size, resize = sizes
    image = noise(width * 1000 + height, width, height)
    preset = torchvision.models.VGG16_Weights.DEFAULT.transforms(crop_size=size, resize_size=resize)
    ours = Preprocess(size=size, resize=resize)
    pixels = torch.from_numpy(ours.to_array(image))[None]
    assert torch.equal(ours.to_input(pixels)[0], preset(image))


def test_the_default_is_the_preset_of_torchvision() -> None:
    image = noise(0, 500, 375)
    pixels = torch.from_numpy(Preprocess().to_array(image))[None].repeat(2, 1, 1, 1)
    found = Preprocess().to_input(pixels)
    assert torch.equal(found[1], torchvision.models.VGG16_Weights.DEFAULT.transforms()(image))
    assert found.is_contiguous()
    assert Preprocess().to_input(torch.empty(0, 8, 8, 3, dtype=torch.uint8)).shape == (0, 3, 8, 8)


def test_contradicting_values_are_refused() -> None:
    for size, resize in ((0, 10), (224, 200), (-1, -1)):
        with pytest.raises(LurkError, match="size <= resize"):
            Preprocess(size=size, resize=resize)
    with pytest.raises(LurkError, match="std"):
        Preprocess(std=(1.0, 0.0, 1.0))
    with pytest.raises(BadImage, match="1 x 101 pixels are too narrow"):
        Preprocess().to_array(Image.new("RGB", (1, 101)))
