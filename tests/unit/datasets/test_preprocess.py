"""What a `preprocess` argument may be, and the `Input` that it becomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from tests.unit.datasets.conftest import noise
from torchlurk.datasets.inputs import IMAGENET_MEAN, Preprocess
from torchlurk.datasets.preprocess import resolve_preprocess
from torchlurk.datasets.transform import CustomTransform
from torchlurk.errors import LurkError

COLOUR, GRAY = nn.Conv2d(3, 2, 3), nn.Conv2d(1, 2, 3)


def test_without_one_colours_are_normalised_and_gray_is_not() -> None:
    assert resolve_preprocess(COLOUR, None).mean == IMAGENET_MEAN
    assert resolve_preprocess(GRAY, None) == Preprocess(mean=(0.0,), std=(1.0,))
    assert resolve_preprocess(COLOUR, None, 64).shape == (3, 64, 64)


def test_a_mean_and_a_std_are_for_each_channel_or_for_all() -> None:
    assert resolve_preprocess(COLOUR, (0.5, [0.1, 0.2, 0.3])) == Preprocess(
        mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3)
    )


def test_a_transform_for_gray_images_is_given_gray_images() -> None:
    found = resolve_preprocess(GRAY, transforms.Compose([transforms.Resize((8, 8)), transforms.ToTensor()]))
    assert isinstance(found, Preprocess)
    assert found.shape == (1, 8, 8)


def test_an_input_is_used_as_it_is() -> None:
    own = Preprocess(size=8, resize=9)
    assert resolve_preprocess(COLOUR, own) is own


@pytest.mark.parametrize(
    ("model", "preprocess", "size", "message"),
    [
        (nn.Conv2d(5, 2, 3), None, None, r"takes 5 channels, images have 1 or 3; give a transform"),
        (COLOUR, "resize", None, r"preprocess is a str; give a function"),
        (COLOUR, lambda _: torch.zeros(3, 4, 4), 64, r"^size=64: the network comes with its own transform; "),
        (COLOUR, lambda _: torch.zeros(3, 4, 4), (64, 32), r"^size=64x32: "),
    ],
)
def test_a_wrong_preprocess_is_one_line(model: nn.Module, preprocess: Any, size: Any, message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        resolve_preprocess(model, preprocess, size)
    assert "\n" not in str(caught.value)


class Former:
    """An `Input` as users wrote it for the former names."""

    shape, mean, std, shown, cut = (3, 4, 4), (0.5,) * 3, (0.25,) * 3, (0, 1, 2), None

    def decoded(self, image: Image.Image) -> np.ndarray[Any, Any]:
        return np.asarray(image.resize((4, 4)))

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.permute(0, 3, 1, 2).float() / 255

    def display(self, decoded: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return decoded


def test_an_input_with_the_former_names_still_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="to_array and to_input"):
        found = resolve_preprocess(COLOUR, Former())  # type: ignore[arg-type]
    array = found.to_array(noise(0))
    assert found.display(array) is array
    assert found.to_input(torch.from_numpy(array.copy())[None]).shape == (1, *found.shape)
    assert found.resize_crop is None
    assert found.display_channels == (0, 1, 2)
    assert found.normalise(torch.ones(1, 3, 1, 1)).flatten().tolist() == [2.0] * 3
    assert found.denormalise(torch.zeros(1, 3, 1, 1)).flatten().tolist() == [0.5] * 3


def test_channels_to_display_are_for_custom_transforms() -> None:
    found = resolve_preprocess(
        nn.Conv2d(4, 2, 3), lambda _: torch.rand(4, 5, 6), first=noise_of_any, display_channels=(3,)
    )
    assert isinstance(found, CustomTransform)
    assert found.display_channels == (3,)


def noise_of_any() -> Image.Image:
    return noise(0)
