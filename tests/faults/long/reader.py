"""Damaged files of a store: each reader reports the problem in one line and does not hang."""

from __future__ import annotations

import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import get_args

from tests.faults.long.harness import Kind, Row, Trial
from tests.faults.long.mutation import BYTE_MUTATIONS, JSON_MUTATIONS
from tests.golden.run import EXPECTED
from torchlurk.api.reading import open_store
from torchlurk.comparing.run import ComparisonRequest, compare_stores
from torchlurk.errors import LurkError
from torchlurk.store import inspect, read
from torchlurk.store.activations import ActivationKind
from torchlurk.store.partial import PartialResults
from torchlurk.store.read_comparison import read_comparison, read_comparisons, read_layer_comparison
from torchlurk.store.write import write_index
from torchlurk.web.publish import build_site
from torchlurk.web.snapshot import watch_stores

JSON = "JSON of a store: changed, truncated, nested, duplicate keys"
PICTURE = "pack of pictures of a store: changed, truncated"
COMPARISON = "JSON of a comparison: changed, truncated, nested, duplicate keys"
PIECE = "finished piece of an interrupted run: changed, truncated"
TIMEOUT = 10
"""Seconds after which a reader counts as hanging; a store of 60 kB takes some hundredths of a second."""


class HangError(BaseException):
    """A reader exceeded its time limit."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `HangError` if the body takes longer."""

    def expire(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _inspect(store: Path) -> inspect.StoreReport:
    return inspect.inspect(store, sleep=lambda _: None)


def _serve(store: Path) -> None:
    watch_stores([store]).live()
    watch_stores([store]).index()


def _index(store: Path) -> None:
    write_index(store.parent)
    read.read_index(store.parent)


def _site(store: Path) -> None:
    build_site([store], store.parent.parent / "site")


def _python(store: Path) -> None:
    view = open_store(store)
    for layer in view.manifest.layers:
        for unit in view.layer(layer.name):
            unit._repr_html_()
            for folder in unit.entry.pictures:
                unit.tiles(folder)


def _circuits(store: Path) -> None:
    view = open_store(store)
    for layer in view.manifest.layers:
        for unit in view.layer(layer.name):
            unit.made_of()
            unit.used_by()


def _spectra(store: Path) -> None:
    view = open_store(store)
    for layer in view.manifest.layers:
        for unit in view.layer(layer.name):
            _ = unit.spectrum


def _activations(store: Path) -> None:
    view = open_store(store)
    for layer in view.manifest.layers:
        view.layer(layer.name).images()
        for kind in get_args(ActivationKind):
            view.layer(layer.name).activations(kind).sum()


FOLDERS = {
    "circuits": (_circuits, _serve, _site, _inspect),
    "expanded": (_serve, _site, _inspect),
    "spectrum": (_spectra, _serve, _site, _inspect),
}
"""The readers of the files in folders that have one for each layer."""

READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    "network.json": (read.read_manifest, _serve, _index, _site, _python),
    "images.json": (read.read_images, _serve, _python),
    "classes.json": (read.read_classes, _serve),
    "progress.json": (read.read_progress, _serve),
    "SHA256SUMS": (),
}
"""The readers of each file, in addition to `inspect`, which reads all files."""


def overlong(problems: Iterable[str]) -> list[str]:
    """Return an error for each reported line that is empty or too long."""
    return [f"empty or too long: {line[:200]!r}" for line in problems if not 0 < len(line) <= 1000]


def read_damaged(trial: Trial) -> list[Row]:
    """Repeatedly damage a file of a store, run all its readers and restore it."""
    stores = trial.folder / "stores"
    store = stores / "branching"
    shutil.copytree(EXPECTED / "branching", store)
    good = b'{"format":1,"work":"scan","unit":"image","done":1,"total":9}'
    (store / "progress.json").write_bytes(good)
    files = sorted(p for p in store.rglob("*") if p.is_file() and p.suffix != ".bin")
    packs = sorted(store.rglob("*.bin"))
    layers = {store / layer.data: layer for layer in read.read_manifest(store).layers}
    rows = []
    for fault, paths, mutations, count in (
        (JSON, files, JSON_MUTATIONS, trial.count),
        (PICTURE, packs, BYTE_MUTATIONS, trial.count // 10),
    ):
        wrong: list[str] = []
        tracebacks = reported = 0
        longest = 0.0
        for number in range(count):
            path = trial.random.choice(paths)
            original = path.read_bytes()
            mutate = trial.random.choice(mutations if path.suffix in (".json", ".bin") else BYTE_MUTATIONS)
            bad = mutate(original, trial.random)
            path.write_bytes(bad)
            start = time.monotonic()
            problems: list[str] = []
            readers = [*READERS.get(path.name, ()), _inspect]
            if path.suffix == ".bin":
                readers += [_python, *([_site] if "thumbs" in path.parts else [])]
            readers = [*FOLDERS.get(path.parent.name, readers)]
            if "activations" in path.parts:
                readers.append(_activations)
            if path in layers:
                layer = layers[path]
                readers = [
                    lambda store, layer=layer: read.read_layer(store, layer),
                    _serve,
                    _python,
                    _inspect,
                ]
            try:
                for reader in readers:
                    with time_limit(TIMEOUT), warnings.catch_warnings():
                        warnings.simplefilter("error")
                        try:
                            report = reader(store)
                            problems += getattr(report, "problems", ())
                        except LurkError as problem:
                            problems.append(str(problem))
                for line in overlong(problems):
                    wrong.append(f"{number} {mutate.__name__} of {path.name}: {line}")
            except HangError:
                wrong.append(f"{number} {mutate.__name__} of {path.name}: hangs")
            except Exception as problem:
                tracebacks += 1
                wrong.append(
                    f"{number} {mutate.__name__} of {path.name}: {type(problem).__name__}: {problem}"[:300]
                )
            longest = max(longest, time.monotonic() - start)
            # A digest detects any change of the bytes, and the report names the file.
            digested = path.suffix in (".json", ".bin") and path.name != "progress.json"
            reported += bool(problems)
            if digested and bad != original and not any(path.name in line for line in problems):
                wrong.append(f"{number} {mutate.__name__} of {path.name}: not detected")
            path.write_bytes(original)
        measured = f"longest {longest:.1f} s; {reported:,} reported"
        rows.append(Row(fault, count, count - len(wrong), None, tracebacks, measured, tuple(wrong)))
    few = max(trial.count // 10, 50)
    return [*rows, _comparisons(trial, store, few), _pieces(trial, few)]


def _comparison(store: Path) -> tuple[Path, Callable[[], None]]:
    """Return a comparison of the store with a copy, and a function that reads all of it."""
    other = store.parent / "later"
    shutil.copytree(store, other)
    manifest = (store / "network.json").read_bytes()
    (other / "network.json").write_bytes(manifest.replace(b'"name":"branching"', b'"name":"later"'))
    folder = store.parent / "compared"
    compare_stores(ComparisonRequest(stores=(store, other), out=folder))

    def read_all() -> None:
        read_comparisons(store.parent)
        comparison = read_comparison(folder)
        for layer in comparison.layers:
            read_layer_comparison(folder, comparison, layer)

    return folder, read_all


def _comparisons(trial: Trial, store: Path, count: int) -> Row:
    folder, read_all = _comparison(store)
    paths = [*sorted(folder.rglob("*.json")), store.parent / "comparisons.json"]
    wrong: list[str] = []
    tracebacks = reported = 0
    for number in range(count):
        path = trial.random.choice(paths)
        original = path.read_bytes()
        mutate = trial.random.choice(JSON_MUTATIONS)
        path.write_bytes(mutate(original, trial.random))
        what = f"{number} {mutate.__name__} of {path.name}"
        try:
            with time_limit(TIMEOUT):
                read_all()
        except LurkError as problem:
            reported += 1
            wrong += [f"{what}: {line}" for line in overlong([str(problem)])]
        except HangError:
            wrong.append(f"{what}: hangs")
        except Exception as problem:
            tracebacks += 1
            wrong.append(f"{what}: {type(problem).__name__}: {problem}"[:300])
        path.write_bytes(original)
    measured = f"{reported:,} reported"
    return Row(COMPARISON, count, count - len(wrong), None, tracebacks, measured, tuple(wrong))


def _pieces(trial: Trial, count: int) -> Row:
    """Damage the file of a finished piece: it must not count as finished."""
    pieces = PartialResults(trial.folder / "broken", "scan", "0" * 64)
    content = trial.random.randbytes(2000)
    pieces.write("a", content)
    path, wrong = pieces.folder / "a", []
    original = path.read_bytes()
    for number in range(count):
        mutate = trial.random.choice(BYTE_MUTATIONS)
        bad = mutate(original, trial.random)
        path.write_bytes(bad)
        try:
            if pieces.collect_valid(["a"], lambda _: None) and pieces.read("a") != content:
                wrong.append(f"{number} {mutate.__name__}: accepted as valid")
        except Exception as problem:
            wrong.append(f"{number} {mutate.__name__}: {type(problem).__name__}: {problem}"[:300])
    return Row(PIECE, count, count - len(wrong), None, 0, "", tuple(wrong))


KIND = Kind(
    "reader",
    (JSON, PICTURE, COMPARISON, PIECE),
    read_damaged,
    long=10_000,
    short=300,
)
