"""The measurement for a machine with a GPU, run on the CPU with a small network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from benchmarks.gpu.agreement import compare_stores
from benchmarks.gpu.files import unpack_images, write_archive, write_weights
from benchmarks.gpu.parts import parts_of
from benchmarks.gpu.settings import full_settings, tiny_settings
from tests.golden.network import golden_network, write_images
from tests.golden.run import golden_run

ROOT = Path(__file__).parents[2]
PARTS = ("machine", "forward", "tests", "agreement", "few", "fast")
"""The other parts are these with other numbers."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder as `prepare.sh` fills it, without wheels: what they would install is installed."""
    images, folder = tmp_path / "waves", tmp_path / "files"
    write_images(images)
    (images / "plain/broken.png").unlink()
    folder.mkdir()
    write_archive(images, folder, 100)
    return folder


def test_the_measurement_runs_on_a_cpu(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [ROOT / "benchmarks/gpu/run.sh", files, out, "--device", "cpu", "--tiny", "--parts", ",".join(PARTS)],
        env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert sorted(path.name for path in out.iterdir()) == ["gpu.json", "gpu.txt"]
    results = json.loads((out / "gpu.json").read_text())
    assert results["complete"]
    assert {name: part["ended"] for name, part in results["parts"].items()} == dict.fromkeys(
        PARTS, "finished"
    )
    records = {name: part["record"] for name, part in results["parts"].items()}
    assert records["machine"]["machine"]["torch"] == torch.__version__
    assert records["tests"]["exit_code"] == 0
    assert " passed" in records["tests"]["output"][-1]
    rates = records["forward"]["images_per_second"]
    assert len(rates) == 2 * 3
    assert all(rate > 0 for rate in rates.values())
    # The CPU agrees with itself: two layers of 32 filters, two lists of four.
    assert records["agreement"]["agreement"] == {
        "entries": 2 * 32 * 2 * 4,
        "largest_difference": 0.0,
        "exchanged": 0,
        "different": 0,
        "first_different": "",
    }
    stages = {stage["name"]: stage for stage in records["few"]["stages"]}
    assert stages["scan"]["done"] == stages["scan"]["total"] == 6
    assert {name: stages[name]["done"] for name in ("max gradients", "avg gradients", "ascent")} == {
        "max gradients": 2,
        "avg gradients": 2,
        "ascent": 2,
    }
    assert any("function calls" in line for line in records["few"]["profile"])
    fast = {stage["name"] for stage in records["fast"]["stages"]}
    assert {"rough", "again", "ascent"} <= fast
    assert records["fast"]["store_files"] > 10
    text = (out / "gpu.txt").read_text()
    assert all(f"== {name}: finished" in text for name in PARTS)


HARNESS = """
import json, sys, time
from pathlib import Path
import benchmarks.gpu.__main__ as gpu
from benchmarks.gpu.settings import tiny_settings

def slow(settings, recorder):
    with recorder.stage("waiting", 100, "item") as advance:
        for _ in range(600):
            advance(1)
            time.sleep(0.1)

def stubborn(settings, recorder):
    with recorder.stage("holding on") as advance:
        while True:
            try:
                advance(1)
                time.sleep(0.1)
            except SystemExit:
                pass

def broken(settings, recorder):
    recorder.facts["found"] = 7
    raise RuntimeError("CUDA error: an illegal memory access was encountered")

def good(settings, recorder):
    recorder.facts["found"] = 8

parts = {"slow": slow, "stubborn": stubborn, "broken": broken, "good": good, "late": good}
gpu.parts_of = lambda settings: parts
gpu._MERCY = 1.5
out = Path(sys.argv[1])
work = out / "work"
work.mkdir(parents=True)
settings = tiny_settings("cpu", out, work)
shares = {"broken": 2.0, "slow": 0.7, "stubborn": 0.7, "late": -9.0, "good": 30.0}
gpu.measure(settings, out, shares)
"""


def test_what_was_measured_before_a_crash_or_a_time_limit_is_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HARNESS, tmp_path / "out"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out/gpu.json").read_text())
    parts = results["parts"]
    assert parts["broken"]["ended"] == "failed (status 256)"
    assert parts["broken"]["record"]["found"] == 7
    assert "illegal memory access" in parts["broken"]["record"]["error"]
    assert parts["slow"]["ended"] == "stopped at its time limit"
    (stage,) = parts["slow"]["record"]["stages"]
    assert 0 < stage["done"] < 100
    assert stage["seconds"] > 0.5
    assert parts["stubborn"]["ended"] == "stopped at its time limit"
    assert parts["stubborn"]["record"]["stages"][0]["done"] > 0
    assert parts["late"]["ended"] == "not started: no time was left"
    assert parts["good"]["ended"] == "finished"
    assert parts["good"]["record"]["complete"]
    text = (tmp_path / "out/gpu.txt").read_text()
    assert "illegal memory access" in text


def test_each_part_has_a_time_and_all_take_less_than_nine_minutes(tmp_path: Path) -> None:
    settings = full_settings("cuda", tmp_path, tmp_path)
    assert list(settings.seconds) == list(parts_of(settings))
    assert sum(settings.seconds.values()) + 10 < 9 * 60
    assert settings.images == (2000, 10_000)
    assert list(tiny_settings("cpu", tmp_path, tmp_path).seconds) == list(settings.seconds)


def change_layer(store: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record of the first filter of the first layer."""
    path = sorted((store / "layers").rglob("*.json"))[0]
    record = json.loads(path.read_text("utf-8"))
    change(record["filters"][0])
    path.write_text(json.dumps(record), encoding="utf-8")


def test_near_ties_are_counted_and_other_differences_named(tmp_path: Path) -> None:
    first = tmp_path / "first/store"
    golden_run(first, stages=("scan",))
    stores = [shutil.copytree(first, tmp_path / name / "store") for name in ("exchanged", "different")]
    same = compare_stores(first, shutil.copytree(first, tmp_path / "same/store"))
    filters = 4 + 3 + 3 + 5
    assert (same.entries, same.exchanged, same.different) == (filters * 2 * 3, 0, 0)

    def exchange(entry: dict[str, Any]) -> None:
        entry["max"][0]["image"], entry["max"][1]["image"] = (
            entry["max"][1]["image"],
            entry["max"][0]["image"],
        )
        entry["max"][0]["score"] *= 1 + 5e-5

    def raise_score(entry: dict[str, Any]) -> None:
        entry["avg"][0]["score"] *= 1.01

    for store, change in zip(stores, (exchange, raise_score), strict=True):
        change_layer(store, change)
    found = compare_stores(first, stores[0])
    assert (found.exchanged, found.different) == (2, 0)
    assert found.largest_difference == pytest.approx(5e-5, rel=0.01)
    found = compare_stores(first, stores[1])
    assert (found.exchanged, found.different) == (0, 1)
    assert found.largest_difference == pytest.approx(0.01 / 1.01, rel=0.01)
    assert found.first_different.startswith("avg of ")


def test_missing_images_are_made_up_by_changed_copies(files: Path, tmp_path: Path) -> None:
    folders = [unpack_images(files / "images.tar", tmp_path / name, 15, workers=3) for name in ("a", "b")]
    names = [sorted(path.relative_to(f).as_posix() for path in f.rglob("*.*")) for f in folders]
    assert names[0] == names[1]
    assert len(names[0]) == 15
    pictures = [np.asarray(Image.open(folders[0] / name).convert("RGB")) for name in names[0]]
    assert len({picture.tobytes() for picture in pictures}) == 15
    for name in names[0]:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    few = unpack_images(files / "images.tar", tmp_path / "few", 2, workers=1)
    assert len(list(few.rglob("*.png"))) == 2


def test_weights_are_those_of_the_network_in_half_precision(tmp_path: Path) -> None:
    module = golden_network().module
    assert isinstance(module, nn.Module)
    state = load_file(write_weights(module, tmp_path))
    for name, tensor in module.state_dict().items():
        assert state[name].dtype == torch.float16
        torch.testing.assert_close(state[name].float(), tensor, rtol=1e-3, atol=1e-6)
