"""Files from other sources: damaged weights, packages and archives, and pickles that would run code."""

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
from tests.faults.long.mutation import BYTE_MUTATIONS, flip_bits
from tests.faults.long.reader import HangError, time_limit
from torchlurk.datasets.tiny_imagenet import fetch_tiny_imagenet
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import Weights, load_weights, read_weights, state_digest
from torchlurk.models.pypi import read_member, read_pickle
from torchlurk.models.trunk import MEMBERS, TrunkSource, load_trunk
from torchlurk.models.weights import _torchvision_weights

PINNED = "pinned package, archive, cache or hub file with a changed bit: detected by its sha256"
WEIGHTS = "weights file, changed or truncated: read or refused in one line"
PICKLES = "weights file that would run code: no code runs"
TIMEOUT = 20


def _network() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


def weights_files(folder: Path) -> list[Path]:
    """Write the same weights in all supported formats and return the paths."""
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
        path, mutate = trial.random.choice(files), trial.random.choice(BYTE_MUTATIONS)
        bad = trial.folder / f"bad{path.suffix}"
        bad.write_bytes(mutate(path.read_bytes(), trial.random))
        start = time.monotonic()
        try:
            with time_limit(TIMEOUT), warnings.catch_warnings():
                warnings.simplefilter("error")
                load_weights(_network(), read_weights(bad))
        except LurkError as problem:
            refused += 1
            if "\n" in str(problem) or len(str(problem)) > 1000:
                wrong.append(f"{number}: more than one line or too long: {problem}"[:300])
        except HangError:
            wrong.append(f"{number} {mutate.__name__} of {path.name}: hangs")
        except Exception as problem:
            tracebacks += 1
            wrong.append(
                f"{number} {mutate.__name__} of {path.name}: {type(problem).__name__}: {problem}"[:300]
            )
        longest = max(longest, time.monotonic() - start)
    measured = f"longest {longest:.1f} s; {refused:,} refused"
    return Row(WEIGHTS, trial.count, trial.count - len(wrong), None, tracebacks, measured, tuple(wrong))


class Gadget:
    """An object whose unpickling calls a function."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


def _gadgets(mark: Path) -> list[Gadget]:
    code = f"open({str(mark)!r}, 'w')"
    return [
        Gadget(os.system, f"touch {mark}"),
        Gadget(builtins.eval, code),
        Gadget(builtins.exec, code),
        Gadget(subprocess.getoutput, f"touch {mark}"),
        Gadget(runpy._run_code, code, {}),  # type: ignore[attr-defined]
        Gadget(Path.touch, mark),
        Gadget(getattr, mark, "touch"),
        Gadget(open, str(mark), "w"),
        Gadget(torch.serialization.load, str(mark)),
    ]


def _pickles(trial: Trial) -> Row:
    folder = trial.folder
    mark, path = folder / "it-ran", folder / "evil.pt"
    gadgets = _gadgets(mark)
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
        # In a file of torch's old format, the trunk's reader would read only the leading number.
        readers: list[Callable[[], object]] = [lambda: read_weights(path)]
        readers += [lambda: read_pickle(path.read_bytes())] if form == 2 else []
        for reader in readers:
            try:
                reader()
                wrong.append(f"{number}: {gadget.call} was accepted as weights")
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
        name, (path, detected) = trial.random.choice(list(checks.items()))
        original = path.read_bytes()
        bad = flip_bits(original, trial.random)
        path.write_bytes(bad)
        try:
            if bad != original and not detected():
                wrong.append(f"{number}: a changed {name} was not detected")
        except Exception as problem:
            wrong.append(f"{number}: {name}: {type(problem).__name__}: {problem}"[:300])
        path.write_bytes(original)
    return Row(PINNED, trial.count, trial.count - len(wrong), None, 0, "", tuple(wrong))


class DownloadRequested(Exception):  # noqa: N818  # the expected result, not an error
    """The file was rejected and would be downloaded again."""


def _download(*_: object) -> Any:
    raise DownloadRequested


def _cache(folder: Path) -> tuple[Path, Callable[[], bool]]:
    """Return the converted trunk in a cache, and a function that tells whether a change is detected."""
    path = folder / "weights/alexnet-trunk.safetensors"
    path.parent.mkdir(parents=True)
    state = {"features.0.weight": torch.arange(3000.0).reshape(10, 300)}
    save_file(state, path)
    sources = {"alexnet": TrunkSource("AlexNet_0", "", state_digest(state))}

    def detected() -> bool:
        try:
            load_trunk("alexnet", folder, report=lambda _: None, download=_download, sources=sources)
        except DownloadRequested:
            return True
        return False

    # The digest covers the tensors, not a comment in the header.
    return path, detected


def _package(path: Path) -> tuple[Path, Callable[[], bool]]:
    """Return a package with a trunk, and a function that tells whether a change of the member is detected."""
    data = pickle.dumps({"a": list(range(999))})
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(f"{MEMBERS}/alexnet.ckpt")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    digest = hashlib.sha256(data).hexdigest()

    def detected() -> bool:
        try:
            return read_member(path, f"{MEMBERS}/alexnet.ckpt", digest) == data
        except LurkError:
            return True

    return path, detected


def _hub(folder: Path) -> tuple[Path, Callable[[], bool]]:
    """Return a torchvision file named by its sha256, and a function that tells if a change is detected."""
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(_network().state_dict(), folder / "x")
    digest = hashlib.sha256((folder / "x").read_bytes()).hexdigest()
    path = folder / f"checkpoints/net-{digest[:8]}.pth"
    (folder / "x").rename(path)
    entry = SimpleNamespace(url=f"https://example.org/{path.name}", name="V1")

    def detected() -> bool:
        try:
            weights: Weights = _torchvision_weights(entry, _download, folder)
        except LurkError:
            return True
        return weights.sha256 == digest

    return path, detected


def _archive(folder: Path) -> tuple[Path, Callable[[], bool]]:
    """Return a cached archive, and a function that tells whether a change is detected."""
    path = folder / "downloads/tiny-imagenet-200.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(range(256)) * 40)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def detected() -> bool:
        reported: list[str] = []
        try:
            fetch_tiny_imagenet(
                folder / "out", per_class=1, archive=None, cache=folder, report=reported.append,
                url="http://127.0.0.1:9/x", sha256=digest, progress=False,
            )  # fmt: skip
        except LurkError:
            return any("damaged" in line for line in reported)
        return False

    return path, detected


def supply(trial: Trial) -> list[Row]:
    """Damage files from other sources, or replace them by hostile pickles."""
    few = max(trial.count // 5, 10)
    parts = [("a", _pinned, few), ("b", _damaged, trial.count), ("c", _pickles, few)]
    rows = []
    for name, work, count in parts:
        folder = trial.folder / name
        folder.mkdir()
        rows.append(work(Trial(folder, count, trial.random)))
    return rows


KIND = Kind("supply", (PINNED, WEIGHTS, PICKLES), supply, long=5000, short=150)
