"""Tests of interrupted runs: after a resume, the store is that of an uninterrupted run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from tests.golden.run import QUIET, golden_run
from tests.golden.test_golden import files
from torchlurk.errors import LurkError, Terminated
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.inspect import inspect
from torchlurk.store.partial import PARTIAL, count_partial_results
from torchlurk.store.read import read_manifest

STOPS = 14

Whole = tuple[dict[str, bytes], list[str]]


@contextmanager
def stopped_at(number: int, patch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Interrupt at the file of this number, and list the files before; each is written by a rename."""
    written: list[Path] = []
    replace = Path.replace

    def counted(path: Path, target: Path) -> Path:
        if len(written) == number:
            raise Terminated
        written.append(target)
        return replace(path, target)

    with patch.context() as inner:
        inner.setattr(Path, "replace", counted)
        yield written


def run(out: Path, **more: object) -> None:
    golden_run(out, shard_size=2, batch_size=2, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The store of an uninterrupted run, and the files in the order in which they were written."""
    root = tmp_path_factory.mktemp("whole")
    with stopped_at(-1, pytest.MonkeyPatch()) as written:
        run(root / "branching")
    return files(root), [path.relative_to(root).as_posix() for path in written]


def third_shard(whole: Whole) -> int:
    """Return the number of the file that holds the third shard of the scan."""
    return [at for at, path in enumerate(whole[1]) if f"{PARTIAL}/scan/" in path][2]


def test_a_run_resumes_after_an_interruption_at_any_file(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken, count = whole[0], len(whole[1])
    rng = random.Random(4)
    for trial, first in enumerate(sorted(rng.sample(range(count), STOPS))):
        root = tmp_path / str(trial)
        at = first
        while True:
            with stopped_at(at, monkeypatch) as written:
                try:
                    run(root / "branching")
                    break
                except Terminated:
                    pass
            assert not list(root.rglob("*.part")), first
            # A second interruption soon after, which hits the code that resumes.
            at = rng.randrange(1, 9) if at == first and len(written) == first else count
        assert files(root) == unbroken, f"stopped at writing {first} of {count}"


def test_finished_shards_are_not_computed_again(
    tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"
    said: list[str] = []
    told: list[tuple[str, int]] = []

    def bar(label: str, total: int, unit: str) -> nullcontext[object]:
        return nullcontext(lambda n: told.append((label, n)))

    reporter = Reporter(said.append, bar)  # type: ignore[arg-type]
    with stopped_at(third_shard(whole), monkeypatch) as written, pytest.raises(Terminated):
        run(out, reporter=reporter)
    assert (
        count_partial_results(out) == {"scan": sum(PARTIAL in str(path) for path in written)} == {"scan": 2}
    )
    assert "2 of scan" in said[-1]
    assert "same command" in said[-1]
    told.clear()
    run(out, reporter=reporter)
    assert next(n for label, n in told if label == "scan") == 4  # from the first run, in one step
    assert files(tmp_path) == whole[0]


@pytest.mark.parametrize("damage", ["byte", "half", "empty", "other"])
def test_a_damaged_shard_is_computed_again(
    damage: str, whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"
    with stopped_at(third_shard(whole), monkeypatch), pytest.raises(Terminated):
        run(out)
    piece, other = sorted((out / PARTIAL / "scan").iterdir())
    data = piece.read_bytes()
    spoilt = {
        "byte": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        "half": data[: len(data) // 2],
        "empty": b"",
        "other": other.read_bytes(),
    }
    piece.write_bytes(spoilt[damage])
    said: list[str] = []
    run(out, reporter=replace(QUIET, report=said.append))
    assert len(said) == 1
    assert str(piece) in said[0]
    assert "computes it anew" in said[0]
    assert files(tmp_path) == whole[0]


def test_a_run_with_other_options_does_not_resume(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"
    with stopped_at(third_shard(whole), monkeypatch), pytest.raises(Terminated):
        run(out)
    before = files(tmp_path)
    with pytest.raises(LurkError, match=r"other scan options .*shard_size.* set overwrite=True"):
        golden_run(out, shard_size=3)
    assert files(tmp_path) == before
    golden_run(out, shard_size=3, overwrite=True)
    assert not (out / PARTIAL).exists()


def test_a_reader_sees_a_consistent_store_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"
    golden_run(out, filters=1)
    replace, seen = Path.replace, []

    def looked_at(path: Path, target: Path) -> Path:
        found = replace(path, target)
        # The digest is written after the file, and a reader waits for it.
        report = inspect(out, sleep=lambda _: None)
        problems = [p for p in report.problems if "SHA256SUMS" not in p]
        seen.append((target.name, problems, read_manifest(out).stages.scan.complete))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", looked_at)
        golden_run(out, filters=3)
    assert len(seen) > 50
    assert [one for one in seen if one[1] or not one[2]] == []


@pytest.mark.parametrize("name", ["classes.json", "network.json"])
def test_a_missing_checksum_is_written_by_the_next_run(
    name: str, whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = [at for at, path in enumerate(whole[1]) if path.endswith(f"branching/{name}")][-1]
    with stopped_at(last + 1, monkeypatch), pytest.raises(Terminated):
        run(tmp_path / "branching")
    run(tmp_path / "branching")
    assert files(tmp_path) == whole[0]
