"""The files of a store, damaged in all ways: whatever reads them says one line, and soon."""

from __future__ import annotations

import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.faults.long.harness import Kind, Row, Trial
from tests.faults.long.mutation import BYTE_WAYS, JSON_WAYS
from tests.golden.run import EXPECTED
from torchlurk.api.reading import open_store
from torchlurk.comparing.run import ComparisonRequest, compare_stores
from torchlurk.errors import LurkError
from torchlurk.store import inspect, read
from torchlurk.store.partial import PartialResults
from torchlurk.store.read_comparison import read_comparison, read_comparisons, read_layer_comparison
from torchlurk.store.write import write_index
from torchlurk.web.publish import build_site
from torchlurk.web.snapshot import watch_stores

JSON = "JSON of a store: changed, cut, nested, doubled"
PICTURE = "picture of a store: changed, cut"
COMPARED = "JSON of a comparison: changed, cut, nested, doubled"
PIECE = "finished piece of a run that was stopped: changed, cut"
PATIENCE = 10
"""Seconds after which reading is held to hang; on a store of 60 kB it takes some hundredths."""


class Hang(BaseException):
    """Reading does not end."""


@contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """Raise `Hang` in what takes longer."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _inspect(store: Path) -> inspect.StoreReport:
    return inspect.inspect(store, sleep=lambda _: None)


def _see(store: Path) -> None:
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
        for one in view.layer(layer.name):
            one._repr_html_()
            for folder in one.entry.pictures:
                one.tiles(folder)


READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    "network.json": (read.read_manifest, _see, _index, _site, _python),
    "images.json": (read.read_images, _see, _python),
    "classes.json": (read.read_classes, _see),
    "progress.json": (read.read_progress, _see),
    "SHA256SUMS": (),
}
"""What reads a file, beside `inspect`, which reads all."""


def told(problems: Iterable[str]) -> list[str]:
    """What is wrong with lines that a user is to see."""
    return [f"not a line of some length: {line[:200]!r}" for line in problems if not 0 < len(line) <= 1000]


def read_damaged(trial: Trial) -> list[Row]:
    """Damage a file of a store, read it in all ways, and put it back; again and again."""
    stores = trial.folder / "stores"
    store = stores / "branching"
    shutil.copytree(EXPECTED / "branching", store)
    good = b'{"format":1,"work":"scan","unit":"image","done":1,"total":9}'
    (store / "progress.json").write_bytes(good)
    files = sorted(p for p in store.rglob("*") if p.is_file() and p.suffix != ".jpg")
    pictures = sorted(store.rglob("*.jpg"))
    layers = {store / layer.data: layer for layer in read.read_manifest(store).layers}
    rows = []
    for fault, paths, ways, count in (
        (JSON, files, JSON_WAYS, trial.count),
        (PICTURE, pictures, BYTE_WAYS, trial.count // 10),
    ):
        wrong: list[str] = []
        tracebacks = found = 0
        longest = 0.0
        for number in range(count):
            path = trial.random.choice(paths)
            whole = path.read_bytes()
            way = trial.random.choice(ways if path.suffix in (".json", ".jpg") else BYTE_WAYS)
            bad = way(whole, trial.random)
            path.write_bytes(bad)
            begun = time.monotonic()
            problems: list[str] = []
            readers = [*READERS.get(path.name, ()), _inspect]
            if path.suffix == ".jpg":
                readers.append(_python)
            if path in layers:
                layer = layers[path]
                readers = [
                    lambda store, layer=layer: read.read_layer(store, layer),
                    _see,
                    _python,
                    _inspect,
                ]
            try:
                for reader in readers:
                    with in_time(PATIENCE), warnings.catch_warnings():
                        warnings.simplefilter("error")
                        try:
                            report = reader(store)
                            problems += getattr(report, "problems", ())
                        except LurkError as problem:
                            problems.append(str(problem))
                for line in told(problems):
                    wrong.append(f"{number} {way.__name__} of {path.name}: {line}")
            except Hang:
                wrong.append(f"{number} {way.__name__} of {path.name}: hangs")
            except Exception as problem:
                tracebacks += 1
                wrong.append(
                    f"{number} {way.__name__} of {path.name}: {type(problem).__name__}: {problem}"[:300]
                )
            longest = max(longest, time.monotonic() - begun)
            # What is not the same bytes is noticed, and named.
            digested = path.suffix == ".json" and path.name != "progress.json"
            found += bool(problems)
            if digested and bad != whole and not any(path.name in line for line in problems):
                wrong.append(f"{number} {way.__name__} of {path.name}: not noticed")
            path.write_bytes(whole)
        measured = f"longest {longest:.1f} s; {found:,} told of"
        rows.append(Row(fault, count, count - len(wrong), None, tracebacks, measured, tuple(wrong)))
    few = max(trial.count // 10, 50)
    return [*rows, _compared(trial, store, few), _pieces(trial, few)]


def _comparison(store: Path) -> tuple[Path, Callable[[], None]]:
    """A comparison of the store with a copy of it, and what reads all of it."""
    other = store.parent / "later"
    shutil.copytree(store, other)
    manifest = (store / "network.json").read_bytes()
    (other / "network.json").write_bytes(manifest.replace(b'"name":"branching"', b'"name":"later"'))
    folder = store.parent / "compared"
    compare_stores(ComparisonRequest(stores=(store, other), out=folder))

    def everything() -> None:
        read_comparisons(store.parent)
        found = read_comparison(folder)
        for layer in found.layers:
            read_layer_comparison(folder, found, layer)

    return folder, everything


def _compared(trial: Trial, store: Path, count: int) -> Row:
    folder, everything = _comparison(store)
    paths = [*sorted(folder.rglob("*.json")), store.parent / "comparisons.json"]
    wrong: list[str] = []
    tracebacks = told_of = 0
    for number in range(count):
        path = trial.random.choice(paths)
        whole = path.read_bytes()
        way = trial.random.choice(JSON_WAYS)
        path.write_bytes(way(whole, trial.random))
        what = f"{number} {way.__name__} of {path.name}"
        try:
            with in_time(PATIENCE):
                everything()
        except LurkError as problem:
            told_of += 1
            wrong += [f"{what}: {line}" for line in told([str(problem)])]
        except Hang:
            wrong.append(f"{what}: hangs")
        except Exception as problem:
            tracebacks += 1
            wrong.append(f"{what}: {type(problem).__name__}: {problem}"[:300])
        path.write_bytes(whole)
    measured = f"{told_of:,} told of"
    return Row(COMPARED, count, count - len(wrong), None, tracebacks, measured, tuple(wrong))


def _pieces(trial: Trial, count: int) -> Row:
    """Change the file of a finished piece: what is not as it was written does not count."""
    pieces = PartialResults(trial.folder / "broken", "scan", "0" * 64)
    content = trial.random.randbytes(2000)
    pieces.write("a", content)
    path, wrong = pieces.folder / "a", []
    whole = path.read_bytes()
    for number in range(count):
        way = trial.random.choice(BYTE_WAYS)
        bad = way(whole, trial.random)
        path.write_bytes(bad)
        try:
            if pieces.collect_valid(["a"], lambda _: None) and pieces.read("a") != content:
                wrong.append(f"{number} {way.__name__}: taken for whole")
        except Exception as problem:
            wrong.append(f"{number} {way.__name__}: {type(problem).__name__}: {problem}"[:300])
    return Row(PIECE, count, count - len(wrong), None, 0, "", tuple(wrong))


KIND = Kind(
    "reader",
    (JSON, PICTURE, COMPARED, PIECE),
    read_damaged,
    long=10_000,
    short=300,
)
