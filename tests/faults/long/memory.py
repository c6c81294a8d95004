"""Memory of a scan: it must not grow with the number of images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.faults.long.commands import lurk
from tests.faults.long.harness import Kind, Row, Trial

FAULT = "a scan of ten times as many images: at most 5% more memory"
MAX_RATIO = 1.05

MODEL = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3))
"""


def scan(trial: Trial) -> Iterator[Row]:
    """Scan a tenth of the images, then all of them, and compare the memory."""
    (trial.folder / "own.py").write_text(MODEL)
    counts = (max(1, trial.count // 10), trial.count)
    rng = np.random.default_rng(0)
    for count in counts:
        photos = trial.folder / f"photos-{count}"
        photos.mkdir()
        for number in range(count):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(photos / f"{number}.png")
    outcomes = [
        lurk(
            ["precompute", "--model", "own.py:make", "--images", f"photos-{count}", "--out", f"store-{count}",
             "--size", "32", "--stages", "scan"],
            trial.folder,
        )
        for count in counts
    ]  # fmt: skip
    few, many = (outcome.private for outcome in outcomes)
    good = all(outcome.code == 0 for outcome in outcomes) and many <= few * MAX_RATIO
    measured = f"{few:.0f} MB with {counts[0]:,} images, {many:.0f} MB with {counts[1]:,}"
    wrong = () if good else (measured, *(outcome.err[-300:] for outcome in outcomes))
    yield Row(
        FAULT,
        1,
        int(good),
        tracebacks=sum(outcome.traceback for outcome in outcomes),
        measured=measured,
        wrong=wrong,
    )


KIND = Kind("memory", (FAULT,), scan, long=20_000, short=3000)
