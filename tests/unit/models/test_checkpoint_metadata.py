"""A checkpoint of a fine-tuning restores its network with head, class names and preprocessing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from tests.networks import seeded
from tests.runs import CLASSES, Normed, photos
from tests.runs import network as small
from tests.runs import train as run
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import state_digest
from torchlurk.models.checkpoint_metadata import (
    METADATA_KEY,
    CheckpointMetadata,
    decode_metadata,
    encode_metadata,
    replace_head,
)
from torchlurk.models.load import load_network
from torchlurk.models.network import Network
from torchlurk.models.weights import default_cache

NETS = """
import torch
from torch import nn
from tests.runs import Normed
from torchvision import transforms as T

def plain(): return Normed()
def called(): return Normed(), T.Compose([T.Lambda(lambda i: i.resize((12, 12))), T.ToTensor()])
def other(): return Normed().second
def parallel(): return nn.DataParallel(Normed())
def extra():
    network = Normed()
    network.first[0] = Extra(3, 6, 3)
    return network

class Extra(nn.Conv2d):
    value = {"scales": [0.5, float("inf")], "steps": torch.arange(3)}
    def get_extra_state(self): return self.value
    def set_extra_state(self, state): self.value = state
"""


def load(model: str, weights: str, cache: Path, size: int | None = None) -> Network:
    return load_network(model, weights, size, cache, report=lambda _: None)


def fine_tune(network: Network, folder: Path) -> tuple[Path, Network]:
    _, after = run(photos(folder / "photos", each=3), folder / "run", given=network, epochs=1, lr=0.001)
    return folder / "run/checkpoints/epoch-0001.safetensors", after


def same(one: Network, other: Network) -> None:
    assert one.classes == other.classes == CLASSES
    assert one.preprocess == other.preprocess
    assert (one.title, one.source, one.weights_sha256) == (other.title, other.source, other.weights_sha256)
    x = torch.rand(2, *one.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(one.module(x), other.module(x))


@pytest.mark.parametrize(
    "model", ["squeezenet1_1", "resnet18", "mobilenet_v3_small", "googlenet", "timm:mobilenetv3_small_050"]
)
def test_checkpoint_restores_its_network(tmp_path: Path, model: str) -> None:
    given = load(model, "random", tmp_path)
    given = replace(given, preprocess=Preprocess(size=64, resize=70, mean=(0.4,) * 3, std=(1 / 255,) * 3))
    path, after = fine_tune(given, tmp_path)
    again = load(model, str(path), tmp_path)
    same(again, after)
    assert again.weights == "file:epoch-0001.safetensors"
    assert again.preprocess == given.preprocess


def test_transform_input_is_restored(tmp_path: Path) -> None:
    given = load("googlenet", "random", tmp_path, 64)
    assert isinstance(given.module, torchvision.models.GoogLeNet)
    given.module.transform_input = True
    path, after = fine_tune(given, tmp_path)
    again = load("googlenet", str(path), tmp_path)
    same(again, after)
    assert again.module.transform_input is True


@pytest.mark.parametrize("name", ["plain", "called"])
def test_user_network_gets_the_head_of_the_checkpoint(tmp_path: Path, name: str) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    given = load(f"{tmp_path}/nets.py:{name}", "auto", tmp_path, 12 if name == "plain" else None)
    path, after = fine_tune(given, tmp_path)
    same(load(f"{tmp_path}/nets.py:{name}", str(path), tmp_path), after)
    with pytest.raises(LurkError, match="has no such layer; the network may have another architecture"):
        load(f"{tmp_path}/nets.py:other", str(path), tmp_path)


@pytest.mark.parametrize("name", ["parallel", "extra"])
def test_wrapped_network_and_extra_state_are_restored(tmp_path: Path, name: str) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    given = load(f"{tmp_path}/nets.py:{name}", "auto", tmp_path, 12)
    path, after = fine_tune(given, tmp_path)
    again = load(f"{tmp_path}/nets.py:{name}", str(path), tmp_path)
    same(again, after)
    assert state_digest(again.module.state_dict()) == state_digest(after.module.state_dict())
    plain = load(f"{tmp_path}/nets.py:plain", str(path), tmp_path)  # without the wrapper, or the extra state
    x = torch.rand(1, *plain.shape)
    assert torch.equal(plain.module(x), again.module(x))


def test_checkpoint_can_be_fine_tuned_again_for_other_classes(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    model = f"{tmp_path}/nets.py:plain"
    path, _ = fine_tune(load(model, "auto", tmp_path, 12), tmp_path / "first")
    other = photos(tmp_path / "photos", classes=("x", "y"))
    _, after = run(other, tmp_path / "second", given=load(model, str(path), tmp_path), epochs=1)
    again = load(model, str(tmp_path / "second/checkpoints/epoch-0001.safetensors"), tmp_path)
    assert again.classes == after.classes == ("x", "y")


def test_size_replaces_that_of_the_checkpoint(tmp_path: Path) -> None:
    path, _ = fine_tune(load("squeezenet1_1", "random", tmp_path, 64), tmp_path)
    assert load("squeezenet1_1", str(path), tmp_path).shape == (3, 64, 64)
    assert load("squeezenet1_1", str(path), tmp_path, 96).shape == (3, 96, 96)


def test_normalisation_of_caffe_weights_is_restored(tmp_path: Path) -> None:
    """Their mean and scale differ from torchvision's, so a checkpoint must record them."""
    given = load("squeezenet1_1", "caffe", default_cache(), 64)
    path, after = fine_tune(given, tmp_path)
    again = load("squeezenet1_1", str(path), tmp_path)
    same(again, after)
    assert again.preprocess.std == (1 / 255,) * 3
    start = load_file(tmp_path / "run/checkpoints/epoch-0000.safetensors")
    before = given.module.state_dict()
    assert {key for key in before if not torch.equal(before[key], start[key])} == {
        "classifier.1.weight", "classifier.1.bias"
    }  # fmt: skip


def test_checkpoint_holds_one_key_of_metadata_and_no_path(tmp_path: Path) -> None:
    path, _ = fine_tune(small(), tmp_path)
    with safe_open(path, "pt") as handle:
        assert list(handle.metadata()) == [METADATA_KEY]
        found = decode_metadata(handle.metadata(), "")
    assert found == CheckpointMetadata(CLASSES, "head", small().preprocess)
    assert b"/tmp" not in path.read_bytes()


# metadata


def test_metadata_survive_encoding() -> None:
    fed = Preprocess(size=(20, 30), resize=(25, 40), mean=(0.1,), std=(0.3,), interpolation="bicubic")
    for record in (
        CheckpointMetadata(("a", "é"), "x.1", fed, True),
        CheckpointMetadata(("a", "b"), "fc", None),
    ):
        assert decode_metadata(encode_metadata(record), "") == record
    assert decode_metadata(None, "") is None
    assert decode_metadata({"format": "pt"}, "") is None


@pytest.mark.parametrize(
    "text", ["", "{}", '{"format": 2, "classes": [], "head": "x", "input": null}', '{"classes": "a"}']
)
def test_damaged_or_newer_metadata_are_refused(tmp_path: Path, text: str) -> None:
    save_file({"head.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors", {METADATA_KEY: text})
    with pytest.raises(LurkError, match="written by a newer torchlurk; update torchlurk"):
        load("resnet18", str(tmp_path / "w.safetensors"), tmp_path)


def test_other_metadata_are_ignored(tmp_path: Path) -> None:
    model = torchvision.models.squeezenet1_1(num_classes=4)
    save_file(model.state_dict(), tmp_path / "w.safetensors", {"format": "pt", "note": json.dumps([1])})
    assert load("squeezenet1_1", str(tmp_path / "w.safetensors"), tmp_path).classes == ()


# heads


@pytest.mark.parametrize(
    ("make", "fresh"),
    [
        (lambda: nn.Linear(8, 1000), lambda: nn.Linear(8, 3)),
        (lambda: nn.Linear(8, 5, bias=False), lambda: nn.Linear(8, 3, bias=False)),
        (lambda: nn.Conv2d(8, 1000, 1), lambda: nn.Conv2d(8, 3, 1)),
        (lambda: nn.Conv2d(8, 4, 3, stride=2, padding=1), lambda: nn.Conv2d(8, 3, 3, stride=2, padding=1)),
    ],
)
def test_new_head_equals_a_new_layer_from_the_seed(
    make: Callable[[], nn.Module], fresh: Callable[[], nn.Module]
) -> None:
    model = nn.Sequential(nn.ReLU(), seeded(make))
    before = torch.get_rng_state()
    replace_head(model, "1", 3, seed=9)
    assert torch.equal(torch.get_rng_state(), before)
    wanted = seeded(fresh, 9)
    assert repr(model[1]) == repr(wanted)
    for name, value in wanted.state_dict().items():
        assert torch.equal(model[1].state_dict()[name], value)
    assert all(parameter.requires_grad for parameter in model[1].parameters())


@pytest.mark.parametrize(("name", "word"), [("3", "no such layer"), ("0", "a ReLU"), ("", "a Sequential")])
def test_only_a_linear_layer_or_a_convolution_is_replaced(name: str, word: str) -> None:
    with pytest.raises(LurkError, match=word):
        replace_head(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), name, 3, seed=0)


def test_fine_tuning_leaves_the_users_network_unchanged(tmp_path: Path) -> None:
    given = small()
    given.module.train()
    given.module.get_parameter("head.bias").requires_grad_(False)
    modes = [module.training for module in given.module.modules()]
    before = {name: value.clone() for name, value in given.module.state_dict().items()}
    run(photos(tmp_path / "photos"), tmp_path / "run", given=given, unfreeze=["*"], epochs=1)
    assert [module.training for module in given.module.modules()] == modes
    assert not given.module.get_parameter("head.bias").requires_grad
    assert isinstance(given.module, Normed)
    assert given.module.head.out_features == 5
    for name, value in given.module.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in given.module.parameters())
