"""Weights by name: torchvision's files, fallbacks, and the cache folder."""

from __future__ import annotations

import hashlib
import types
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from tests.unit.models.conftest import conv_net, load, never, unreachable
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import read_weights
from torchlurk.models.weights import default_cache, published_prefix, resolve_weights, weights_entry


def alexnet_download(url: str, path: Path, prefix: str) -> None:
    assert url.endswith(f"{prefix}.pth")
    path.parent.mkdir(parents=True)
    torch.save(conv_net().state_dict(), path)


def test_imagenet_weights_are_named_by_their_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the hash in torchvision's file name cannot be met by a file made here
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: hashlib.sha256(b""))
    prefix = hashlib.sha256(b"").hexdigest()[:8]
    best = torchvision.models.AlexNet_Weights.DEFAULT

    class Best:
        url = f"http://x/alexnet-{prefix}.pth"
        name = best.name

    class Entries:
        DEFAULT = Best

    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda _: Entries)
    for download in (alexnet_download, never):  # the second time from torch.hub's folder
        found = resolve_weights(
            "alexnet", "imagenet", tmp_path, report=never, download=download, hub=tmp_path / "hub"
        )
        assert found.name == "imagenet:IMAGENET1K_V1"
        assert not found.partial


def test_damaged_file_in_the_hub_is_named(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match=r"alexnet-owt-7be5be79\.pth is damaged"):
        resolve_weights(
            "alexnet", "auto", tmp_path, report=never, download=alexnet_download, hub=tmp_path / "hub"
        )


@pytest.mark.parametrize(
    ("model", "weights", "way_out"),
    [
        ("vgg16", "imagenet", "weights=trunk or weights=PATH"),
        ("resnet18", "imagenet", "weights=PATH"),
        ("resnet18", "auto", "weights=PATH"),
    ],
)
def test_unreachable_weights_are_reported_with_alternatives(
    tmp_path: Path, model: str, weights: str, way_out: str
) -> None:
    with pytest.raises(LurkError, match=f"not known.*give {way_out}"):
        resolve_weights(model, weights, tmp_path, report=never, download=unreachable, hub=tmp_path)


def test_unknown_networks_have_no_weights(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match="no trained network 'vgg61'"):
        resolve_weights("vgg61", "auto", tmp_path, report=never, download=never, hub=tmp_path)
    with pytest.raises(LurkError, match="vgg16 and alexnet, none of resnet18"):
        resolve_weights("resnet18", "trunk", tmp_path, report=never, download_trunk=never)


def test_default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "torchlurk"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_cache() == Path.home() / ".cache" / "torchlurk"


def test_a_cache_that_earlier_versions_filled_is_still_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, former = tmp_path / "Library" / "Caches" / "torchlurk", tmp_path / ".cache" / "torchlurk"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: usual)
    assert default_cache() == usual
    former.mkdir(parents=True)
    assert default_cache() == former
    usual.mkdir(parents=True)
    assert default_cache() == usual


def test_weights_by_torchvisions_name(tmp_path: Path) -> None:
    assert weights_entry("resnet50", "IMAGENET1K_V1").name == "IMAGENET1K_V1"
    assert weights_entry("resnet50", "DEFAULT").name == "IMAGENET1K_V2"
    assert weights_entry("resnet50", "some/file.pt") is None
    with pytest.raises(LurkError, match="'IMAGENET1K_V9'; choose IMAGENET1K_V1 or IMAGENET1K_V2"):
        load("resnet50", "IMAGENET1K_V9")

    def download(url: str, path: Path, prefix: str) -> None:
        raise OSError(f"asked for {url.rsplit('/', 1)[1]}")

    with pytest.raises(LurkError, match=r"asked for resnet50-0676ba61\.pth\); give weights=PATH"):
        resolve_weights(
            "resnet50", "IMAGENET1K_V1", tmp_path, report=print, download=download, hub=tmp_path
        )  # fmt: skip


def test_classifier_that_is_published_as_nan_is_left_out(tmp_path: Path) -> None:
    network = torchvision.models.alexnet()
    nn.init.constant_(network.classifier[6].bias, torch.nan)
    torch.save(network.state_dict(), tmp_path / "x.pt")
    digest = read_weights(tmp_path / "x.pt").sha256
    entry = types.SimpleNamespace(url=f"http://x/alexnet_features-{digest[:8]}.pth", name="FEATURES")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "x.pt").rename(tmp_path / "checkpoints" / entry.url.rsplit("/", 1)[1])

    class Entries:
        DEFAULT = entry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "get_model_weights", lambda _: Entries)
        found = resolve_weights("alexnet", "DEFAULT", tmp_path, report=print, hub=tmp_path)
    assert (found.name, found.partial) == ("imagenet:FEATURES", True)
    assert {key.split(".")[0] for key in found.state} == {"features"}


def test_published_prefix_is_read_from_the_file_name() -> None:
    entry = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1
    assert published_prefix(entry) == "1378be20"
    assert published_prefix(torchvision.models.Inception_V3_Weights.DEFAULT) == "0cc3c7bd"
