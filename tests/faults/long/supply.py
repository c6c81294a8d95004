"""What comes from elsewhere: weights, packages and archives that are damaged, or would run code."""

from __future__ import annotations

import builtins
import hashlib
import io
import os
import pickle
import runpy
import subprocess
import tarfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file

from tests.faults.long.harness import Kind, Row, Trial
from tests.faults.long.mutation import BYTE_WAYS, flip
from tests.faults.long.reader import Hang, in_time
from torchlurk.datasets.tiny_imagenet import fetch_tiny_imagenet
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights, load_weights, read_weights, state_digest
from torchlurk.models.pypi import read_member, read_pickle
from torchlurk.models.trunk import MEMBERS, TrunkSource, load_trunk
from torchlurk.models.weights import _torchvision_weights

PINNED = "pinned package, archive, cache or hub file with a changed bit: found by its sha256"
WEIGHTS = "file of weights, changed or cut: read or refused in one line"
PICKLES = "file of weights that would run code: it does not"
PATIENCE = 20


def _network() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


def weights_files(folder: Path) -> list[Path]:
    """The same weights in all the forms that are read."""
    state = _network().state_dict()
    save_file(state, folder / "a.safetensors")
    torch.save(state, folder / "b.pt")
    torch.save(state, folder / "c.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in state.items()}}, folder / "d.pt")
    return sorted(folder.glob("?.*"))


def _damaged(trial: Trial) -> Row:
    files = weights_files(trial.folder)
    wrong: list[str] = []
    tracebacks = refused = 0
    longest = 0.0
    for number in range(trial.count):
        path, way = trial.random.choice(files), trial.random.choice(BYTE_WAYS)
        bad = trial.folder / f"bad{path.suffix}"
        bad.write_bytes(way(path.read_bytes(), trial.random))
        begun = time.monotonic()
        try:
            with in_time(PATIENCE), warnings.catch_warnings():
                warnings.simplefilter("error")
                load_weights(_network(), read_weights(bad))
        except LurkError as problem:
            refused += 1
            if "\n" in str(problem) or len(str(problem)) > 1000:
                wrong.append(f"{number}: not a line of some length: {problem}"[:300])
        except Hang:
            wrong.append(f"{number} {way.__name__} of {path.name}: hangs")
        except Exception as problem:
            tracebacks += 1
            wrong.append(f"{number} {way.__name__} of {path.name}: {type(problem).__name__}: {problem}"[:300])
        longest = max(longest, time.monotonic() - begun)
    measured = f"longest {longest:.1f} s; {refused:,} refused"
    return Row(WEIGHTS, trial.count, trial.count - len(wrong), None, tracebacks, measured, tuple(wrong))


class Evil:
    """Unpickled by Python's own reader, it makes a file."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


def _evil(mark: Path) -> list[Evil]:
    code = f"open({str(mark)!r}, 'w')"
    return [
        Evil(os.system, f"touch {mark}"),
        Evil(builtins.eval, code),
        Evil(builtins.exec, code),
        Evil(subprocess.getoutput, f"touch {mark}"),
        Evil(runpy._run_code, code, {}),  # type: ignore[attr-defined]
        Evil(Path.touch, mark),
        Evil(getattr, mark, "touch"),
        Evil(open, str(mark), "w"),
        Evil(torch.serialization.load, str(mark)),
    ]


def _pickles(trial: Trial) -> Row:
    folder = trial.folder
    mark, path = folder / "it-ran", folder / "evil.pt"
    gadgets = _evil(mark)
    wrong: list[str] = []
    tracebacks = 0
    for number in range(trial.count):
        gadget = trial.random.choice(gadgets)
        value: Any = trial.random.choice(
            ({"a": torch.zeros(2), "b": gadget}, gadget, [gadget], {"state_dict": {"x": gadget}})
        )
        protocol = trial.random.randrange(6)
        form = trial.random.randrange(3)
        if form < 2:
            torch.save(
                value, path, _use_new_zipfile_serialization=form == 0, pickle_protocol=max(protocol, 2)
            )
        else:
            path.write_bytes(pickle.dumps(gadget, protocol))
        # Of a file of torch's old format the trunk's reader would see no more than a number in front.
        readers: list[Callable[[], object]] = [lambda: read_weights(path)]
        readers += [lambda: read_pickle(path.read_bytes())] if form == 2 else []
        for reader in readers:
            try:
                reader()
                wrong.append(f"{number}: {gadget.call} was taken for weights")
            except LurkError:
                pass
            except Exception as problem:
                tracebacks += 1
                wrong.append(f"{number}: {type(problem).__name__}: {problem}"[:300])
        if mark.exists():
            mark.unlink()
            wrong.append(f"{number}: {gadget.call} was run")
    return Row(PICKLES, trial.count, trial.count - len(wrong), None, tracebacks, "", tuple(wrong))


def _pinned(trial: Trial) -> Row:
    folder = trial.folder
    checks = {
        "cache": _cache(folder / "cache"),
        "package": _package(folder / "package.tar.gz"),
        "hub": _hub(folder / "hub"),
        "archive": _archive(folder / "tiny"),
    }
    wrong: list[str] = []
    for number in range(trial.count):
        name, (path, noticed) = trial.random.choice(list(checks.items()))
        whole = path.read_bytes()
        bad = flip(whole, trial.random)
        path.write_bytes(bad)
        try:
            if bad != whole and not noticed():
                wrong.append(f"{number}: a changed {name} was not noticed")
        except Exception as problem:
            wrong.append(f"{number}: {name}: {type(problem).__name__}: {problem}"[:300])
        path.write_bytes(whole)
    return Row(PINNED, trial.count, trial.count - len(wrong), None, 0, "", tuple(wrong))


class Asked(Exception):  # noqa: N818  # no error: it is what is hoped for
    """What was there was not good enough: it is fetched again."""


def _again(*_: object) -> Any:
    raise Asked


def _cache(folder: Path) -> tuple[Path, Callable[[], bool]]:
    """The converted trunk in the user's cache."""
    path = folder / "weights/alexnet-trunk.safetensors"
    path.parent.mkdir(parents=True)
    state = {"features.0.weight": torch.arange(3000.0).reshape(10, 300)}
    save_file(state, path)
    sources = {"alexnet": TrunkSource("AlexNet_0", "", state_digest(state))}

    def noticed() -> bool:
        try:
            load_trunk("alexnet", folder, report=lambda _: None, download=_again, sources=sources)
        except Asked:
            return True
        return False

    # Its header has room for a comment, of which the digest of the tensors says nothing.
    return path, noticed


def _package(path: Path) -> tuple[Path, Callable[[], bool]]:
    """The package that the trunk comes in; its bytes are checked where they are used."""
    data = pickle.dumps({"a": list(range(999))})
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(f"{MEMBERS}/alexnet.ckpt")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    digest = hashlib.sha256(data).hexdigest()

    def noticed() -> bool:
        try:
            return read_member(path, f"{MEMBERS}/alexnet.ckpt", digest) == data
        except LurkError:
            return True

    return path, noticed


def _hub(folder: Path) -> tuple[Path, Callable[[], bool]]:
    """A file of torchvision's, whose name ends in the first digits of its sha256."""
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(_network().state_dict(), folder / "x")
    digest = hashlib.sha256((folder / "x").read_bytes()).hexdigest()
    path = folder / f"checkpoints/net-{digest[:8]}.pth"
    (folder / "x").rename(path)
    entry = SimpleNamespace(url=f"https://example.org/{path.name}", name="V1")

    def noticed() -> bool:
        try:
            found: Weights = _torchvision_weights(entry, _again, folder)
        except LurkError:
            return True
        return found.sha256 == digest

    return path, noticed


def _archive(folder: Path) -> tuple[Path, Callable[[], bool]]:
    """An archive that was downloaded before."""
    path = folder / "downloads/tiny-imagenet-200.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(range(256)) * 40)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def noticed() -> bool:
        said: list[str] = []
        try:
            fetch_tiny_imagenet(
                folder / "out", per_class=1, archive=None, cache=folder, report=said.append,
                url="http://127.0.0.1:9/x", sha256=digest, progress=False,
            )  # fmt: skip
        except LurkError:
            return any("damaged" in line for line in said)
        return False

    return path, noticed


def supply(trial: Trial) -> list[Row]:
    """Change what comes from elsewhere, or have it come from somebody evil."""
    few = max(trial.count // 5, 10)
    parts = [("a", _pinned, few), ("b", _damaged, trial.count), ("c", _pickles, few)]
    rows = []
    for name, work, count in parts:
        folder = trial.folder / name
        folder.mkdir()
        rows.append(work(Trial(folder, count, trial.random)))
    return rows


KIND = Kind("supply", (PINNED, WEIGHTS, PICKLES), supply, long=5000, short=150)
