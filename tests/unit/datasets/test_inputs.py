"""Preprocessing: sizes, values, and the way to the network and back."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torchvision import transforms

from tests.unit.datasets.conftest import noise
from torchlurk.datasets.inputs import Preprocess, with_input_size
from torchlurk.datasets.limits import BadImage
from torchlurk.datasets.transform import CustomTransform
from torchlurk.errors import LurkError


def test_another_size_keeps_the_proportion_of_the_crop() -> None:
    assert with_input_size(Preprocess(), 64) == Preprocess(size=64, resize=73)
    assert with_input_size(Preprocess(size=(28, 28), resize=(32, 32)), (14, 56)) == Preprocess(
        size=(14, 56), resize=(16, 64)
    )
    assert with_input_size(Preprocess(size=(28, 28), resize=None), 32) == Preprocess(size=32, resize=32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0)}, "1 for gray, 3 for colour"),
        ({"mean": (0.5,)}, "give both the same number of values"),
        ({"interpolation": "magic"}, "unknown interpolation 'magic'"),
        ({"size": (0, 4)}, "size <= resize"),
    ],
)
def test_impossible_values_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LurkError, match=message):
        Preprocess(**options)


def test_an_image_of_another_size_where_none_is_resized() -> None:
    with pytest.raises(BadImage, match="60 x 47 pixels, where the network takes 8 x 9"):
        Preprocess(size=(9, 8), resize=None).to_array(noise(0, 60, 47))


def test_normalise_agrees_with_to_input_and_denormalise_is_its_inverse() -> None:
    preprocess = Preprocess(size=8, resize=8)
    arrays = torch.from_numpy(preprocess.to_array(noise(0)))[None]
    images = arrays.permute(0, 3, 1, 2) / 255
    inputs = preprocess.normalise(images)
    assert torch.equal(inputs, preprocess.to_input(arrays))
    assert torch.equal(preprocess.normalise(images[0]), inputs[0])
    torch.testing.assert_close(preprocess.denormalise(inputs), images)


def test_a_custom_transform_normalises_by_its_own_mean_and_std() -> None:
    transform = CustomTransform(transforms.ToTensor(), (2, 4, 4), (0.5, 0.25), (0.5, 1.0), (0,))
    images = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    assert transform.normalise(images).flatten().tolist() == [-1.0, 0.75]
    assert torch.equal(transform.denormalise(transform.normalise(images)), images)


def test_gradients_flow_through_normalise() -> None:
    images = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    Preprocess(std=(0.5, 0.25, 0.125)).normalise(images).sum().backward()
    assert images.grad is not None
    assert images.grad[0, :, 0, 0].tolist() == [2.0, 4.0, 8.0]


def test_former_names_still_work_and_warn() -> None:
    preprocess = Preprocess(size=8, resize=8)
    with pytest.warns(DeprecationWarning, match="shown is now Preprocess.display_channels"):
        assert preprocess.shown == (0, 1, 2)  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match="decoded is now"):
        array = preprocess.decoded(noise(0))  # type: ignore[attr-defined]
    arrays = torch.from_numpy(array)[None]
    with pytest.warns(DeprecationWarning, match="is now Preprocess.to_input"):
        assert torch.equal(preprocess.normalise(arrays), preprocess.to_input(arrays))
    with pytest.raises(AttributeError, match="no attribute 'shwon'"):
        preprocess.shwon  # type: ignore[attr-defined]  # noqa: B018
    assert pickle.loads(pickle.dumps(preprocess)) == preprocess
