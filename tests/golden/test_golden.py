"""Tests of an input folder against the whole expected output folder."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.golden.run import EXPECTED, QUIET, golden_run
from tests.stored import places, unpacked
from torchlurk.errors import LurkError
from torchlurk.pipeline.encoding import EncodedFilter
from torchlurk.pipeline.stages.block_results import write_block
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.inspect import inspect
from torchlurk.store.partial import PartialResults
from torchlurk.store.read import read_layer, read_manifest, read_progress
from torchlurk.store.schema import LayerFile, LayerRecord
from torchlurk.store.write import exclusive_lock


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved_model")
    golden_run(folder / "branching")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def names(folder: Path) -> list[str]:
    """Return the names of all files, without the digests in those of packs: pixels differ by rounding."""
    return sorted(re.sub(r"\.[0-9a-f]{12}\.bin$", ".bin", name) for name in files(folder))


def same(a: Any, b: Any) -> bool:
    """Return whether two JSON values are equal up to the rounding differences of processors."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(
            # packs have the lengths and digests of pictures; certificates are rounding noise themselves
            max(a[k] or 0, b[k] or 0) < 1e-4 if k == "certificate" else same(a[k], b[k])
            for k in a
            if k != "packs"
        )
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return bool(np.isclose(a, b, rtol=1e-4, atol=1e-6))
    return bool(a == b)


def test_the_files_are_the_expected_ones(made: Path) -> None:
    assert names(made) == names(EXPECTED)


def test_json_files_have_the_expected_content(made: Path) -> None:
    expected = files(EXPECTED)
    for name, data in files(made).items():
        if name.endswith(".json"):
            assert same(json.loads(data), json.loads(expected[name])), name


def test_pictures_have_the_expected_content(made: Path) -> None:
    found, expected = unpacked(made / "branching"), unpacked(EXPECTED / "branching")
    assert found.keys() == expected.keys()
    for name, data in expected.items():
        with Image.open(io.BytesIO(data)) as a, Image.open(io.BytesIO(found[name])) as b:
            difference = np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int))
        assert difference.mean() < 1, name


def test_no_file_contains_the_path_of_the_store(made: Path) -> None:
    for name, data in files(made).items():
        if not name.endswith(".bin"):
            assert str(made).encode() not in data, name


def test_the_store_is_complete(made: Path) -> None:
    report = inspect(made / "branching")
    assert report.problems == ()
    assert report.filters == report.full == 15
    assert report.pictures == {
        "cropped": 15, "max_grads": 8, "cropped_grad": 8, "avg_grads": 8, "max_activ": 8,
    }  # fmt: skip
    assert report.manifest.edges == [
        ("stem", "left"), ("stem", "right"), ("left", "head"), ("right", "head"),
    ]  # fmt: skip


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_equal_runs_give_equal_bytes(made: Path, tmp_path: Path, workers: int) -> None:
    golden_run(tmp_path / "branching", workers=workers)
    assert files(tmp_path) == files(made)


def test_stages_run_later_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    golden_run(tmp_path / "branching", filters=1)
    golden_run(tmp_path / "branching", filters=2)
    assert files(tmp_path) == files(made)


def test_results_of_other_options_are_kept_without_overwrite(tmp_path: Path) -> None:
    golden_run(tmp_path / "a/branching", filters=1, method="guided")
    before = files(tmp_path)
    with pytest.raises(LurkError, match=r"method=guided; .* set overwrite=True") as caught:
        golden_run(tmp_path / "a/branching", filters=1)
    assert "--stages gradients --overwrite" in caught.value.for_command_line()
    assert files(tmp_path) == before
    golden_run(tmp_path / "a/branching", filters=1, stages=("gradients",), overwrite=True)
    golden_run(tmp_path / "b/branching", filters=1)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_overwriting_one_stage_keeps_the_others(tmp_path: Path) -> None:
    golden_run(tmp_path / "branching", filters=2, method="guided")
    golden_run(tmp_path / "branching", filters=1, stages=("gradients",), overwrite=True)
    stages = read_manifest(tmp_path / "branching").stages
    assert set(map(str, stages.gradients.made.values())) == {"[(0, 1)]"}
    assert set(map(str, stages.ascent.made.values())) == {"[(0, 2)]"}
    assert inspect(tmp_path / "branching").problems == ()
    left = unpacked(tmp_path / "branching")
    assert {"max_grads/stem/0.jpg", "max_activ/stem/1.jpg", "thumbs/gradient/stem/0.jpg"} <= left.keys()
    assert not {"max_grads/stem/1.jpg", "thumbs/gradient/stem/1.jpg"} & left.keys()


@pytest.mark.parametrize(
    "requests",
    [
        [{"filters": 1}, {"filters": 5}],
        [{"filters": (4,), "layers": ("head",)}, {"filters": (1, 2)}, {"filters": None}],
        [{"layers": ("ri*",)}, {"filters": (2, 0), "layers": ("stem", "left")}, {}, {"filters": None}],
    ],
)
def test_a_store_that_grew_has_the_bytes_of_one_run(tmp_path: Path, requests: list[dict[str, Any]]) -> None:
    for request in requests:
        golden_run(tmp_path / "a/branching", **request)
        assert inspect(tmp_path / "a/branching").problems == ()
    golden_run(tmp_path / "b/branching", filters=5)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_run_computes_only_what_is_missing(tmp_path: Path) -> None:
    golden_run(tmp_path / "branching", filters=(1,), layers=("head",))
    before = unpacked(tmp_path / "branching")
    bars: list[tuple[str, int]] = []

    def bar(label: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], object]]:
        bars.append((label, total))
        return QUIET.bar(label, total, unit)

    golden_run(tmp_path / "branching", filters=3, reporter=replace(QUIET, bar=bar))
    after = unpacked(tmp_path / "branching")
    assert before == {name: after[name] for name in before}
    assert bars == [("expanded weights", 2), ("max gradients", 11), ("avg gradients", 11), ("ascent", 11)]
    assert read_manifest(tmp_path / "branching").stages.ascent.made["head"] == [(0, 3)]


def test_an_interrupted_run_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_block

    def stopped(partial: PartialResults, piece: str, results: Sequence[EncodedFilter]) -> None:
        if partial.work == "ascent" and piece.startswith("right/"):
            raise KeyboardInterrupt
        written(partial, piece, results)

    with monkeypatch.context() as patch:
        patch.setattr("torchlurk.pipeline.stages.blocks.write_block", stopped)
        with pytest.raises(KeyboardInterrupt):
            golden_run(tmp_path / "a/branching")
    assert not read_manifest(tmp_path / "a/branching").stages.ascent.complete
    done = places(tmp_path / "a/branching")["max_activ/stem/0.jpg"].path
    before = done.stat().st_mtime_ns
    golden_run(tmp_path / "a/branching")
    assert done.stat().st_mtime_ns == before
    golden_run(tmp_path / "b/branching")
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"layers": ("haed",)}, ["haed", "head"]),
        ({"layers": ("kind:Conv3d",)}, ["kind:Conv3d", "kind:Conv2d"]),
        ({"filters": (9,)}, ["stem", "9", "0 to 3"]),
    ],
)
def test_unknown_layers_and_filters_are_refused_before_anything_is_deleted(
    tmp_path: Path, request_: dict[str, Any], words: list[str]
) -> None:
    golden_run(tmp_path / "branching", filters=1)
    before = files(tmp_path)
    with pytest.raises(LurkError) as refused:
        golden_run(tmp_path / "branching", method="guided", **request_)
    assert all(word in str(refused.value) for word in words), refused.value
    assert files(tmp_path) == before


def test_a_folder_is_written_by_one_run_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "branching").mkdir()
    with exclusive_lock(tmp_path / "branching"), pytest.raises(LurkError, match="another run"):
        golden_run(tmp_path / "branching")
    golden_run(tmp_path / "branching", filters=1)


def test_the_batch_size_affects_the_last_digits_only(made: Path, tmp_path: Path) -> None:
    golden_run(tmp_path / "branching", batch_size=1)
    for name, data in files(made).items():
        if name.startswith("branching/layers/"):
            theirs = json.loads(files(tmp_path)[name])
            for one, other in zip(json.loads(data)["filters"], theirs["filters"], strict=True):
                for kind in ("max", "avg"):
                    assert [e["image"] for e in one[kind]] == [e["image"] for e in other[kind]]
                    scores = [[e["score"] for e in f[kind]] for f in (one, other)]
                    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name", ["layers/head.json", "images.json", "classes.json", "network.json", "SHA256SUMS"]
)
def test_inspect_finds_a_changed_byte(tmp_path: Path, name: str) -> None:
    golden_run(tmp_path / "branching")
    path = tmp_path / "branching" / name
    data = bytearray(path.read_bytes())
    # The last digit is never that of the format: the JSON stays valid, with another value.
    digit = max(i for i, byte in enumerate(data) if byte in b"123456")
    data[digit] += 1
    path.write_bytes(data)
    assert any(name in problem for problem in inspect(tmp_path / "branching").problems)


@pytest.mark.parametrize(
    "name",
    [
        "images/0.jpg",
        "cropped/stem/3.jpg",
        "max_grads/head/0.jpg",
        "max_activ/left/1.jpg",
        "thumbs/cropped/right/2.jpg",
        "layers/stem.json",
    ],
)
def test_inspect_finds_missing_and_damaged_files(tmp_path: Path, name: str) -> None:
    golden_run(tmp_path / "branching")
    path = tmp_path / "branching" / name
    if name.endswith(".jpg"):
        place = places(tmp_path / "branching")[name]
        path = place.path
        place.spoil()
        problems = inspect(tmp_path / "branching").problems
        assert len(problems) == 2
        assert any(f"{str(path)!r} is not what was written" in problem for problem in problems)
        kind, item = Path(name).parts[-3 if "images" not in name else -2], Path(name).stem
        what = f"image {item}" if kind == "images" else f"{kind} of filter {item}"
        assert any(f"{what} in {str(path)!r} does not decode" in problem for problem in problems)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert any(path.name in p for p in inspect(tmp_path / "branching").problems)
    path.unlink()
    assert any(path.name in p for p in inspect(tmp_path / "branching").problems)


def test_inspect_finds_pictures_that_filters_and_packs_do_not_agree_on(tmp_path: Path) -> None:
    golden_run(tmp_path / "branching")
    path = tmp_path / "branching/layers/stem.json"
    data = json.loads(path.read_text())
    data["filters"][0]["pictures"].remove("max_activ")
    data["filters"][3]["pictures"].append("max_activ")
    path.write_text(json.dumps(data))
    problems = [p for p in inspect(tmp_path / "branching").problems if "SHA256SUMS" not in p]
    assert problems == [
        "max_activ of filter 3 of 'stem' is listed, and no pack has it",
        "a pack has max_activ of filter 0 of 'stem', which is not listed",
    ]


def test_inspect_reads_a_layer_again_that_a_run_has_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "branching"
    golden_run(store, filters=1)
    read: list[str] = []

    def grown_meanwhile(folder: Path, layer: LayerRecord) -> LayerFile:
        file = read_layer(folder, layer)
        read.append(layer.name)
        if len(read) == 1:
            golden_run(store)
        return file

    monkeypatch.setattr("torchlurk.store.inspect.read_layer", grown_meanwhile)
    report = inspect(store, sleep=lambda _: None)
    assert report.problems == ()
    assert report.pictures["max_activ"] == 8
    assert read == ["stem", "stem", "stem", "left", "right", "head"]


def test_progress_is_written_while_a_run_is_active(tmp_path: Path) -> None:
    out = tmp_path / "branching"
    told: list[tuple[str, int]] = []

    @contextmanager
    def bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        def advance(n: int) -> None:
            progress = read_progress(out)
            assert progress is not None
            assert progress.total == total
            told.append((progress.work, progress.done))

        yield advance

    golden_run(out, reporter=Reporter(report=lambda line: None, bar=bar))
    assert list(dict.fromkeys(work for work, _ in told)) == [
        "scan", "crops", "images", "circuits", "expanded weights", "max gradients", "avg gradients",
        "ascent",
    ]  # fmt: skip
    assert read_progress(out) is None
    assert names(out) == names(EXPECTED / "branching")
