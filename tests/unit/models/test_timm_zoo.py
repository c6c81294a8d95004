"""Networks of timm, and what is reported if they cannot be loaded."""

from __future__ import annotations

import importlib
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.unit.models.conftest import load
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.models.network import Network
from torchlurk.models.timm_zoo import load_timm


@pytest.fixture
def timm() -> Any:
    return importlib.import_module("timm")


def timm_load(spec: str, weights: str, **options: Any) -> Network:
    return load(spec, weights, first=lambda: Image.new("RGB", (300, 260), (9, 99, 199)), **options)


def test_network_of_timm(timm: Any, tmp_path: Path) -> None:
    found = timm_load("timm:mobilenetv3_small_050", "random", seed=3)
    assert found.preprocess.shape == (3, 224, 224)
    assert isinstance(found.preprocess, Preprocess)
    assert found.preprocess.interpolation == "bicubic"
    assert found.weights == "random:3"
    assert found.classes[0].startswith("tench")
    assert found.weights_sha256 == timm_load("timm:mobilenetv3_small_050", "random", seed=3).weights_sha256
    made = timm.create_model("mobilenetv3_small_050", num_classes=4)
    save_file(made.state_dict(), tmp_path / "w.safetensors")
    own = timm_load("timm:mobilenetv3_small_050", str(tmp_path / "w.safetensors"), size=64)
    assert own.shape == (3, 64, 64)
    assert own.classes == ()
    with torch.inference_mode():
        x = torch.rand(1, 3, 64, 64)
        assert torch.equal(own.module(x), made.eval()(x))


def test_errors_of_timm_are_reported(timm: Any) -> None:
    with pytest.raises(LurkError, match="timm has no network 'resnet81'; did you mean resnet"):
        timm_load("timm:resnet81", "random")

    def unreachable(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no hub\nhere")

    fake = types.SimpleNamespace(is_model=lambda _: True, create_model=unreachable)
    options: dict[str, Any] = {"seed": 0, "unsafe_pickle": False, "report": lambda _: None}
    options["first"] = lambda: Image.new("RGB", (8, 8))
    with pytest.raises(LurkError, match=r"downloaded \(no hub\); give weights=FILE or weights=random"):
        load_timm("timm:resnet18", "auto", load=lambda _: fake, **options)

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    with pytest.raises(LurkError, match=r"the package timm is needed .*; pip install timm"):
        load_timm("timm:resnet18", "auto", load=missing, **options)
