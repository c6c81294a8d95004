"""Whole runs on any device: the store of the CPU, and of an uninterrupted run after an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.golden.network import golden_network
from tests.golden.run import CPU, QUIET, golden_run
from tests.golden.test_golden import files
from tests.golden.test_resume import stopped_at
from torchlurk.errors import Terminated
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.read_circuits import read_circuits
from torchlurk.store.schema import LayerFile

pytestmark = pytest.mark.device


def layers(store: Path) -> dict[str, LayerFile]:
    return {layer.name: read_layer(store, layer) for layer in read_manifest(store).layers}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, device: torch.device) -> dict[str, Path]:
    """The store of a run on the device, and that of one on the CPU."""
    root = tmp_path_factory.mktemp("stores")
    for name, where in (("device", device), ("cpu", CPU)):
        golden_run(root / name / "branching", filters=None, workers=2, device=where)
    return {name: root / name / "branching" for name in ("device", "cpu")}


def test_lists_and_statistics_agree_with_the_cpu(stores: dict[str, Path]) -> None:
    exchanged = 0
    found, expected = (layers(stores[name]) for name in ("device", "cpu"))
    assert found.keys() == expected.keys()
    for name, file in expected.items():
        for entry, other in zip(file.filters, found[name].filters, strict=True):
            for kind in ("max", "avg"):
                mine, theirs = getattr(entry, kind), getattr(other, kind)
                assert [e.score for e in theirs] == pytest.approx([e.score for e in mine], rel=1e-4)
                exchanged += sum(a.image != b.image for a, b in zip(mine, theirs, strict=True))
            assert other.stats.mean == pytest.approx(entry.stats.mean, rel=1e-4, abs=1e-5)
            assert other.stats.max_mean == pytest.approx(entry.stats.max_mean, rel=1e-4, abs=1e-5)
            assert other.stats.active == entry.stats.active
            assert all(e.certificate is not None and e.certificate < 1e-3 for e in other.max)
            assert other.ascent is not None
            assert entry.ascent is not None
            assert other.ascent.found == entry.ascent.found
    assert exchanged == 0


def test_circuits_agree_with_the_cpu(stores: dict[str, Path]) -> None:
    found, expected = (
        [read_circuits(stores[name], manifest, layer) for layer in manifest.layers]
        for name in ("device", "cpu")
        for manifest in [read_manifest(stores[name])]
    )
    for mine, theirs in zip(expected, found, strict=True):
        assert theirs.upstream == mine.upstream
        for entry, other in zip(mine.filters, theirs.filters, strict=True):
            for key in ("score", "excitation", "inhibition", "rest", "scale"):
                assert getattr(other, key) == pytest.approx(getattr(entry, key), rel=1e-4, abs=1e-4)
            listed = [[(one.upstream, one.channel) for one in e.excited_by] for e in (entry, other)]
            assert sorted(listed[0]) == sorted(listed[1])


def test_the_store_names_its_device_and_is_complete(stores: dict[str, Path], device: torch.device) -> None:
    manifest = read_manifest(stores["device"])
    assert manifest.device == device.type
    assert all(stage.complete for stage in (manifest.stages.scan, manifest.stages.gradients))
    assert inspect(stores["device"]).problems == ()


def comparable(root: Path, device: torch.device) -> dict[str, object]:
    """Return the files of a store; on CUDA what the filters' records say of scan and certificates.

    Filter images differ in the last digits on CUDA, see `docs/how-to/gpu.md`.
    """
    if device.type != "cuda":
        return dict(files(root))
    return {
        name: [(entry.max, entry.avg, entry.classes, entry.stats) for entry in file.filters]
        for name, file in layers(root / "branching").items()
    }


def test_a_resumed_run_gives_the_store_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    def run(name: str) -> None:
        golden_run(tmp_path / name / "branching", shard_size=2, batch_size=2, device=device)

    with stopped_at(-1, monkeypatch) as written:
        run("whole")
    for share in (0.2, 0.5, 0.8):
        with stopped_at(int(share * len(written)), monkeypatch), pytest.raises(Terminated):
            run(f"resumed-{share}")
        run(f"resumed-{share}")
        found = comparable(tmp_path / f"resumed-{share}", device)
        assert found == comparable(tmp_path / "whole", device)


def test_the_network_comes_back_to_its_own_device(tmp_path: Path, device: torch.device) -> None:
    network = golden_network()
    memory = {name: tensor.data_ptr() for name, tensor in network.module.state_dict().items()}
    golden_run(tmp_path / "store/branching", network=network, device=device, reporter=QUIET)
    after = network.module.state_dict()
    assert {name: tensor.data_ptr() for name, tensor in after.items()} == memory
    assert {tensor.device.type for tensor in after.values()} == {"cpu"}
    assert all(parameter.requires_grad for parameter in network.module.parameters())
