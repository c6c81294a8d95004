"""Activations of all images: compared with plain torch, and independent of shards and interruptions."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.golden.network import Branching, golden_network, write_images
from tests.golden.run import QUIET, golden_run
from tests.golden.test_golden import files
from tests.golden.test_resume import stopped_at
from torchlurk import open_store
from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.image_folder import list_images
from torchlurk.errors import LurkError, Terminated
from torchlurk.pipeline.config import KeepActivations
from torchlurk.pipeline.stages import activations
from torchlurk.store.activations import ActivationKind, activation_bytes, position_type, read_array
from torchlurk.store.inspect import inspect
from torchlurk.store.partial import PARTIAL
from torchlurk.store.read import read_manifest
from torchlurk.web.publish import build_site

KINDS: tuple[ActivationKind, ...] = get_args(ActivationKind)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("activations") / "branching"
    golden_run(out, stages=("scan",), shard_size=2, batch_size=2)
    return out


def test_they_are_those_of_plain_torch(made: Path, tmp_path: Path) -> None:
    network = golden_network()
    assert isinstance(network.module, Branching)
    write_images(tmp_path / "waves")
    images = list_images(tmp_path / "waves")
    view = open_store(made)
    for layer in view.manifest.layers:
        arrays = {kind: view.layer(layer.name).activations(kind) for kind in KINDS}
        assert [row.path for row in view.layer(layer.name).images()] == list(images.paths)
        labels = [images.classes[label] for label in images.labels]
        assert [row.label for row in view.layer(layer.name).images()] == labels
        assert arrays["position"].dtype == position_type(layer.shape)
        for row, path in enumerate(images.paths):
            if "broken" in path:
                assert all(np.isnan(arrays[kind][row]).all() for kind in ("max", "mean"))
                assert (arrays["position"][row] == 0).all()
                continue
            x = network.preprocess.to_input(load_pixels(images, network.preprocess, [row]))
            with torch.no_grad():
                maps = outputs(network.module, x)[layer.name][0]
            np.testing.assert_allclose(arrays["max"][row], maps.amax((1, 2)), rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(arrays["mean"][row], maps.mean((1, 2)), rtol=1e-5, atol=1e-6)
            at_position = maps.flatten(1)[range(layer.channels), arrays["position"][row].astype(int)]
            np.testing.assert_allclose(at_position, maps.amax((1, 2)), rtol=1e-5, atol=1e-6)


def outputs(model: Branching, x: torch.Tensor) -> dict[str, torch.Tensor]:
    stem = model.stem(x)
    pooled = model.pool(F.relu(stem))
    left, right = model.left(pooled), model.right(pooled)
    head = model.head(F.relu(torch.cat([left, right], dim=1)))
    return {"stem": stem, "left": left, "right": right, "head": head}


def test_the_top_lists_are_the_largest_of_them(made: Path) -> None:
    for layer in read_manifest(made).layers:
        view = open_store(made).layer(layer.name)
        maxima, positions = view.activations("max"), view.activations("position")
        for entry in view:
            column = np.nan_to_num(maxima[:, entry.channel], nan=-np.inf)
            order = np.argsort(-column, kind="stable")[:3]
            found = view.data.filters[entry.channel].max
            assert [e.image for e in found] == order.tolist()
            width = layer.shape[2]
            assert [e.position for e in found] == [
                divmod(int(positions[i, entry.channel]), width) for i in order
            ]


def test_shards_and_batches_do_not_matter(made: Path, tmp_path: Path) -> None:
    golden_run(tmp_path / "branching", stages=("scan",), shard_size=3, batch_size=2)
    for layer in read_manifest(made).layers:
        for kind in KINDS:
            found, expected = (read_array(store, layer, kind) for store in (tmp_path / "branching", made))
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_an_interruption_at_any_file_changes_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path) -> None:
        golden_run(out, stages=("scan",), shard_size=2, batch_size=2)

    with stopped_at(-1, monkeypatch) as written:
        run(tmp_path / "whole/branching")
    assert files(tmp_path / "whole/branching") == files(made)
    assert any("activations" in str(path) for path in written)
    for at in random.Random(1).sample(range(len(written)), 5):
        store = tmp_path / str(at) / "branching"
        with stopped_at(at, monkeypatch), pytest.raises(Terminated):
            run(store)
        run(store)
        assert files(store) == files(made), f"stopped at writing {written[at]}"


def test_they_are_kept_on_request(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "branching"
    lines: list[str] = []

    def run(choice: KeepActivations) -> None:
        reporter = replace(QUIET, report=lines.append)
        golden_run(
            out, stages=("scan",), shard_size=2, batch_size=2, keep_activations=choice, reporter=reporter
        )

    monkeypatch.setattr(activations, "_AUTOMATIC_BYTES", 100)
    run("auto")
    assert not (out / "activations").exists()
    assert not read_manifest(out).activations
    with pytest.raises(LurkError, match="has no activations of all images"):
        open_store(out).layer("stem").activations()
    run("yes")
    assert files(out) == files(made)
    run("no")
    assert "scan: complete already" in lines
    assert files(out) == files(made)


def test_their_size_is_known_before(made: Path) -> None:
    shapes = [layer.shape for layer in read_manifest(made).layers]
    rows = len(open_store(made).layer("stem").images())
    arrays = [path.stat().st_size - 128 for path in (made / "activations").glob("*/*.npy")]
    assert activation_bytes(shapes, rows) == sum(arrays)


def test_they_are_no_part_of_a_site(made: Path, tmp_path: Path) -> None:
    site = build_site([made], tmp_path / "site").out
    assert not list(site.rglob("*.npy"))
    assert not list(site.rglob("images.jsonl"))


def set_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda a: shutil.rmtree(a), "cannot read"),
        (lambda a: (a / "head/mean.npy").unlink(), "mean.npy' (No such file"),
        (lambda a: (a / "head/mean.npy").write_bytes(b"no array"), "mean.npy' ("),
        (lambda a: np.save(a / "head/max.npy", np.zeros((7, 4), np.float32)), "not float32 with 5 columns"),
        (lambda a: np.save(a / "head/max.npy", np.zeros((7, 5))), "not float32 with 5 columns"),
        (lambda a: np.save(a / "head/max.npy", np.zeros((8, 5), np.float32)), "has 8 rows for 7 images"),
        (lambda a: set_byte(a / "stem/position.npy"), "differs from its digest"),
        (lambda a: (a / "images.jsonl").write_text("[1]"), "images.jsonl"),
        (lambda a: (a / "SHA256SUMS").unlink(), "SHA256SUMS"),
    ],
)
def test_damage_is_reported(made: Path, tmp_path: Path, damage: Callable[[Path], object], text: str) -> None:
    out = tmp_path / "branching"
    shutil.copytree(made, out)
    damage(out / "activations")
    (problem,) = inspect(out).problems
    assert text in problem


def test_a_store_without_them_is_read(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "branching"
    shutil.copytree(made, out)
    shutil.rmtree(out / "activations")
    manifest = json.loads((out / "network.json").read_text())
    del manifest["activations"]
    (out / "network.json").write_text(json.dumps(manifest))
    assert not read_manifest(out).activations
    assert not (out / PARTIAL).exists()
