"""Compare the scan with the bare forward, and with the scan of the first version of Torchlurk."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.first import image_by_image
from benchmarks.measure import Row, interleaved, median
from benchmarks.setting import Setting, make_setting
from torchlurk.datasets.batches import batches
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner
from torchlurk.scan import scan
from torchlurk.scan.state import ScanState, candidate_images, initial_state, with_lists_of

BATCH = 8


def run_scan(setting: Setting, images: Sequence[int], *, k: int = 4, bfloat16: bool = False) -> ScanState:
    """Run a scan as the command does, from files to top lists; `images` may repeat a photograph."""
    total = len(setting.folder.paths)
    folder = setting.folder.take([image % total for image in images])
    preprocess = setting.network.preprocess
    feed = batches(folder, preprocess, batch_size=BATCH, workers=1)

    def stream() -> Iterator[scan.ScanBatch]:
        for b in feed:
            ids = torch.tensor([images[index] for index in b.indices])
            yield scan.ScanBatch(ids, torch.tensor(b.labels), preprocess.to_input(b.pixels))

    channels = {layer.name: layer.shape[0] for layer in setting.graph.layers}
    state = initial_state(channels, len(folder.classes), k)
    runner = Runner(setting.network.module, "channels_last")
    with isolated(runner.model), runner.in_memory_format():
        for current in scan.scan(runner, state, stream(), bfloat16=bfloat16):
            state = current
    return state


def rough_and_again(setting: Setting, count: int) -> ScanState:
    """Scan in bfloat16, then score the candidates again in float32."""
    rough = run_scan(setting, range(count), k=8, bfloat16=True)
    return with_lists_of(rough, run_scan(setting, candidate_images(rough)))


def bare(setting: Setting, count: int, *, bfloat16: bool = False) -> None:
    """Run only the forward, with the same batch size and memory format, on images in memory."""
    x = setting.images(BATCH)
    runner = Runner(setting.network.module, "channels_last")
    with isolated(runner.model), runner.in_memory_format(), torch.inference_mode():
        for _ in range(count // BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                setting.trunk(x)


def scan_command(setting: Setting, count: int) -> None:
    """Run `torchlurk precompute --stages scan` on copies of the photographs, in a process of its own."""
    total = len(setting.folder.paths)
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch) / "images"
        for i in range(count):
            source = setting.folder.file(i % total)
            copy = images / source.parent.name / f"{i // total}-{source.name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
        subprocess.run(
            [sys.executable, "-m", "torchlurk", "precompute", "--model", "vgg16", "--weights", "trunk",
             "--images", images, "--stages", "scan", "--device", "cpu", "--out", Path(scratch) / "store"],
            check=True, capture_output=True,
        )  # fmt: skip


def command_row(setting: Setting, count: int, goal: float) -> Row:
    """Measure the command that scans, from its start to its end, beside the bare forward alone."""
    seconds = interleaved(
        {"ours": partial(scan_command, setting, count), "bare": partial(bare, setting, count)}, 1
    )
    ours, theirs = median(seconds["ours"]), median(seconds["bare"])
    return Row(f"precompute --stages scan of {count} photographs, VGG16 at 224", "the bare forward", ours,
               theirs, ours / theirs, f"at most {goal} times its time", ours / theirs <= goal,
               "with its start, loading, crops, pictures and digests")  # fmt: skip


def scan_rows(setting: Setting, count: int, repeats: int, goal: float) -> list[Row]:
    """Measure the scan and return its rows; `goal` is the ratio to reach beside the bare forward."""
    run_scan(setting, range(2 * BATCH))
    bare(setting, 2 * BATCH)
    seconds = interleaved(
        {"ours": partial(run_scan, setting, range(count)), "bare": partial(bare, setting, count)}, repeats
    )
    few = max(8, count // 10)
    rough = interleaved(
        {
            "ours": partial(rough_and_again, setting, count),
            "bare": partial(bare, setting, count, bfloat16=True),
            "loop": partial(image_by_image, setting, few),
        },
        1,
    )
    ours, theirs = median(seconds["ours"]), median(seconds["bare"])
    loop = median(rough["loop"]) / few * count
    ours16, bare16 = median(rough["ours"]), median(rough["bare"])
    ratios = ", ".join(f"{a / b:.3f}" for a, b in zip(seconds["ours"], seconds["bare"], strict=True))
    return [
        Row(f"scan of {count} photographs, VGG16 at 224", "the bare forward", ours, theirs, ours / theirs,
            f"at most {goal} times its time", ours / theirs <= goal, f"by repeat: {ratios}"),
        Row(f"scan of {count}", f"image by image, a loop over filters ({few} images, scaled)", ours, loop,
            loop / ours, "at least 4 times faster", loop / ours >= 4,
            f"the loop takes {loop / theirs:.2f} bare forwards"),
        Row(f"scan of {count}, bfloat16, candidates again in float32", "the loop", ours16, loop,
            loop / ours16, "8 times faster is the stretch goal", loop / ours16 >= 8,
            f"the bare forward in bfloat16 takes {bare16:.1f} s"),
    ]  # fmt: skip


def memory_row(small: int, large: int) -> Row:
    """Measure the peak memory of a small and a large scan, each in a separate process."""
    peaks = []
    for count in (small, large):
        command = [sys.executable, "-m", "benchmarks.scanning", str(count)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks.append(int(output.split()[-1]))
    ratio = peaks[1] / peaks[0]
    large_gb, small_gb = peaks[1] / 1e9, peaks[0] / 1e9
    return Row(f"peak memory of a scan of {large} images", f"of {small} images", large_gb, small_gb,
               ratio, "equal within 5%", abs(ratio - 1) <= 0.05, "in GB; forward in bfloat16")  # fmt: skip


if __name__ == "__main__":
    from benchmarks.measure import peak_memory

    run_scan(make_setting(), range(int(sys.argv[1])), bfloat16=True)
    print(peak_memory())
