"""A folder of which a tenth are no images: all told, the rest as if those were not there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.long.commands import Outcome, difference, lurk, tree, unprivileged, wants_setpriv
from tests.faults.long.harness import Kind, Row, Trial
from tests.faults.long.pictures import WAYS, garbled_exif, good

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
"""One image a forward: what shares one moves the last digits of scores, and bad images make them smaller."""
REST = "the rest of the images: exactly as in a run without the bad ones"
STRICT = "--strict: refuses a folder with bad images, names the first and how many"
SHARE = 10
"""One image in so many is bad."""
MEGABYTES = 1500
"""What torch and a decoding process may take together; the bomb alone would be 7 GB."""


def make_photos(folder: Path, count: int, random: Random) -> dict[str, str]:
    """Write so many images, the bad ones at random among them; what is wrong with those, by their paths."""
    bad: dict[str, str] = {}
    ways = [way for way in WAYS for _ in range(count // SHARE // len(WAYS))]
    numbers = random.sample(range(count), len(ways))
    of = dict(zip(numbers, ways, strict=True))
    for number in range(count):
        path = folder / "photos" / random.choice(("ant", "bee", "cat")) / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number in of:
            WAYS[of[number]][0](path, random)
            bad[path.relative_to(folder / "photos").as_posix()] = of[number]
        else:
            random.choice((good, good, good, good, garbled_exif))(path, random)
    gone = [f"photos/{path}" for path, way in bad.items() if "taken away" in way]
    (folder / "vanish").write_text("\n".join(gone))
    (folder / "nets.py").write_text(NET)
    return bad


def scan_rubbish(trial: Trial) -> list[Row]:
    """Scan a folder with bad images, the same without them, and the first again with `--strict`."""
    folder = trial.folder
    bad = make_photos(folder, trial.count, trial.random)
    strict = lurk([*COMMAND, "--out", "strict", "--strict"], folder, before=unprivileged())
    for path, way in bad.items():  # what the first run took away
        if "taken away" in way:
            good(folder / "photos" / path, trial.random)
    dirty = lurk([*COMMAND, "--out", "dirty"], folder, before=unprivileged())
    told = _skipped(folder / "dirty") if dirty.code == 0 else {}
    rows = []
    for fault, (_, pattern) in WAYS.items():
        paths = [path for path, way in bad.items() if way == fault]
        wrong = [f"{p}: {told.get(p)}" for p in paths if not re.match(pattern, told.get(p, "not told"))]
        rows.append(Row(fault, len(paths), len(paths) - len(wrong), None, 0, "", tuple(wrong)))
    order = sorted(p.relative_to(folder / "photos").as_posix() for p in (folder / "photos").glob("*/*")
                   ) + [path for path, way in bad.items() if "taken away" in way]  # fmt: skip
    order.sort(key=str.encode)
    for path in bad:
        (folder / "photos" / path).unlink(missing_ok=True)
    clean = lurk([*COMMAND, "--out", "clean"], folder)
    rows.append(_compared(folder, dirty, clean, order, set(bad)))
    rows.append(_strict(folder, strict, order, set(bad)))
    return rows


def _skipped(store: Path) -> dict[str, str]:
    dataset = json.loads((store / "network.json").read_bytes())["dataset"]
    return {one["path"]: one["reason"] for one in dataset["skipped"]}


def _compared(folder: Path, dirty: Outcome, clean: Outcome, order: list[str], bad: set[str]) -> Row:
    rest = len(order) - len(bad)
    wrong = [f"ended with {o.code}: {o.err[-500:]}" for o in (dirty, clean) if o.code]
    differing = 0
    if not wrong:
        number = {path: at for at, path in enumerate(path for path in order if path not in bad)}
        new = {at: number[path] for at, path in enumerate(order) if path in number}
        found, expected = (tree(folder / name) for name in ("dirty", "clean"))
        found = _renumbered(found, new.__getitem__)
        expected = _renumbered(expected, lambda at: at)
        for name in sorted(found.keys() | expected.keys()):
            if many := difference(found.get(name, b""), expected.get(name, b"")):
                differing += many
                wrong.append(f"{name}: {many} bytes differ")
    if dirty.megabytes > MEGABYTES:
        wrong.append(f"took {dirty.megabytes:.0f} MB")
    measured = f"{dirty.megabytes:.0f} MB with the bad ones, {clean.megabytes:.0f} MB without"
    tracebacks = int(dirty.traceback) + int(clean.traceback)
    return Row(REST, rest, 0 if wrong else rest, differing, tracebacks, measured, tuple(wrong))


def _renumbered(files: dict[str, bytes], new: Callable[[int], int]) -> dict[str, bytes]:
    """A store as it would be if its images had other numbers; what must differ is left out."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: new(one) if key == "image" else walk(one) for key, one in value.items()}
        return [walk(one) for one in value] if isinstance(value, list) else value

    made: dict[str, bytes] = {}
    for name, data in files.items():
        if name == "SHA256SUMS":
            continue
        if name.startswith("images/"):
            name = f"images/{new(int(Path(name).stem))}.jpg"
        elif name.endswith(".json"):
            value = walk(json.loads(data))
            if name == "images.json":
                value = {str(new(int(key))): one for key, one in value.items()}
            elif name == "network.json":
                value |= {"name": "", "dataset": value["dataset"] | {"digest": "", "skipped": []}}
            data = json.dumps(value, sort_keys=True).encode()
        made[name] = data
    return made


def _strict(folder: Path, strict: Outcome, order: list[str], bad: set[str]) -> Row:
    first = next(path for path in order if path in bad)
    wrong = strict.refused(f"{len(bad)} of {len(order)} images", repr(first), "--strict")
    if (folder / "strict/network.json").exists():
        wrong += " and a store was begun"
    shutil.rmtree(folder / "strict", ignore_errors=True)
    return Row(STRICT, 1, 0 if wrong else 1, None, int(strict.traceback), "", (wrong,) if wrong else ())


KIND = Kind("images", (*WAYS, REST, STRICT), scan_rubbish, long=1000, short=100, needs=wants_setpriv)
