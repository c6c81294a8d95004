"""Networks by name: unknown names and options are reported in one line; lazy modules are initialised."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from tests.unit.models.conftest import assert_one_line, load
from torchlurk.errors import LurkError


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("nowhere.py:make", "auto", "file 'nowhere.py' does not exist"),
        ("no_such.package:make", "auto", "no module 'no_such.package'"),
        ("a b:make", "auto", "no module 'a b'"),
        ("torchvision.models:resnet18", "random", "weights=random: only networks of torchvision"),
        ("torchvision.models:resnet18", "imagenet", "weights=imagenet: only networks of torchvision"),
        ("torchvision:vgg61", "random", "no classifier 'vgg61'; did you mean .*vgg16"),
    ],
)
def test_unknown_networks_and_weights_are_reported_in_one_line(
    model: str, weights: str, message: str
) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        load(model, weights)
    assert_one_line(caught)


def test_lazy_modules_are_initialised_from_the_seed(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import warnings\nfrom torch import nn\n\n\ndef lazy():\n"
        "    warnings.simplefilter('ignore')  # lazy modules are said to be new\n"
        "    return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))\n"
    )
    before = torch.random.get_rng_state()
    with warnings.catch_warnings():
        one, two, other = (load(f"{tmp_path}/nets.py:lazy", size=8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {name: tuple(p.shape) for name, p in one.module.named_parameters()} == {
        "0.weight": (4, 3, 3, 3), "0.bias": (4,), "3.weight": (2, 144), "3.bias": (2,)
    }  # fmt: skip
    assert one.weights_sha256 == two.weights_sha256 != other.weights_sha256
