"""Tests of `explain`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms as T

import torchlurk
from torchlurk.attribution.targets import ClassLogit
from torchlurk.errors import LurkError
from torchlurk.explaining import AttributionParams


def net() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )


def fed(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.resize((12, 10)))).permute(2, 0, 1) / 255


def test_any_transform_and_images_in_memory_are_accepted() -> None:
    images = [Image.new(mode, (20, 20), 90) for mode in ("L", "I;16")] + [Image.new("RGBA", (9, 9))]
    found = torchlurk.explain(
        net(), fed, images, [1, "0:2", ClassLogit(3)], params=AttributionParams(samples=2, steps=2)
    )
    assert [one.name for one in found] == ["image 1", "image 2", "image 3"]
    assert [one.target_name for one in found] == ["class 1", "0:2", "class 3"]
    assert found[0].attributions["guided"].shape == (3, 10, 12)


def test_every_preprocess_of_lurk_is_accepted() -> None:
    image = Image.effect_noise((40, 30), 60).convert("RGB")
    first = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    params = AttributionParams(("gradient",))
    colours = T.Compose([T.Resize((10, 12)), T.ToTensor()])
    (found,) = torchlurk.explain(first, colours, image, params=params)
    assert found.attributions["gradient"].shape == (1, 10, 12), "a transform of colours, given in gray"
    for preprocess in (None, (0.5, 0.25)):
        (found,) = torchlurk.explain(net(), preprocess, image, params=params)
        assert found.attributions["gradient"].shape == (3, 224, 224)


def test_outputs_that_are_probabilities_are_not_normalised() -> None:
    model = torch.nn.Sequential(net(), torch.nn.Softmax(1))
    (found,) = torchlurk.explain(
        model, fed, Image.new("RGB", (9, 9), "red"), params=AttributionParams(("gradient",))
    )
    assert [p.probability for p in found.predictions] == [p.logit for p in found.predictions]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"images": []}, "0 images"),
        ({"images": 7}, "an image is a int"),
        ({"model": 7}, "the model is a int"),
        ({"preprocess": 7}, "preprocess is a int"),
        ({"target": [1, 2]}, "1 images and 2 targets"),
        ({"target": 4}, "0 to 3"),
        ({"target": ClassLogit(4)}, "0 to 3"),
        ({"randomize": "some"}, "'some'"),
        ({"classes": None}, "no classes"),
        ({"classes": ["a"]}, "1 class names"),
        ({"preprocess": lambda image: 3}, "gives a int"),
    ],
)
def test_bad_arguments_are_refused(given: dict[str, object], words: str) -> None:
    usual = {"model": net(), "preprocess": fed, "images": [Image.new("RGB", (9, 9))]}
    with pytest.raises(LurkError, match=words):
        torchlurk.explain(**(usual | {"params": AttributionParams(("gradient",))} | given))
