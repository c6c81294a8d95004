"""Commands in a folder of their own, on an untrained SqueezeNet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from torchlurk.cli.main import main

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained SqueezeNet: small, and it runs at small sizes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture
def run(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return command


@pytest.fixture
def scan(run: Run, weights: Path) -> Run:
    def command(images: Path, *more: str) -> Result:
        return run(
            "precompute", "--model", "squeezenet1_1", "--weights", str(weights), "--size", "64",
            "--layers", "features.3.*", "--filters", "1", "--workers", "0", "--device", "cpu",
            "--images", str(images), "--out", "saved_model/net", *more,
        )  # fmt: skip

    return command
