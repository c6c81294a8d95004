"""Networks of torchvision: random weights, presets, class counts, and weights files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from tests.unit.models.conftest import load
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import state_digest


def test_random_weights_depend_only_on_the_seed() -> None:
    before = torch.random.get_rng_state()
    first = load("squeezenet1_1", "random", 64, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    again = load("torchvision:squeezenet1_1", "random", 64, seed=7)
    other = load("squeezenet1_1", "random", 64, seed=8)
    assert first.weights == "random:7"
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert first.weights_sha256 == state_digest(first.module.state_dict())
    assert not first.module.training
    assert first.classes[:2] == ("tench", "goldfish")
    assert first.source == "torchvision:squeezenet1_1"


@pytest.mark.parametrize(
    ("model", "shape", "interpolation"),
    [
        ("mnasnet0_5", (3, 224, 224), "bilinear"),
        ("efficientnet_b0", (3, 224, 224), "bicubic"),
        ("inception_v3", (3, 299, 299), "bilinear"),
        ("googlenet", (3, 224, 224), "bilinear"),
    ],
)
def test_preprocessing_comes_from_the_preset(
    model: str, shape: tuple[int, int, int], interpolation: str
) -> None:
    found = load(model, "random")
    assert found.shape == shape
    assert isinstance(found.preprocess, Preprocess)
    assert found.preprocess.interpolation == interpolation
    assert len(found.classes) == 1000
    assert not [name for name, _ in found.module.named_modules() if name.startswith(("aux", "Aux"))]


def test_size_replaces_that_of_the_preset() -> None:
    assert load("squeezenet1_1", "random", (64, 96)).shape == (3, 64, 96)
    found = load("vit_b_16", "random", 32)
    assert found.shape == (3, 32, 32)
    assert found.preprocess == Preprocess(size=32, resize=37)


def test_network_gets_the_class_count_of_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for model in ("resnet18", "squeezenet1_1"):
        network = torchvision.models.get_model(model, num_classes=7)
        torch.save({"model": {f"module._orig_mod.{k}": v for k, v in network.state_dict().items()}},
                   tmp_path / "seven.pt")  # fmt: skip
        found = load(model, str(tmp_path / "seven.pt"), 64)
        assert found.classes == ()
        assert found.weights == "file:seven.pt"
        with torch.inference_mode():
            x = torch.rand(1, 3, 64, 64)
            assert torch.equal(found.module(x), network.eval()(x))


def test_auxiliary_heads_are_left_out(tmp_path: Path) -> None:
    network = torchvision.models.googlenet(init_weights=False, num_classes=5)
    torch.save(network.state_dict(), tmp_path / "g.pt")
    found = load("googlenet", str(tmp_path / "g.pt"))
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found.module(x), network.eval()(x))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_file(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(LurkError, match=r"missing conv1\.weight, .* and \d+ more; unknown .* and \d+ more"):
        load("resnet18", str(tmp_path / "w.safetensors"))
    wide = torchvision.models.resnet18(width_per_group=64)
    state = wide.state_dict()
    for key in ("conv1.weight", "layer1.0.conv1.weight", "fc.weight"):
        state[key] = state[key][:, :1].clone()
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(LurkError, match=r"conv1\.weight is \(64, 1, 7, 7\) in .* \(2 others differ too\)"):
        load("resnet18", str(tmp_path / "w.safetensors"))
