"""Circuits of whole runs: their numbers by plain torch, interrupted runs, older stores, and odd networks."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.golden.network import Branching, golden_network, write_images
from tests.golden.run import QUIET, golden_run
from tests.golden.test_golden import files
from tests.golden.test_resume import stopped_at
from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.image_folder import list_images
from torchlurk.errors import LurkError, Terminated
from torchlurk.pipeline.stages import circuits
from torchlurk.store.inspect import inspect
from torchlurk.store.partial import PARTIAL
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.read_circuits import read_circuits
from torchlurk.store.schema import CircuitFile, CircuitImages
from torchlurk.web.publish import build_site

ONLY = ("scan", "circuits")

UPSTREAM = {"stem": [], "left": ["stem"], "right": ["stem"], "head": ["left", "right"]}


@pytest.fixture(scope="module", params=["top", "all"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("circuits") / request.param / "branching"
    golden_run(out, stages=ONLY, circuits=request.param)
    return out


def read(store: Path) -> dict[str, CircuitFile]:
    manifest = read_manifest(store)
    return {layer.name: read_circuits(store, manifest, layer) for layer in manifest.layers}


def cut_outputs(model: Branching, x: Tensor) -> dict[str, tuple[Tensor, list[Tensor]]]:
    """Return the maps of each layer, and the leaves that they depend on."""
    stem = model.stem(x).detach().requires_grad_()
    pooled = model.pool(F.relu(stem))
    sides = [model.left(pooled), model.right(pooled)]
    cut = [side.detach().requires_grad_() for side in sides]
    head = model.head(F.relu(torch.cat(cut, dim=1)))
    return {
        "stem": (model.stem(x), []),
        "left": (sides[0], [stem]),
        "right": (sides[1], [stem]),
        "head": (head, cut),
    }


def units_of(store: Path, images: CircuitImages, layer: str, maps: Tensor) -> list[list[tuple[int, ...]]]:
    """Return for each filter its units `(image, row, column)`."""
    if images == "all":
        best = maps.flatten(2).argmax(2)
        return [
            [(n, *divmod(int(best[n, c]), maps.shape[3])) for n in range(len(maps))]
            for c in range(maps.shape[1])
        ]
    record = next(record for record in read_manifest(store).layers if record.name == layer)
    return [[(e.image, *e.position) for e in entry.max] for entry in read_layer(store, record).filters]


def test_sums_and_lists_are_those_of_a_plain_backward(made: Path, tmp_path: Path) -> None:
    network = golden_network()
    write_images(tmp_path / "waves")
    images = list_images(tmp_path / "waves")
    readable = [at for at, path in enumerate(images.paths) if "broken" not in path]
    x = torch.zeros(len(images.paths), 3, 32, 32)
    x[readable] = network.preprocess.to_input(load_pixels(images, network.preprocess, readable))
    assert isinstance(network.module, Branching)
    for name, (maps, leaves) in cut_outputs(network.module, x).items():
        file = read(made)[name]
        assert [one.layer for one in file.upstream] == UPSTREAM[name]
        units = units_of(made, file.images, name, maps)
        for channel, entry in enumerate(file.filters):
            own = [unit for unit in units[channel] if unit[0] in readable]
            scores = [maps[n, channel, y, x_] for n, y, x_ in own]
            assert entry.score == pytest.approx(float(sum(scores).detach()) / len(own), rel=1e-5)
            if not leaves:
                assert (entry.excitation, entry.inhibition, entry.rest) == (0, 0, entry.score)
                continue
            gradients = torch.autograd.grad(sum(scores), leaves, retain_graph=True)
            pairs = zip(gradients, leaves, strict=True)
            parts = [(g * v.detach()).sum((0, 2, 3)) / len(own) for g, v in pairs]
            expected = {(u, p): float(c) for u, part in enumerate(parts) for p, c in enumerate(part)}
            for sums, part in zip(entry.sums, parts, strict=True):
                assert sums == pytest.approx(
                    (float(part.clamp(min=0).sum()), float(part.clamp(max=0).sum())), rel=1e-4
                )
            lists = [*entry.excited_by, *entry.inhibited_by]
            found = {(one.upstream, one.channel): one.contribution for one in lists}
            assert found == pytest.approx({key: c for key, c in expected.items() if key in found}, rel=6e-4)
            # No list is full, so what is missing contributes nothing.
            assert all(abs(c) < 1e-6 for key, c in expected.items() if key not in found)
            bias = network.module.state_dict()[f"{name}.bias"][channel]
            assert entry.rest == pytest.approx(float(bias), abs=1e-4)


def test_uses_are_the_shares_of_the_filters_downstream(made: Path) -> None:
    found = read(made)
    for name, file in found.items():
        expected: dict[int, list[tuple[int, int, float]]] = {}
        for d, below in enumerate(file.downstream):
            position = [one.layer for one in found[below].upstream].index(name)
            for channel, entry in enumerate(found[below].filters):
                for one in (*entry.excited_by, *entry.inhibited_by):
                    if one.upstream == position:
                        share = one.contribution / (entry.excitation - entry.inhibition)
                        expected.setdefault(one.channel, []).append((d, channel, share))
        for channel, entry in enumerate(file.filters):
            rows = sorted(expected.get(channel, []), key=lambda row: -abs(row[2]))
            assert [(u.downstream, u.channel) for u in entry.used_by] == [row[:2] for row in rows]
            assert [u.share for u in entry.used_by] == pytest.approx([row[2] for row in rows], rel=6e-3)


def test_circuits_are_complete_whatever_filters_are_selected(made: Path, tmp_path: Path) -> None:
    assert inspect(made).problems == ()
    assert read_manifest(made).stages.circuits.config == {"images": made.parent.name}
    assert read_manifest(made).stages.circuits.made == {}
    images: CircuitImages = read(made)["stem"].images
    golden_run(tmp_path / "branching", stages=ONLY, circuits=images, filters=(1,), layers=("head",))
    assert files(tmp_path / "branching/circuits") == files(made / "circuits")


@pytest.mark.parametrize("images", ["top", "all"])
def test_an_interruption_at_any_file_changes_nothing(
    images: CircuitImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path) -> None:
        golden_run(out, stages=("circuits",), circuits=images, shard_size=2, batch_size=2)

    scanned = tmp_path / "scanned/branching"
    golden_run(scanned, stages=("scan",), shard_size=2, batch_size=2)
    shutil.copytree(scanned, tmp_path / "whole/branching")
    with stopped_at(-1, monkeypatch) as written:
        run(tmp_path / "whole/branching")
    pieces = [path for path in written if f"{PARTIAL}/circuits" in str(path)]
    assert len(pieces) >= 3
    for at in random.Random(2).sample(range(len(written)), 6):
        store = tmp_path / str(at) / "branching"
        shutil.copytree(scanned, store)
        with stopped_at(at, monkeypatch), pytest.raises(Terminated):
            run(store)
        run(store)
        assert files(store) == files(tmp_path / "whole/branching"), f"stopped at writing {written[at]}"


def test_other_images_are_refused_without_overwrite(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"
    shutil.copytree(made, out)
    before = files(out)
    other: CircuitImages = "all" if made.parent.name == "top" else "top"
    with pytest.raises(LurkError, match=rf"the circuits in .* images={made.parent.name}; ") as refused:
        golden_run(out, stages=ONLY, circuits=other)
    assert "--stages circuits --overwrite" in refused.value.for_command_line()
    assert files(out) == before
    with stopped_at(2, monkeypatch), pytest.raises(Terminated):
        golden_run(out, stages=("circuits",), circuits=other, overwrite=True)
    golden_run(out, stages=("circuits",), circuits=other, overwrite=True)
    assert {file.images for file in read(out).values()} == {other}
    golden_run(tmp_path / "new/branching", stages=ONLY, circuits=other)
    assert files(out) == files(tmp_path / "new/branching")


def test_circuits_that_exist_are_not_computed_again(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"
    shutil.copytree(made, out)
    lines: list[str] = []
    images: CircuitImages = read(made)["stem"].images
    golden_run(out, stages=ONLY, circuits=images, reporter=replace(QUIET, report=lines.append))
    assert "circuits: complete already" in lines
    (out / "circuits/left.json").unlink()
    golden_run(out, stages=ONLY, circuits=images)
    assert files(out) == files(made)


def without_circuits(store: Path) -> None:
    """Make a store what an earlier version has written."""
    for folder in ("circuits", "expanded"):
        shutil.rmtree(store / folder, ignore_errors=True)
    path = store / "network.json"
    manifest = json.loads(path.read_text())
    del manifest["stages"]["circuits"], manifest["expanded"]
    path.write_text(json.dumps(manifest))


def test_an_older_store_is_read_and_extended(tmp_path: Path) -> None:
    old, new = tmp_path / "old/branching", tmp_path / "new/branching"
    golden_run(old, stages=("scan", "gradients", "ascent"))
    without_circuits(old)
    assert not read_manifest(old).stages.circuits.complete
    assert [problem for problem in inspect(old).problems if "SHA256SUMS" not in problem] == []
    site = build_site([old], tmp_path / "site").out
    assert not (site / "saved_model/branching/circuits").exists()
    golden_run(old)
    golden_run(new)
    assert files(old) == files(new)
    site = build_site([old], tmp_path / "site").out
    assert len(list((site / "saved_model/branching/circuits").iterdir())) == 4


def test_shards_of_an_earlier_version_are_still_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"

    def run(report: Callable[[str], None]) -> None:
        golden_run(out, stages=("scan",), shard_size=2, batch_size=2, reporter=replace(QUIET, report=report))

    with stopped_at(-1, monkeypatch) as written:
        run(lambda line: None)
    third = [at for at, path in enumerate(written) if f"{PARTIAL}/scan" in str(path)][2]
    shutil.rmtree(out)
    with stopped_at(third, monkeypatch), pytest.raises(Terminated):
        run(lambda line: None)
    without_circuits(out)
    lines: list[str] = []
    run(lines.append)
    assert lines == []


class Apart(nn.Module):
    """Two layers that are not connected, and a third behind a root whose gradient is not finite at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3)
        self.second = nn.Conv2d(3, 2, 3)
        self.root = nn.Conv2d(4, 2, 1)
        self.root.weight.data.fill_(-1)  # so that the strongest units are those of zeros

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.first(x), self.second(x)], dim=1)
        return self.root((both * (both > 0)).sqrt())


def test_layers_without_connection_and_gradients_without_value(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = replace(golden_network(), module=Apart().eval())
    lines: list[str] = []
    out = tmp_path / "apart"
    golden_run(out, stages=ONLY, network=network, reporter=replace(QUIET, report=lines.append))
    found = read(out)
    assert [one.layer for one in found["root"].upstream] == ["first", "second"]
    for name in ("first", "second"):
        assert (found[name].upstream, found[name].downstream) == ([], ["root"])
        assert all(entry.rest == entry.score for entry in found[name].filters)
    assert any("contributions are NaN or infinite: " in line for line in lines)
    assert inspect(out).problems == ()


def test_sums_of_few_layers_at_once_give_the_same_files(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuits, "_SUMS_IN_MEMORY", 1)
    golden_run(tmp_path / "branching", stages=ONLY, circuits=read(made)["stem"].images)
    assert files(tmp_path / "branching") == files(made)
