"""`python -m benchmarks.ranks`: a scan by two processes beside the same by one on one core."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.setting import make_setting
from torchlurk.runtime.resources import photos_folder


def _seconds(cores: str, before: tuple[str, ...], out: Path) -> float:
    """How long a scan takes on some cores, from the start of the command to its end."""
    shutil.rmtree(out, ignore_errors=True)
    command = [
        "taskset", "-c", cores, *before, "-m", "torchlurk", "precompute", "--weights", "trunk",
        "--images", str(photos_folder()), "--out", str(out), "--stages", "scan", "--threads", "1",
        "--workers", "0", "--shard-size", "8",
    ]  # fmt: skip
    begun = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
    return time.perf_counter() - begun


@click.command()
@click.option("--repeats", type=click.IntRange(1), default=2, help="The median is told.")
def run(repeats: int) -> None:
    """Measure what a second process gains: VGG16 over the photographs that come along."""
    make_setting()  # fetches the weights, which is no part of a scan
    python = (sys.executable,)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one/vgg16", Path(folder) / "two/vgg16"
        for _ in range(repeats):
            alone, together = _seconds("0", python, one), _seconds("0,1", torchrun, two)
            ratios.append(alone / together)
            click.echo(
                f"one process on one core {alone:.1f} s, two on two {together:.1f} s: {ratios[-1]:.2f}x"
            )
        same = subprocess.run(["diff", "-r", str(one), str(two)], capture_output=True).returncode == 0
    click.echo(
        f"median {sorted(ratios)[len(ratios) // 2]:.2f}x; the stores are {'' if same else 'NOT '}equal"
    )


if __name__ == "__main__":
    run()
