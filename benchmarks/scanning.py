"""The scan beside the bare forward, and beside a Python loop over the filters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

import torch

from benchmarks.measure import Row, interleaved, median
from benchmarks.setting import Setting, make_setting
from torchlurk import scan
from torchlurk.datasets.folder import ImageFolder, batches
from torchlurk.hooks import at_rest

BATCH = 8


def repeated(folder: ImageFolder, count: int) -> ImageFolder:
    """A listing of `count` images that takes those of the folder again and again."""
    rounds = -(-count // len(folder.paths))
    return replace(folder, paths=(folder.paths * rounds)[:count], labels=(folder.labels * rounds)[:count])


def run_scan(setting: Setting, count: int, *, bfloat16: bool) -> scan.ScanState:
    """A scan as the command runs it, from files to lists, over `count` images."""
    folder = repeated(setting.folder, count)
    preprocess = setting.network.preprocess
    feed = batches(folder, preprocess, batch_size=BATCH, workers=1)

    def stream() -> Iterator[scan.ScanBatch]:
        with closing(feed):  # type: ignore[type-var]
            for b in feed:
                yield scan.ScanBatch(
                    torch.tensor(b.indices), torch.tensor(b.labels), preprocess.normalise(b.pixels)
                )

    state = scan.empty({layer.name: layer.shape[0] for layer in setting.graph.layers}, len(folder.classes), 4)
    model = setting.network.module
    with at_rest(model):
        for current in scan.scan(model, state, stream(), bfloat16=bfloat16):
            state = current
    return state


def bare(setting: Setting, count: int, *, bfloat16: bool) -> None:
    """The forward alone of the same trunk, at the same batch and memory order, on images in memory."""
    x = setting.images(BATCH)
    with at_rest(setting.network.module), torch.inference_mode():
        for _ in range(count // BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                setting.trunk(x)


def naive(setting: Setting, count: int) -> None:
    """One image at a time, and for each layer a loop over its filters, as the first Torchlurk did."""
    names = {layer.name.removeprefix("features."): layer.shape[0] for layer in setting.graph.layers}
    best: dict[tuple[str, int], list[tuple[float, int]]] = {}
    average: dict[tuple[str, int], list[tuple[float, int]]] = {}
    images = setting.images(count)
    with torch.inference_mode():
        for number, image in enumerate(images):
            x = image[None].contiguous()
            for name, module in setting.trunk.named_children():
                x = module(x)
                if name not in names:
                    continue
                for channel in range(names[name]):
                    for lists, score in (
                        (best, x[0, channel].max().item()),
                        (average, x[0, channel].mean().item()),
                    ):
                        entries = lists.setdefault((name, channel), [])
                        entries.append((score, number))
                        entries.sort(key=lambda entry: -entry[0])
                        del entries[4:]


def scan_rows(setting: Setting, count: int, repeats: int) -> list[Row]:
    """The two rows of the scan."""
    seconds = interleaved(
        {
            "ours": partial(run_scan, setting, count, bfloat16=False),
            "bare": partial(bare, setting, count, bfloat16=False),
            "ours16": partial(run_scan, setting, count, bfloat16=True),
            "bare16": partial(bare, setting, count, bfloat16=True),
        },
        repeats,
    )
    few = max(8, count // 20)
    loop = interleaved({"naive": partial(naive, setting, few)}, 1)["naive"]
    ours, theirs, ours16, bare16 = (median(seconds[name]) for name in ("ours", "bare", "ours16", "bare16"))
    slow = median(loop) / few * count
    return [
        Row(f"scan of {count} photographs, VGG16 at 224", "the bare forward", ours, theirs, ours / theirs,
            "at most 1.15 times its time", ours / theirs <= 1.15),
        Row(f"scan of {count}, bfloat16", "the bare forward in bfloat16", ours16, bare16, ours16 / bare16,
            "(no goal set)", reached=True),
        Row(f"scan of {count}", f"one image at a time, a loop over filters (from {few} images)", ours, slow,
            slow / ours, "at least 4 times faster", slow / ours >= 4),
        Row(f"scan of {count}, bfloat16, scored again in float32", "the same loop", ours16, slow,
            slow / ours16, "at least 8 times faster (moonshot)", slow / ours16 >= 8),
    ]  # fmt: skip


def memory_row(small: int, large: int) -> Row:
    """Peak memory of a small and a large scan, each in a process of its own."""
    peaks = []
    for count in (small, large):
        command = [sys.executable, "-m", "benchmarks.scanning", str(count)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks.append(int(told.split()[-1]))
    ratio = peaks[1] / peaks[0]
    large_gb, small_gb = peaks[1] / 1e9, peaks[0] / 1e9
    return Row(f"peak memory of a scan of {large} images", f"of {small} images", large_gb, small_gb,
               ratio, "equal within 5%", abs(ratio - 1) <= 0.05, "in GB, not seconds")  # fmt: skip


if __name__ == "__main__":
    from benchmarks.measure import peak_memory

    run_scan(make_setting(), int(sys.argv[1]), bfloat16=False)
    print(peak_memory())
