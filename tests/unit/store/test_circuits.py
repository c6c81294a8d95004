"""Circuits of a store that are missing, damaged or contradict themselves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.golden.run import EXPECTED
from torchlurk.errors import LurkError
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_manifest
from torchlurk.store.read_circuits import read_circuits
from torchlurk.store.write import write_checksums

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    shutil.copytree(EXPECTED / "branching", tmp_path / "branching")
    return tmp_path / "branching"


def change(store: Path, layer: str, by: Change) -> None:
    """Change the circuits of a layer, and write their digest."""
    path = store / f"circuits/{layer}.json"
    data = json.loads(path.read_text())
    by(data)
    path.write_text(json.dumps(data))
    write_checksums(store)


def test_a_store_with_circuits_has_no_problem(store: Path) -> None:
    assert inspect(store).problems == ()


@pytest.mark.parametrize(
    ("by", "text"),
    [
        (lambda d: d.update(layer="stem"), "does not have the circuits of 'head' with its 5 filters"),
        (lambda d: d["filters"].pop(), "does not have the circuits of 'head' with its 5 filters"),
        (lambda d: d["upstream"][0].update(layer="no"), "'no' is not a layer"),
        (lambda d: d["downstream"].append("no"), "'no' is not a layer"),
        (lambda d: d["filters"][1]["sums"].pop(), "filter 1 does not have one sum for each layer upstream"),
        (
            lambda d: d["filters"][2]["excited_by"][0].__setitem__(0, 2),
            "filter 2 refers to a filter upstream",
        ),
        (
            lambda d: d["filters"][2]["inhibited_by"][0].__setitem__(1, 3),
            "filter 2 refers to a filter upstream",
        ),
        (lambda d: d["filters"][0]["used_by"].append([0, 0, 0.5]), "filter 0 refers to a filter downstream"),
        (
            lambda d: d["filters"][0]["excited_by"][0].__setitem__(3, "a"),
            "filter 0 has a kernel of another size",
        ),
        (lambda d: d["filters"][0]["excited_by"][0].__setitem__(3, "r" * 9), "is damaged"),
        (lambda d: d["filters"][0]["excited_by"][0].append(1), "is damaged"),
        (lambda d: d["filters"][0].update(excitation=-1), "is damaged"),
        (lambda d: d["filters"][0].update(score=None), "is damaged"),
        (lambda d: d.update(images="some"), "is damaged"),
        (lambda d: d.update(format=3), "format 3"),
    ],
)
def test_a_damaged_file_is_reported(store: Path, by: Change, text: str) -> None:
    change(store, "head", by)
    manifest = read_manifest(store)
    with pytest.raises(LurkError, match=r"head\.json") as refused:
        read_circuits(store, manifest, manifest.layers[-1])
    assert text in str(refused.value)
    assert any(text in problem for problem in inspect(store).problems)


@pytest.mark.parametrize(
    "by",
    [
        lambda f: f.update(score=f["score"] + 0.01),
        lambda f: f["sums"][0].__setitem__(0, f["sums"][0][0] + 0.01),
        lambda f: f["sums"][1].__setitem__(1, f["sums"][1][1] - 0.01),
        lambda f: f["excited_by"].append(f["inhibited_by"][0]),
        lambda f: f["excited_by"].reverse(),
        lambda f: f["inhibited_by"].append([0, 0, -1e6, ""]),
    ],
)
def test_sums_that_do_not_agree_are_reported(store: Path, by: Change) -> None:
    change(store, "head", lambda data: by(data["filters"][3]))
    (problem,) = inspect(store).problems
    assert problem.endswith("head.json' has sums that do not agree, of 1 filters (first of filter 3)")


def test_layers_that_do_not_name_each_other_are_reported(store: Path) -> None:
    def forget(data: dict[str, Any]) -> None:
        data["downstream"].pop()
        for entry in data["filters"]:
            entry["used_by"] = []

    change(store, "left", forget)
    (problem,) = inspect(store).problems
    assert "left.json' names other layers downstream than those that name 'left' upstream" in problem


def test_a_missing_file_is_reported_if_the_stage_is_complete(store: Path) -> None:
    (store / "circuits/stem.json").unlink()
    assert any("stem.json" in problem for problem in inspect(store).problems)
    path = store / "network.json"
    manifest = json.loads(path.read_text())
    manifest["stages"]["circuits"]["complete"] = False
    path.write_text(json.dumps(manifest))
    write_checksums(store)
    assert inspect(store).problems == ()
