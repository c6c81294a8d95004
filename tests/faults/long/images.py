"""A folder in which a tenth of the images are bad: these are reported, and the others are unaffected."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.faults.long.commands import Outcome, difference, lurk, missing_setpriv, tree, unprivileged
from tests.faults.long.harness import Kind, Row, Trial
from tests.faults.long.pictures import BAD_IMAGES, garbled_exif, good
from tests.stored import unpacked

NET = """
from pathlib import Path
import torch
from torch import nn
from torchvision import transforms as T


def net():
    for path in Path("vanish").read_text().split("\\n") if Path("vanish").exists() else ():
        Path(path).unlink(missing_ok=True)
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 6, 3))
    return body, T.Compose([T.Resize(34), T.CenterCrop(32), T.ToTensor()])
"""
COMMAND = ("precompute", "--model", "nets.py:net", "--images", "photos", "--device", "cpu", "--filters", "1",
           "--batch-size", "1", "--workers", "1")  # fmt: skip
"""One image per forward: bad images make larger batches smaller, which changes the last digits of scores."""
REST = "the valid images: same bytes as in a run without the bad ones"
STRICT = "--strict: refuses a folder with bad images, names the first and counts them"
BAD_EVERY = 10
"""One in this many images is bad."""
MAX_MEGABYTES = 1500
"""The memory limit of a run; the decompression bomb alone would need 7 GB."""


def make_photos(folder: Path, count: int, random: Random) -> dict[str, str]:
    """Write `count` images with bad ones at random positions; return the fault of each bad image by path."""
    bad: dict[str, str] = {}
    faults = [fault for fault in BAD_IMAGES for _ in range(count // BAD_EVERY // len(BAD_IMAGES))]
    numbers = random.sample(range(count), len(faults))
    fault_of = dict(zip(numbers, faults, strict=True))
    for number in range(count):
        path = folder / "photos" / random.choice(("ant", "bee", "cat")) / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number in fault_of:
            BAD_IMAGES[fault_of[number]][0](path, random)
            bad[path.relative_to(folder / "photos").as_posix()] = fault_of[number]
        else:
            random.choice((good, good, good, good, garbled_exif))(path, random)
    gone = [f"photos/{path}" for path, fault in bad.items() if "deleted" in fault]
    (folder / "vanish").write_text("\n".join(gone))
    (folder / "nets.py").write_text(NET)
    return bad


def scan_bad_images(trial: Trial) -> list[Row]:
    """Scan a folder with bad images with `--strict` and without, then the folder without the bad images."""
    folder = trial.folder
    bad = make_photos(folder, trial.count, trial.random)
    strict = lurk([*COMMAND, "--out", "strict", "--strict"], folder, before=unprivileged())
    for path, fault in bad.items():  # the first run deleted these
        if "deleted" in fault:
            good(folder / "photos" / path, trial.random)
    dirty = lurk([*COMMAND, "--out", "dirty"], folder, before=unprivileged())
    reported = _skipped(folder / "dirty") if dirty.code == 0 else {}
    rows = []
    for fault, (_, pattern) in BAD_IMAGES.items():
        paths = [path for path in bad if bad[path] == fault]
        wrong = [
            f"{p}: {reported.get(p)}" for p in paths if not re.match(pattern, reported.get(p, "not reported"))
        ]
        rows.append(Row(fault, len(paths), len(paths) - len(wrong), None, 0, "", tuple(wrong)))
    order = sorted(p.relative_to(folder / "photos").as_posix() for p in (folder / "photos").glob("*/*")
                   ) + [path for path, fault in bad.items() if "deleted" in fault]  # fmt: skip
    order.sort(key=str.encode)
    for path in bad:
        (folder / "photos" / path).unlink(missing_ok=True)
    clean = lurk([*COMMAND, "--out", "clean"], folder)
    rows.append(_compared(folder, dirty, clean, order, set(bad)))
    rows.append(_strict(folder, strict, order, set(bad)))
    return rows


def _skipped(store: Path) -> dict[str, str]:
    dataset = json.loads((store / "network.json").read_bytes())["dataset"]
    return {entry["path"]: entry["reason"] for entry in dataset["skipped"]}


def _compared(folder: Path, dirty: Outcome, clean: Outcome, order: list[str], bad: set[str]) -> Row:
    rest = len(order) - len(bad)
    wrong = [f"ended with {run.code}: {run.err[-500:]}" for run in (dirty, clean) if run.code]
    differing = 0
    if not wrong:
        clean_number = {path: at for at, path in enumerate(path for path in order if path not in bad)}
        new = {at: clean_number[path] for at, path in enumerate(order) if path in clean_number}
        actual = _renumbered(folder / "dirty", new)
        expected = _renumbered(folder / "clean", {at: at for at in new.values()})
        for name in sorted(actual.keys() | expected.keys()):
            if count := difference(actual.get(name, b""), expected.get(name, b"")):
                differing += count
                wrong.append(f"{name}: {count} bytes differ")
    if dirty.megabytes > MAX_MEGABYTES:
        wrong.append(f"used {dirty.megabytes:.0f} MB")
    measured = f"{dirty.megabytes:.0f} MB with the bad images, {clean.megabytes:.0f} MB without"
    tracebacks = int(dirty.traceback) + int(clean.traceback)
    return Row(REST, rest, 0 if wrong else rest, differing, tracebacks, measured, tuple(wrong))


def _renumbered(store: Path, new: Mapping[int, int]) -> dict[str, bytes]:
    """Return JSON, pictures and activations of a store with its images renumbered.

    Values that must differ are left out.
    """

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: new[item] if key == "image" else walk(item)
                for key, item in value.items()
                if key != "packs"  # they have the digests of packs, whose pictures are compared
            }
        return [walk(item) for item in value] if isinstance(value, list) else value

    renumbered: dict[str, bytes] = {}
    for name, data in tree(store).items():
        if name.endswith(".json"):
            value = walk(json.loads(data))
            if name == "images.json":
                value["images"] = {str(new[int(key)]): item for key, item in value["images"].items()}
            elif name.startswith("spectrum/"):
                for pair in (pair for spectrum in value["filters"] for pair in spectrum):
                    pair[:] = [[new[image], *rest] for image, *rest in pair]
            elif name == "network.json":
                value |= {"name": "", "dataset": value["dataset"] | {"digest": "", "skipped": []}}
            renumbered[name] = json.dumps(value, sort_keys=True).encode()
        elif name.endswith(".npy"):
            renumbered[name] = np.load(store / name)[list(new)].tobytes()
    for name, data in unpacked(store).items():
        in_order = f"images/{new[int(Path(name).stem)]}.jpg" if name.startswith("images/") else name
        renumbered[in_order] = data
    return renumbered


def _strict(folder: Path, strict: Outcome, order: list[str], bad: set[str]) -> Row:
    first = next(path for path in order if path in bad)
    wrong = strict.refused(f"{len(bad)} of {len(order)} images", repr(first), "--strict")
    if (folder / "strict/network.json").exists():
        wrong += " and it began a store"
    shutil.rmtree(folder / "strict", ignore_errors=True)
    return Row(STRICT, 1, 0 if wrong else 1, None, int(strict.traceback), "", (wrong,) if wrong else ())


KIND = Kind(
    "images", (*BAD_IMAGES, REST, STRICT), scan_bad_images, long=1000, short=100, needs=missing_setpriv
)
