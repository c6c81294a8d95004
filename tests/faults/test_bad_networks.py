"""The user's networks, weights and images on the command line: a complete store, or an error of one line."""

from __future__ import annotations

import json
import struct
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from tests.helpers import refused
from tests.stored import picture, unpacked
from torchlurk.cli.main import main
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_layer, read_manifest

NETS = """
    import warnings
    import torch
    from torch import nn
    from torchvision import transforms as T

    def net(channels=3, side=1):
        return nn.Sequential(
            nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def colour(): return net(), T.Compose([T.Resize(18), T.CenterCrop((16, 18)), T.ToTensor()])
    def gray(): return net(1), T.Compose([T.Grayscale(), T.Resize((14, 12)), T.ToTensor()])
    def digits(): return net(1), T.Compose([T.ToTensor(), T.Normalize((0.13,), (0.31,))])
    def called():
        steps = [T.Lambda(lambda i: i.resize((15, 13))), T.ToTensor(), T.Normalize([0.4] * 3, [0.3] * 3)]
        return net(), T.Compose(steps)
    def five():
        def transform(image):
            return torch.cat([T.functional.to_tensor(image.resize((12, 12)).convert("L"))] * 5) * 30
        return net(5), transform
    def not_a_tensor(): return net(), lambda image: image.size
    def nan(): return net(), lambda image: torch.full((3, 12, 12), float("nan"))
    def other_channels(): return net(), lambda image: torch.rand(2, 12, 12)

    class Wrong(nn.Module):
        def __init__(self, output):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.output = output
        def forward(self, x):
            self.conv(x)
            return self.output

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
        def forward(self, image, mask):
            return self.conv(image) * mask

    def gives_none(): return Wrong(None)
    def gives_words(): return Wrong({"a": "b"})
    def two(): return Two()
    def logarithm():
        class Log(nn.Module):
            def forward(self, x): return torch.log(-1 - x.abs())
        return nn.Sequential(nn.Conv2d(3, 4, 1), Log(), nn.Conv2d(4, 3, 3)), T.ToTensor()
    def named(): return net(), T.Compose([T.Resize((12, 12)), T.ToTensor()]), ("x", "y", "z")
    class NoState(nn.Conv2d):
        def get_extra_state(self): raise RuntimeError("none today")
    def no_state(): return nn.Sequential(NoState(3, 4, 3))
    def infinite():
        network = net()
        network[2].weight.data[0] = float("inf")
        return network
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(textwrap.dedent(NETS))
    for index in range(4):
        path = tmp_path / "photos" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path


@pytest.fixture
def scan(here: Path) -> Callable[..., Result]:
    def command(model: str, *more: str, out: str = "saved/net") -> Result:
        options = ("--images", "photos", "--workers", "0", "--device", "cpu", "--filters", "1", *more)
        return CliRunner().invoke(main, ["precompute", "--model", model, "--out", out, *options])

    return command


@pytest.mark.parametrize(
    ("name", "shape", "mode"),
    [("colour", (3, 16, 18), "RGB"), ("gray", (1, 14, 12), "RGB"), ("called", (3, 13, 15), "RGB"),
     ("five", (5, 12, 12), "RGB")],
)  # fmt: skip
def test_a_user_network_gives_a_complete_store(
    here: Path, scan: Callable[..., Result], name: str, shape: tuple[int, int, int], mode: str
) -> None:
    result = scan(f"nets.py:{name}")
    assert result.exit_code == 0, result.output
    report = inspect(here / "saved/net")
    assert report.problems == ()
    manifest = report.manifest
    assert manifest.input.shape == shape
    assert len(manifest.input.mean) == len(manifest.input.std) == shape[0]
    assert manifest.model.source == f"nets.py:{name}"
    assert (manifest.dataset.name, manifest.dataset.classes) == ("photos", ["a", "b"])
    assert report.worst_certificate is not None
    assert report.worst_certificate < 1e-3
    assert str(here) not in (here / "saved/net/network.json").read_text()
    image = picture(here / "saved/net", "images/0.jpg")
    assert (image.size, image.mode) == (shape[:0:-1], mode)
    # the number of workers and the order of the stages do not change the files
    assert scan(f"nets.py:{name}", "--workers", "2", "--stages", "scan", out="other/net").exit_code == 0
    files, others = unpacked(here / "saved/net"), unpacked(here / "other/net")
    for file in (file for file in files if file.startswith(("images/", "cropped/"))):
        assert files[file] == others[file], file
    assert (here / "saved/net/images.json").read_bytes() == (here / "other/net/images.json").read_bytes()
    assert "complete already" in scan(f"nets.py:{name}").stderr


def test_show_channels_selects_channels_of_the_input(here: Path, scan: Callable[..., Result]) -> None:
    more = ("--stages", "scan", "--overwrite")
    assert scan("nets.py:five", "--show-channels", "4,2,0", *more).exit_code == 0
    assert scan("nets.py:colour", "--show-channels", "1", *more).exit_code == 0
    assert "of 0 to 4" in refused(scan("nets.py:five", "--show-channels", "5", *more))
    builtin = ("squeezenet1_1", "--weights", "random", "--size", "64")
    assert "leave it out" in refused(scan(*builtin, "--show-channels", "1", *more))
    result = scan("nets.py:five", "--show-channels", "red")
    assert result.exit_code == 2
    assert "--show-channels" in result.stderr


@pytest.mark.parametrize("size", ["20", "20x30"])
def test_size_sets_the_input_size(here: Path, scan: Callable[..., Result], size: str) -> None:
    assert scan("nets.py:colour", "--size", size, "--stages", "scan").exit_code == 0
    shape = read_manifest(here / "saved/net").input.shape
    assert shape == ((3, 20, 20) if size == "20" else (3, 20, 30))


@pytest.mark.parametrize("size", ["0", "x", "4097", "3x4x5", "-1"])
def test_an_invalid_size_is_a_usage_error(scan: Callable[..., Result], size: str) -> None:
    result = scan("nets.py:colour", f"--size={size}")
    assert result.exit_code == 2
    assert "--size" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet81"], ["no classifier 'resnet81'", "did you mean resnet18"]),
        (["timm:resnet81"], ["timm has no network 'resnet81'"]),
        (["resnet50", "--weights", "IMAGENET1K_V3"], ["'IMAGENET1K_V3'", "IMAGENET1K_V1 or IMAGENET1K_V2"]),
        (["nets.py:nett"], ["no function 'nett'", "net"]),
        (["nets.py:gives_none"], ["returns None", "must return a tensor"]),
        (["nets.py:gives_words"], ["returns a dict", "must return a tensor"]),
        (["nets.py:two"], ["takes 2 inputs (image, mask)"]),
        (["nets.py:infinite"], ["2.weight", "NaN or infinity"]),
        (["nets.py:colour", "--size", "3"], ["3 x 3 px", "--size"]),
        (["nets.py:called", "--size", "30"], ["--size 30", "its own transform"]),
        (["nets.py:not_a_tensor"], ["gives a tuple", "float tensor (C, H, W)"]),
        (["nets.py:nan"], ["gives NaN or infinity"]),
        (["nets.py:other_channels"], ["input of 2 channels"]),
        (["nets.py:colour", "--weights", "w.pt"], ["missing 0.weight", "unknown", "another architecture"]),
        (["nets.py:colour", "--weights", "two.pt"], ["model and ema", "--weights two.pt:ema"]),
        (["nets.py:colour", "--weights", "two.pt:mode"], ["no weights 'mode'", "model and ema"]),
        (["nets.py:no_state"], ["the state_dict of Sequential fails (RuntimeError: none today)"]),
        (["nets.py:colour", "--weights", "none.pt"], ["none.pt", "does not exist"]),
        (["nets.py:colour", "--words", "three"], ["3 class names and 2 classes (a, b)"]),
        (["nets.py:colour", "--images", "torchvision:MNIS"], ["no data set 'MNIS'", "MNIST"]),
        (["nets.py:colour", "--images", "none.csv"], ["none.csv", "cannot be read"]),
    ],
)
def test_invalid_arguments_give_one_line(
    here: Path, scan: Callable[..., Result], arguments: list[str], words: list[str]
) -> None:
    torch.save({"other.weight": torch.zeros(3)}, here / "w.pt")
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3)
    state = torch.nn.Sequential(*layers).state_dict()
    torch.save({"model": state, "ema": {name: value + 1 for name, value in state.items()}}, here / "two.pt")
    (here / "three").write_text("x\ny\nz\n")
    line = refused(scan(*arguments))
    for word in words:
        assert word in line
    # no store is begun before all arguments are checked
    assert not (here / "saved/net/network.json").exists()


def test_one_of_two_sets_of_weights_is_selected_by_name(here: Path, scan: Callable[..., Result]) -> None:
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3)
    state = torch.nn.Sequential(*layers).state_dict()
    torch.save({"model": state, "ema": {name: value + 1 for name, value in state.items()}}, here / "two.pt")
    assert scan("nets.py:colour", "--weights", "two.pt:ema", "--stages", "scan").exit_code == 0
    assert read_manifest(here / "saved/net").model.weights == "file:two.pt:ema"
    assert "other" in refused(scan("nets.py:colour", "--weights", "two.pt:model", "--stages", "scan"))


def test_the_error_names_the_layer_with_infinite_values(here: Path, scan: Callable[..., Result]) -> None:
    line = refused(scan("nets.py:logarithm"))
    assert "layer '2', and none before it, gives NaN or infinity for image 'a/0.png'" in line


def test_the_class_names_of_the_logits_are_recorded(here: Path, scan: Callable[..., Result]) -> None:
    assert scan("nets.py:named", "--layers", "logits", "--layers", "0").exit_code == 0
    report = inspect(here / "saved/net")
    assert report.problems == ()
    first, last = report.manifest.layers
    assert (first.name, last.name, last.shape) == ("0", "4", (3, 1, 1))
    assert read_layer(here / "saved/net", first).names is None
    logits = read_layer(here / "saved/net", last)
    assert logits.names == ["x", "y", "z"]
    # One value per filter and image: there are no crops, and both lists are equal.
    assert logits.filters[0].pictures == ["max_grads", "avg_grads", "max_activ"]
    assert [e.score for e in logits.filters[0].max] == [e.score for e in logits.filters[0].avg]
    assert report.worst_certificate is not None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("3.*", "2 Conv2d"), ("kind:Linear", "kind:"), ("logit", "no layer matches 'logit'")],
)
def test_patterns_without_layers_are_refused(
    here: Path, scan: Callable[..., Result], pattern: str, words: str
) -> None:
    assert words in refused(scan("nets.py:colour", "--layers", pattern))


def test_images_from_a_table_and_class_names_from_a_file(here: Path, scan: Callable[..., Result]) -> None:
    (here / "t.csv").write_text("photos/a/0.png,cat\nphotos/b/1.png,dog\nphotos/b/9.png,dog\n")
    (here / "two").write_text("Cats\nDogs\n")
    result = scan("nets.py:colour", "--images", "t.csv", "--words", "two", "--stages", "scan")
    assert result.exit_code == 0, result.output
    dataset = read_manifest(here / "saved/net").dataset
    assert (dataset.name, dataset.images, dataset.classes) == ("t", 2, ["Cats", "Dogs"])
    assert [s.path for s in dataset.skipped] == ["photos/b/9.png"]


def test_a_gray_network_over_a_torchvision_data_set(here: Path, scan: Callable[..., Result]) -> None:
    raw = here / "sets/MNIST/raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    for split in ("train", "t10k"):
        head = struct.pack(">IIII", 0x803, 6, 28, 28)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 6) + bytes(range(6)))
    more = ("--images", "torchvision:MNIST", "--data-root", "sets", "--stages", "scan,gradients")
    assert scan("nets.py:digits", *more).exit_code == 0
    report = inspect(here / "saved/net")
    assert report.problems == ()
    manifest = report.manifest
    assert manifest.input.shape == (1, 28, 28)
    assert manifest.input.mean == [0.13]
    assert (manifest.dataset.name, manifest.dataset.images) == ("MNIST-test", 6)
    assert manifest.dataset.classes[5] == "5 - five"
    image = picture(here / "saved/net", "images/3.jpg")
    assert np.abs(np.asarray(image.convert("L")).astype(int) - pixels[3]).mean() < 12
    assert scan("nets.py:digits", *more, "--workers", "2", out="other/net").exit_code == 0
    for name in ("layers/0.json", "images.json", "network.json"):
        assert (here / "saved/net" / name).read_bytes() == (here / "other/net" / name).read_bytes()


def test_random_weights_depend_only_on_the_seed(here: Path, scan: Callable[..., Result]) -> None:
    more: tuple[Any, ...] = ("--weights", "random", "--size", "32", "--layers", "features.0")
    more += ("--stages", "scan")
    for out, seed in (("a/net", "1"), ("b/net", "1"), ("c/net", "2")):
        assert scan("squeezenet1_1", *more, "--seed", seed, out=out).exit_code == 0
    a, b, c = (json.loads((here / f"{x}/net/network.json").read_text())["model"] for x in "abc")
    assert a == b
    assert a["weights"] == "random:1"
    assert a["weights_sha256"] != c["weights_sha256"]
