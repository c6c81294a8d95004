"""`python -m benchmarks.scale IMAGES [--count N]`: scan many images, and check that memory stays flat."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from torchlurk.datasets.image_folder import list_images
from torchlurk.runtime.resources import networks_folder
from torchlurk.store.schema import PROGRESS


def link_images(source: Path, count: int, folder: Path) -> None:
    """Make links to the images of a folder, again and again, in subfolders as there."""
    images = list_images(source)
    for i in range(count):
        file = images.file(i % len(images.paths))
        link = folder / file.parent.name / f"{i // len(images.paths):06}-{file.name}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())


def resident_bytes(pid: int) -> int:
    """Return the memory of a process, without those that it starts."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def scan_command(images: Path, store: Path) -> Sequence[str]:
    """Return the command that scans the small network at 64 px."""
    networks = networks_folder()
    return [
        sys.executable, "-m", "torchlurk", "precompute", "--model", f"{networks / 'small.py'}:colour",
        "--weights", str(networks / "small-colour.safetensors"), "--images", str(images), "--size", "64",
        "--stages", "scan", "--device", "cpu", "--out", str(store),
    ]  # fmt: skip


@click.command()
@click.argument("images", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--count", default=1_000_000, help="Number of images; those of the folder are repeated.")
def run(images: Path, count: int) -> None:
    """Scan COUNT images with the small network, and print times, memory and sizes as JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, store = Path(scratch) / "images", Path(scratch) / "store"
        link_images(images, count, folder)
        start = time.perf_counter()
        process = subprocess.Popen(scan_command(folder, store), stderr=subprocess.DEVNULL)
        samples: list[tuple[float, int, int]] = []  # seconds, images done, bytes
        while process.poll() is None:
            time.sleep(1)
            try:
                progress = json.loads((store / PROGRESS).read_text("utf-8"))
                if progress["work"] == "scan":
                    now = time.perf_counter() - start
                    samples.append((now, progress["done"], resident_bytes(process.pid)))
            except (OSError, ValueError):
                continue  # the scan has not begun, or its file is being replaced
        seconds = time.perf_counter() - start
        if process.returncode:
            raise click.ClickException("the scan failed")
        (begin, before, _), (end, after, _) = samples[0], samples[-1]
        early = [memory for _, done, memory in samples if done <= count / 10]
        figures = {
            "images": count,
            "seconds": round(seconds, 1),
            "seconds before the first image": round(begin, 1),
            "images per second of the scan": round((after - before) / (end - begin), 1),
            "peak MB in the first tenth": max(early) // 10**6,
            "peak MB": max(memory for _, _, memory in samples) // 10**6,
            "bytes of JSON": sum(path.stat().st_size for path in store.rglob("*.json")),
            "bytes of the store": sum(path.stat().st_size for path in store.rglob("*") if path.is_file()),
        }
        click.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    run()
