"""Inputs: known ones are torchvision's to the bit, others are called, shown and checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision import transforms as v1
from torchvision.transforms import v2

from torchlurk.datasets.batches import batches, load_pixels
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Input, Preprocess, with_input_size
from torchlurk.datasets.limits import BadImage
from torchlurk.datasets.torchvision_steps import preprocess_from_preset
from torchlurk.datasets.transform import (
    CustomTransform,
    apply_transform,
    choose_display_channels,
    input_from_transform,
)
from torchlurk.errors import LurkError

BICUBIC = v1.InterpolationMode.BICUBIC


def noise(seed: int, width: int = 60, height: int = 47) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def fed(wanted: Input, image: Image.Image) -> torch.Tensor:
    return wanted.to_input(torch.from_numpy(wanted.to_array(image))[None])[0]


@pytest.mark.parametrize(
    "model", ["vgg16", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "convnext_tiny", "vit_b_16",
              "inception_v3", "swin_v2_t", "mobilenet_v3_small"],
)  # fmt: skip
@pytest.mark.parametrize("size", [(500, 375), (90, 300), (20, 31)])
def test_presets_are_torchvisions_to_the_bit(model: str, size: tuple[int, int]) -> None:
    for entry in torchvision.models.get_model_weights(model):
        preset, image = entry.transforms(), noise(3, *size)
        assert torch.equal(fed(preprocess_from_preset(preset), image), preset(image))


def named(x: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(x.resize((6, 5)))).permute(2, 0, 1).float()


KNOWN: dict[str, Callable[[Image.Image], Any]] = {
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


@pytest.mark.parametrize("name", KNOWN)
def test_a_composition_of_usual_steps_is_split(name: str) -> None:
    found = input_from_transform(KNOWN[name], lambda: noise(0))
    assert isinstance(found, Preprocess)
    assert input_from_transform(KNOWN[name], lambda: Image.new("RGB", noise(0).size)) == found
    for seed in range(3):
        assert torch.equal(fed(found, noise(seed)), KNOWN[name](noise(seed)))
    assert found.display(found.to_array(noise(0))).shape == (*found.shape[1:], 3)


OTHERS: dict[str, tuple[Callable[[Image.Image], Any], bool]] = {
    "a lambda inside": (
        v1.Compose([v1.Lambda(lambda i: i.rotate(90)), v1.ToTensor(), v1.Normalize([0.4] * 3, [0.2] * 3)]),
        False,
    ),
    "gray after the cut": (v1.Compose([v1.Resize((9, 9)), v1.Grayscale(), v1.ToTensor()]), False),
    "a cut of what is not resized": (v1.Compose([v1.CenterCrop((47, 60)), v1.ToTensor()]), False),
    "no cut": (v1.Compose([v1.Resize(20), v1.ToTensor()]), False),
    "unknown scale": (named, True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_transforms_are_called_and_shown(name: str) -> None:
    transform, stretched = OTHERS[name]
    found = input_from_transform(transform, lambda: noise(0))
    assert isinstance(found, CustomTransform)
    assert found.resize_crop is None
    assert found.stretched == stretched
    value = transform(noise(1))
    assert torch.equal(fed(found, noise(1)), value)
    picture = found.display(found.to_array(noise(1)))
    assert picture.shape == (*found.shape[1:], 3)
    assert picture.dtype == np.uint8
    if stretched:
        assert (picture.min(), picture.max()) == (0, 255)
    # value * std + mean is in [0, 1] for the first image, so that an ascent starts in range
    first = fed(found, noise(0)) * torch.tensor(found.std)[:, None, None]
    first += torch.tensor(found.mean)[:, None, None]
    assert first.min() > -1e-5
    assert first.max() < 1 + 1e-5


def test_a_normalisation_inside_gives_the_picture_back() -> None:
    turned = OTHERS["a lambda inside"][0]
    found = input_from_transform(turned, lambda: noise(0))
    picture = found.display(found.to_array(noise(2)))
    assert np.array_equal(picture, np.asarray(noise(2).rotate(90)))
    assert (found.mean, found.std) == ((0.4,) * 3, (0.2,) * 3)


def five(image: Image.Image) -> torch.Tensor:
    gray = v1.functional.to_tensor(image.convert("L").resize((8, 8)))
    return torch.cat([gray * k / 4 for k in range(5)])


def test_channels_are_shown_by_choice() -> None:
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
        with pytest.raises(LurkError, match=r"--show-channels .* of 0 to 4"):
            input_from_transform(five, lambda: noise(0), display_channels=wrong)


def failing(image: Image.Image) -> torch.Tensor:
    raise KeyError("depth")


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (failing, r"transform failing fails on an image of 60 x 47 px \(KeyError: 'depth'\)"),
        (lambda _: None, r"<lambda> gives a NoneType: give a transform"),
        (lambda image: np.asarray(image), "gives a ndarray"),
        (v1.PILToTensor(), r"PILToTensor gives uint8 of shape \(3, 47, 60\)"),
        (lambda _: torch.zeros(1, 3, 8, 8), r"gives float32 of shape \(1, 3, 8, 8\)"),
        (lambda _: torch.full((3, 4, 4), torch.nan), "gives NaN or infinity"),
    ],
)
def test_a_transform_that_will_not_do_is_one_line(
    transform: Callable[[Image.Image], Any], message: str
) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        input_from_transform(transform, lambda: noise(0))
    assert "\n" not in str(caught.value)


def test_what_fails_on_one_image_skips_that_one(tmp_path: Path) -> None:
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


def test_every_worker_gives_the_same_gray_and_flat_pixels(tmp_path: Path) -> None:
    for index in range(5):
        noise(index, 30 + index, 40).save(tmp_path / f"{index}.png")
    images = list_images(tmp_path)
    wide = Preprocess(size=(16, 40), resize=24, mean=(0.5,), std=(0.25,), interpolation="bicubic")
    first = list(batches(images, wide, batch_size=2, workers=0))
    assert first[0].pixels.shape == (2, 16, 40, 1)
    assert wide.to_input(first[0].pixels).shape == (2, 1, 16, 40)
    for workers in (1, 3):
        again = list(batches(images, wide, batch_size=2, workers=workers))
        assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))


def test_another_size_keeps_the_proportion_of_the_cut() -> None:
    assert with_input_size(Preprocess(), 64) == Preprocess(size=64, resize=73)
    assert with_input_size(Preprocess(size=(28, 28), resize=(32, 32)), (14, 56)) == Preprocess(
        size=(14, 56), resize=(16, 64)
    )
    assert with_input_size(Preprocess(size=(28, 28), resize=None), 32) == Preprocess(size=32, resize=32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0)}, "1 for gray or 3 for colours"),
        ({"mean": (0.5,)}, "as many of both"),
        ({"interpolation": "magic"}, "no interpolation 'magic'"),
        ({"size": (0, 4)}, "size <= resize"),
    ],
)
def test_an_impossible_input_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LurkError, match=message):
        Preprocess(**options)


def test_an_image_of_another_size_where_none_is_resized() -> None:
    with pytest.raises(BadImage, match="60 x 47 pixels, where the network takes 8 x 9"):
        Preprocess(size=(9, 8), resize=None).to_array(noise(0))
