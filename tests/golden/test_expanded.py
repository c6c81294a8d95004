"""Expanded weights of whole runs: compared with plain torch, and independent of the order of requests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.golden.network import Branching, golden_network
from tests.golden.run import QUIET, golden_run
from tests.golden.test_golden import files
from torchlurk.errors import LurkError
from torchlurk.pipeline.stages import expanded
from torchlurk.pipeline.wiring import kernel_to_letters
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_manifest
from torchlurk.store.read_circuits import read_circuits, read_expanded
from torchlurk.store.write import write_checksums
from torchlurk.web.publish import build_site

ONLY = ("scan", "circuits")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("expanded") / "branching"
    golden_run(out, stages=ONLY, filters=None)
    return out


def linear_weights(channel: int) -> Tensor:
    """Return the weights of a filter of the head with respect to the stem, `(4, kh, kw)`, by plain torch."""
    model = golden_network().module
    assert isinstance(model, Branching)
    stem = torch.zeros(1, 4, 32, 32, requires_grad=True)
    pooled = F.avg_pool2d(stem, 2)  # linear: for max pooling, and without the ReLUs
    maps = model.head(torch.cat([model.left(pooled), model.right(pooled)], dim=1))
    maps[0, channel, maps.shape[2] // 2, maps.shape[3] // 2].backward()
    assert stem.grad is not None
    rows, columns = (stem.grad[0].abs().sum((0, dim)).nonzero()[:, 0] for dim in (2, 1))
    return stem.grad[0, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_weights_are_those_of_the_linear_network(made: Path) -> None:
    manifest = read_manifest(made)
    assert manifest.expanded == ["head"], "no other layer has a layer two steps upstream"
    file = read_expanded(made, manifest, "head")
    assert [entry.channel for entry in file.filters] == [0, 1, 2, 3, 4]
    (source,) = file.upstream
    assert source.layer == "stem"
    for entry in file.filters:
        weights = linear_weights(entry.channel)
        assert source.kernel == tuple(weights.shape[1:])
        shown = [one.channel for one in entry.kernels]
        assert entry.scale == pytest.approx(float(weights[shown].abs().max()), rel=1e-5)
        for one in entry.kernels:
            expected = kernel_to_letters(weights[one.channel].numpy(), entry.scale)
            steps = [abs(ord(a) - ord(b)) for a, b in zip(one.weights, expected, strict=True)]
            assert max(steps) <= 1, "a weight between two levels may be rounded either way"
            assert sum(steps) <= 2


def test_weights_are_those_of_the_filters_two_steps_upstream(made: Path) -> None:
    manifest = read_manifest(made)
    circuits = {layer.name: read_circuits(made, manifest, layer) for layer in manifest.layers}
    for entry in read_expanded(made, manifest, "head").filters:
        lists = circuits["head"].filters[entry.channel]
        first = sorted([*lists.excited_by, *lists.inhibited_by], key=lambda one: -abs(one.contribution))[:4]
        sides = [circuits[("left", "right")[one.upstream]].filters[one.channel] for one in first]
        expected = {one.channel for side in sides for one in (*side.excited_by, *side.inhibited_by)}
        assert {one.channel for one in entry.kernels} == expected


def test_the_order_of_requests_does_not_matter(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "branching"
    for filters in ((2,), (0, 2), None):
        golden_run(out, stages=ONLY, filters=filters)
        assert inspect(out).problems == ()
    assert files(out) == files(made)
    lines: list[str] = []
    golden_run(out, stages=ONLY, filters=(2,), reporter=replace(QUIET, report=lines.append))
    assert "circuits: complete already" in lines


def test_a_store_without_them_is_read_and_extended(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "branching"
    shutil.copytree(made, out)
    shutil.rmtree(out / "expanded")
    manifest = json.loads((out / "network.json").read_text())
    del manifest["expanded"]
    (out / "network.json").write_text(json.dumps(manifest))
    write_checksums(out)
    assert inspect(out).problems == ()
    build_site([out], tmp_path / "site")
    golden_run(out, stages=ONLY, filters=None)
    assert files(out) == files(made)
    site = build_site([out], tmp_path / "site").out
    assert (site / "saved_model/branching/expanded/head.json").is_file()


def test_a_run_computes_the_first_of_many_selected_filters(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"
    monkeypatch.setattr(expanded, "_MOST_FILTERS", 2)
    golden_run(out, stages=ONLY, filters=None)
    file = read_expanded(out, read_manifest(out), "head")
    assert file.filters == read_expanded(made, read_manifest(made), "head").filters[:2]
    lines: list[str] = []
    golden_run(out, stages=ONLY, filters=None, reporter=replace(QUIET, report=lines.append))
    assert "circuits: complete already" in lines


def test_large_kernels_and_many_layers_are_left_out(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_LARGEST_KERNEL", "_MOST_LAYERS"):
        with monkeypatch.context() as patch:
            patch.setattr(expanded, name, 0)
            out = tmp_path / name / "branching"
            golden_run(out, stages=ONLY)
        file = read_expanded(out, read_manifest(out), "head")
        assert file.upstream == []
        assert [(entry.channel, entry.scale, entry.kernels) for entry in file.filters] == [
            (0, 0, []),
            (1, 0, []),
        ]


@pytest.mark.parametrize(
    ("by", "text"),
    [
        (lambda d: d.update(layer="stem"), "does not have the expanded weights of 'head'"),
        (lambda d: d["upstream"][0].update(layer="no"), "'no' is not a layer"),
        (lambda d: d["filters"].reverse(), "its filters are not those of the layer in their order"),
        (
            lambda d: d["filters"][-1].update(channel=5),
            "its filters are not those of the layer in their order",
        ),
        (lambda d: d["filters"][1]["kernels"][0].__setitem__(0, 1), "filter 1 refers to a filter upstream"),
        (lambda d: d["filters"][1]["kernels"][0].__setitem__(1, 4), "filter 1 refers to a filter upstream"),
        (
            lambda d: d["filters"][2]["kernels"][0].__setitem__(2, "ab"),
            "filter 2 has weights of another size",
        ),
        (lambda d: d["filters"][2]["kernels"][0].__setitem__(2, "r" * 64), "is damaged"),
        (lambda d: d.update(format=3), "format 3"),
    ],
)
def test_a_damaged_file_is_reported(
    made: Path, tmp_path: Path, by: Callable[[dict[str, Any]], object], text: str
) -> None:
    out = tmp_path / "branching"
    shutil.copytree(made, out)
    data = json.loads((out / "expanded/head.json").read_text())
    by(data)
    (out / "expanded/head.json").write_text(json.dumps(data))
    write_checksums(out)
    with pytest.raises(LurkError, match=r"head\.json") as refused:
        read_expanded(out, read_manifest(out), "head")
    assert text in str(refused.value)
    assert any(text in problem for problem in inspect(out).problems)
