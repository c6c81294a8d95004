"""Compositions of torchvision's steps become an equal `Preprocess`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision import transforms as v1
from torchvision.transforms import v2

from tests.unit.datasets.conftest import noise
from torchlurk.datasets.inputs import Input, Preprocess
from torchlurk.datasets.torchvision_steps import preprocess_from_preset
from torchlurk.datasets.transform import (
    input_from_transform,
)

BICUBIC = v1.InterpolationMode.BICUBIC


def as_input(wanted: Input, image: Image.Image) -> torch.Tensor:
    return wanted.to_input(torch.from_numpy(wanted.to_array(image))[None])[0]


@pytest.mark.parametrize(
    "model", ["vgg16", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "convnext_tiny", "vit_b_16",
              "inception_v3", "swin_v2_t", "mobilenet_v3_small"],
)  # fmt: skip
@pytest.mark.parametrize("size", [(500, 375), (90, 300), (20, 31)])
def test_presets_are_equal_bit_for_bit(model: str, size: tuple[int, int]) -> None:
    for entry in torchvision.models.get_model_weights(model):
        preset, image = entry.transforms(), noise(3, *size)
        assert torch.equal(as_input(preprocess_from_preset(preset), image), preset(image))


def scaled_to_bytes(x: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(x.resize((6, 5)))).permute(2, 0, 1).float()


COMPOSITIONS: dict[str, Callable[[Image.Image], Any]] = {
    "28 x 28 gray": v1.Compose(
        [v1.Grayscale(), v1.Resize((28, 28)), v1.ToTensor(), v1.Normalize((0.13,), (0.3,))]
    ),
    "32 x 32": v1.Compose([v1.Resize((32, 32), BICUBIC), v1.ToTensor(), v1.Normalize([0.5] * 3, [0.2] * 3)]),
    "not square": v1.Compose([v1.Resize(40), v1.CenterCrop((32, 48)), v1.ToTensor()]),
    "squashed": v1.Compose([v1.Resize((24, 50)), v1.PILToTensor(), v1.ConvertImageDtype(torch.float32)]),
    "padded": v1.Compose([v1.Resize(20), v1.CenterCrop((33, 64)), v1.ToTensor()]),
    "as it is": v1.ToTensor(),
    "v2": v2.Compose(
        [v2.Resize(40, BICUBIC), v2.CenterCrop(36), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
         v2.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])]
    ),
    "one mean for all": v1.Compose([v1.Resize((9, 9)), v1.ToTensor(), v1.Normalize(0.5, 0.25)]),  # type: ignore[arg-type]
    "a tuple of one": v1.Compose([v1.Resize((9, 9)), v1.ToTensor(), v1.Normalize((0.5,), (0.25,))]),
    "in one another": v1.Compose([v1.Compose([v1.Resize(30), v1.CenterCrop(30)]), v1.ToTensor()]),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_composition_of_usual_steps_becomes_a_preprocess(name: str) -> None:
    found = input_from_transform(COMPOSITIONS[name], lambda: noise(0))
    assert isinstance(found, Preprocess)
    assert input_from_transform(COMPOSITIONS[name], lambda: Image.new("RGB", noise(0).size)) == found
    for seed in range(3):
        assert torch.equal(as_input(found, noise(seed)), COMPOSITIONS[name](noise(seed)))
    assert found.display(found.to_array(noise(0))).shape == (*found.shape[1:], 3)
