"""`python -m benchmarks.ranks`: compare a scan by two processes with one by a single process on one core."""

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


def _seconds(cores: str, launcher: tuple[str, ...], out: Path) -> float:
    """Return the seconds that the scan command takes on the given cores, start and shutdown included."""
    shutil.rmtree(out, ignore_errors=True)
    command = [
        "taskset", "-c", cores, *launcher, "-m", "torchlurk", "precompute", "--weights", "trunk",
        "--images", str(photos_folder()), "--out", str(out), "--stages", "scan", "--threads", "1",
        "--workers", "0", "--shard-size", "8",
    ]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
    return time.perf_counter() - start


@click.command()
@click.option(
    "--repeats", type=click.IntRange(1), default=2, help="Number of repeats; the median is reported."
)
def run(repeats: int) -> None:
    """Measure the speed-up of a second process: VGG16 on the included photographs."""
    make_setting()  # fetches the weights before the timed scans
    python = (sys.executable,)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "one/vgg16", Path(folder) / "two/vgg16"
        for _ in range(repeats):
            alone, together = _seconds("0", python, one), _seconds("0,1", torchrun, two)
            ratios.append(alone / together)
            click.echo(
                f"one process on one core {alone:.1f} s, "
                f"two processes on two cores {together:.1f} s: {ratios[-1]:.2f}x"
            )
        same = subprocess.run(["diff", "-r", str(one), str(two)], capture_output=True).returncode == 0
    click.echo(
        f"median {sorted(ratios)[len(ratios) // 2]:.2f}x; the stores are {'' if same else 'NOT '}equal"
    )


if __name__ == "__main__":
    run()
