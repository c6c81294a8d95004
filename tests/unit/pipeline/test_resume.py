"""Options that a run takes from the store that it continues."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.golden.run import EXPECTED
from torchlurk.pipeline.config import AscentConfig
from torchlurk.pipeline.resume import default_ascent_config, default_scan_batch


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ({"steps": 8, "resolutions": 3}, AscentConfig(steps=8, resolutions=3)),
        # Earlier versions made all images at one size and did not record it.
        ({"steps": 64}, AscentConfig(steps=64, resolutions=1)),
        (None, AscentConfig()),
    ],
)
def test_filter_images_are_continued_with_the_steps_of_the_store(
    tmp_path: Path, recorded: dict[str, Any] | None, expected: AscentConfig
) -> None:
    store = tmp_path / "store"
    shutil.copytree(EXPECTED / "branching", store)
    manifest = json.loads((store / "network.json").read_text())
    manifest["stages"]["ascent"]["config"] = recorded
    (store / "network.json").write_text(json.dumps(manifest))
    assert default_ascent_config(store, overwrite=False) == expected
    assert default_ascent_config(store, overwrite=True) == AscentConfig()
    assert default_ascent_config(tmp_path / "new", overwrite=False) == AscentConfig()


@pytest.mark.parametrize("recorded", [8, 32])
def test_a_scan_is_continued_with_the_batch_size_of_the_store(tmp_path: Path, recorded: int) -> None:
    store, cpu = tmp_path / "store", torch.device("cpu")
    shutil.copytree(EXPECTED / "branching", store)
    manifest = json.loads((store / "network.json").read_text())
    manifest["stages"]["scan"]["config"]["batch_size"] = recorded
    (store / "network.json").write_text(json.dumps(manifest))
    assert default_scan_batch(store, cpu, (64, 64), overwrite=False) == recorded
    assert default_scan_batch(store, cpu, (32, 32), overwrite=True) == 64
    assert default_scan_batch(tmp_path / "new", cpu, (32, 32), overwrite=False) == 64
