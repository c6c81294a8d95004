"""The precision of gradients: what a store records, and what the next run of it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.golden.network import golden_network, write_images
from tests.golden.run import QUIET, golden_run
from torchlurk.attribution import needed
from torchlurk.datasets.image_folder import list_images
from torchlurk.pipeline import resume
from torchlurk.pipeline.config import AscentConfig, GradientsConfig, RunConfig, ScanConfig
from torchlurk.pipeline.pipeline import precompute
from torchlurk.pipeline.resume import default_gradients_precision
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.selection import Selection

CPU = torch.device("cpu")


def test_bfloat16_is_recorded_and_changes_no_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needed, "_MIN_PIXELS", 0)
    monkeypatch.setattr(needed, "_MIN_SAVED", 1)
    write_images(tmp_path / "waves")
    for precision in ("float32", "bfloat16"):
        config = RunConfig(
            scan=ScanConfig(k=3, batch_size=4),
            gradients=GradientsConfig(precision=precision),
            ascent=AscentConfig(),
            stages=("scan", "gradients"),
            selection=Selection(None, 2),
        )
        precompute(
            golden_network(), list_images(tmp_path / "waves"), tmp_path / precision, config, CPU, QUIET
        )
    exact, rounded = (read_manifest(tmp_path / name) for name in ("float32", "bfloat16"))
    assert exact.stages.gradients.config == {"method": "deconv", "batch_size": 16}
    assert rounded.stages.gradients.config == {"method": "deconv", "batch_size": 16, "precision": "bfloat16"}
    for layer in exact.layers:
        certificates = [
            [[e.certificate for e in f.max] for f in read_layer(tmp_path / name, layer).filters]
            for name in ("float32", "bfloat16")
        ]
        assert certificates[0] == certificates[1]
        assert certificates[0][0][0] is not None


def test_a_store_keeps_its_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "fastest_precision", lambda device: f"the fastest of {device}")
    assert default_gradients_precision(tmp_path / "new", CPU) == "the fastest of cpu"
    golden_run(tmp_path / "store", stages=("scan",))
    assert default_gradients_precision(tmp_path / "store", CPU) == "the fastest of cpu"
    golden_run(tmp_path / "store", stages=("gradients",))
    assert default_gradients_precision(tmp_path / "store", CPU) == "float32"
    manifest = tmp_path / "store" / "network.json"
    text = manifest.read_text("utf-8")
    manifest.write_text(
        text.replace('"method":"deconv"', '"method":"deconv","precision":"bfloat16"'), "utf-8"
    )
    assert default_gradients_precision(tmp_path / "store", CPU) == "bfloat16"
