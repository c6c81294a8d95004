"""Other transforms are called, drawn and checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as v1

from tests.unit.datasets.conftest import noise
from torchlurk.datasets.batches import batches, load_pixels
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Input
from torchlurk.datasets.transform import (
    CustomTransform,
    apply_transform,
    choose_display_channels,
    input_from_transform,
)
from torchlurk.errors import LurkError


def as_input(wanted: Input, image: Image.Image) -> torch.Tensor:
    return wanted.to_input(torch.from_numpy(wanted.to_array(image))[None])[0]


def scaled_to_bytes(x: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(x.resize((6, 5)))).permute(2, 0, 1).float()


OTHERS: dict[str, tuple[Callable[[Image.Image], Any], bool]] = {
    "a lambda inside": (
        v1.Compose([v1.Lambda(lambda i: i.rotate(90)), v1.ToTensor(), v1.Normalize([0.4] * 3, [0.2] * 3)]),
        False,
    ),
    "gray after the cut": (v1.Compose([v1.Resize((9, 9)), v1.Grayscale(), v1.ToTensor()]), False),
    "a cut of what is not resized": (v1.Compose([v1.CenterCrop((47, 60)), v1.ToTensor()]), False),
    "no cut": (v1.Compose([v1.Resize(20), v1.ToTensor()]), False),
    "unknown scale": (scaled_to_bytes, True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_transforms_are_called_and_displayed(name: str) -> None:
    transform, stretched = OTHERS[name]
    found = input_from_transform(transform, lambda: noise(0))
    assert isinstance(found, CustomTransform)
    assert found.resize_crop is None
    assert found.stretched == stretched
    value = transform(noise(1))
    assert torch.equal(as_input(found, noise(1)), value)
    picture = found.display(found.to_array(noise(1)))
    assert picture.shape == (*found.shape[1:], 3)
    assert picture.dtype == np.uint8
    if stretched:
        assert (picture.min(), picture.max()) == (0, 255)
    # value * std + mean is in [0, 1] for the first image, so that an ascent starts in range
    first = as_input(found, noise(0)) * torch.tensor(found.std)[:, None, None]
    first += torch.tensor(found.mean)[:, None, None]
    assert first.min() > -1e-5
    assert first.max() < 1 + 1e-5


def test_a_normalisation_inside_gives_the_picture() -> None:
    turned = OTHERS["a lambda inside"][0]
    found = input_from_transform(turned, lambda: noise(0))
    picture = found.display(found.to_array(noise(2)))
    assert np.array_equal(picture, np.asarray(noise(2).rotate(90)))
    assert (found.mean, found.std) == ((0.4,) * 3, (0.2,) * 3)


def five(image: Image.Image) -> torch.Tensor:
    gray = v1.functional.to_tensor(image.convert("L").resize((8, 8)))
    return torch.cat([gray * k / 4 for k in range(5)])


def test_display_channels_are_a_choice() -> None:
    found = input_from_transform(five, lambda: noise(0), display_channels=(4, 0, 2))
    assert found.shape == (5, 8, 8)
    picture = found.display(found.to_array(noise(0)))
    assert picture[..., 1].max() == 0
    assert picture[..., 0].max() > picture[..., 2].max() > 0
    assert input_from_transform(five, lambda: noise(0)).display_channels == (0, 1, 2)
    gray = input_from_transform(five, lambda: noise(0), display_channels=(3,)).display(
        found.to_array(noise(0))
    )
    assert np.array_equal(gray[..., 0], gray[..., 2])
    assert choose_display_channels(1) == choose_display_channels(2) == (0,)
    for wrong in ((5,), (0, 1), (-1, 0, 1)):
        with pytest.raises(LurkError, match=r"show_channels=.* of 0 to 4"):
            input_from_transform(five, lambda: noise(0), display_channels=wrong)


def failing(image: Image.Image) -> torch.Tensor:
    raise KeyError("depth")


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (failing, r"transform failing fails on an image of 60 x 47 px \(KeyError: 'depth'\)"),
        (lambda _: None, r"<lambda> gives a NoneType; give a transform"),
        (lambda image: np.asarray(image), "gives a ndarray"),
        (v1.PILToTensor(), r"PILToTensor gives uint8 of shape \(3, 47, 60\)"),
        (lambda _: torch.zeros(1, 3, 8, 8), r"gives float32 of shape \(1, 3, 8, 8\)"),
        (lambda _: torch.full((3, 4, 4), torch.nan), "gives NaN or infinity"),
    ],
)
def test_a_wrong_transform_is_one_line(transform: Callable[[Image.Image], Any], message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        input_from_transform(transform, lambda: noise(0))
    assert "\n" not in str(caught.value)


def test_a_failure_on_one_image_skips_that_image(tmp_path: Path) -> None:
    for index, size in enumerate([(12, 10), (12, 10), (9, 10)]):
        noise(index, *size).save(tmp_path / f"{index}.png")
    images = list_images(tmp_path)
    for transform in (v1.ToTensor(), v1.Compose([v1.Lambda(lambda i: i), v1.ToTensor()])):
        found = input_from_transform(transform, lambda: images.open(0))
        (batch,) = batches(images, found, workers=0)
        assert batch.indices == (0, 1)
        assert [s.path for s in batch.skipped] == ["2.png"]
        (again,) = batches(images, found, workers=2)
        assert torch.equal(again.pixels, batch.pixels)
        assert torch.equal(load_pixels(images, found, [1]), batch.pixels[1:])


def test_random_transforms_are_the_same_each_time_and_leave_the_generator() -> None:
    jitter = v1.Compose([v1.ToTensor(), v1.RandomErasing(1.0), v1.Resize((8, 8))])
    before = torch.random.get_rng_state()
    assert torch.equal(apply_transform(jitter, noise(0)), apply_transform(jitter, noise(0)))
    assert torch.equal(torch.random.get_rng_state(), before)
