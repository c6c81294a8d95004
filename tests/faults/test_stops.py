"""A run that gets SIGTERM or SIGINT cleans up, reports what is kept, and resumes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.processes import hear_interrupts

MODEL = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_cleans_up_and_resumes(number: signal.Signals, code: int, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(MODEL)
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name in range(400):
        Image.fromarray(rng.integers(0, 255, (96, 96, 3), np.uint8)).save(photos / f"{name}.png")
    command = [
        sys.executable, "-m", "torchlurk", "precompute", "--model", "own.py:make", "--images", "photos",
        "--out", "saved_model/own", "--shard-size", "8", "--filters", "2", "--stages", "scan",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_interrupts,
    ) as process:  # fmt: skip
        shards = tmp_path / "saved_model/own/partial/scan"
        while process.poll() is None and not (shards.exists() and len(list(shards.iterdir())) > 2):
            time.sleep(0.01)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        assert process.stderr is not None
        stderr = process.stderr.read()
        assert process.wait(60) == code, stderr
    assert workers
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert not list((tmp_path / "saved_model").rglob("*.part"))
    assert not list((tmp_path / "saved_model").rglob("progress.json"))
    assert re.search(r"these finished parts of the rest: \d+ of scan; start the same command again", stderr)
    assert stderr.splitlines()[-1] == "torchlurk: stopped"
    assert "Traceback" not in stderr
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "400 images, 0 skipped" in done.stdout
    assert not (tmp_path / "saved_model/own/partial").exists()
