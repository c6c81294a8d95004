"""`explain`, `FeatureVisualizer` and `Lurk` with a network that its user has put on a device."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import torchlurk
from tests.device.helpers import check_close
from tests.golden.network import golden_network, write_images
from torchlurk.ascent.optimise import AscentParams
from torchlurk.explaining import AttributionParams
from torchlurk.explaining.params import METHOD_NAMES
from torchlurk.store.read import read_manifest

pytestmark = pytest.mark.device

CPU = torch.device("cpu")


def devices_of(module: torch.nn.Module) -> set[str]:
    return {tensor.device.type for tensor in module.state_dict().values()}


def test_explanations_are_those_of_the_cpu(tmp_path: Path, device: torch.device) -> None:
    """Results are on the CPU, wherever the network is."""
    write_images(tmp_path)
    photo = tmp_path / "plain/1.png"
    params = AttributionParams(tuple(METHOD_NAMES), samples=3, steps=4)
    found = {}
    for name, where in (("device", device), ("cpu", CPU)):
        network = golden_network()
        module = network.module.to(where)
        (found[name],) = torchlurk.explain(
            module, network.preprocess, photo, "head:2@1,1", classes=None, params=params, randomize="all"
        )
        assert devices_of(module) == {where.type}
    assert found["device"].score == pytest.approx(found["cpu"].score, rel=1e-4)
    for method, expected in found["cpu"].attributions.items():
        check_close(found["device"].attributions[method], expected, CPU, relative=1e-3)
    for mine, theirs in zip(found["cpu"].controls, found["device"].controls, strict=True):
        assert theirs.score == pytest.approx(mine.score, rel=1e-3, abs=1e-5)
        assert theirs.similarity == pytest.approx(mine.similarity, abs=0.02)


def test_images_of_filters(device: torch.device) -> None:
    network = golden_network()
    module = network.module.to(device)
    show = torchlurk.FeatureVisualizer(module, network.preprocess, params=AscentParams(steps=3))
    several = show([0, 2], layer="left")
    (alone,) = show([2], layer="left")
    assert several[0].size == alone.size
    difference = np.abs(np.asarray(several[1]).astype(int) - np.asarray(alone).astype(int))
    assert difference.max() <= 2
    assert len(show(1, layer="head", diversity=2)) == 2
    assert devices_of(module) == {device.type}


def test_a_store_from_python(tmp_path: Path, device: torch.device) -> None:
    write_images(tmp_path / "images")
    network = golden_network()
    module = network.module.to(device)
    lurk = torchlurk.Lurk(
        module,
        network.preprocess,
        images=tmp_path / "images",
        out=tmp_path / "store",
        device=device.type,
        workers=2,
        progress=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one of the images is broken
        lurk.compute_top_imgs()
    lurk.compute_grads(filters=2)
    lurk.compute_viz(filters=1, steps=2)
    assert devices_of(module) == {device.type}
    assert read_manifest(tmp_path / "store").device == device.type
