"""The benchmarks measure what they say, also with more images than there are photographs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.first import image_by_image
from benchmarks.scanning import run_scan
from benchmarks.setting import Setting
from tests.golden.network import golden_network, write_images
from torchlurk.datasets.image_folder import list_images
from torchlurk.graph import trace
from torchlurk.models.network import Network


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """A trunk of two convolutions over six pictures, as VGG16's over the photographs."""
    write_images(tmp_path)
    (tmp_path / "plain/broken.png").unlink()
    usual = golden_network()
    torch.manual_seed(0)
    module = nn.Module()
    module.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3))
    module.forward = module.features.forward
    network = Network(module.eval(), "Two", "tests:two", "random", "0" * 64, usual.preprocess)
    graph = trace(module, network.shape, lambda _, part: isinstance(part, nn.Conv2d))
    return Setting(network, graph, list_images(tmp_path))


def test_the_scan_and_its_peer_find_the_same(setting: Setting) -> None:
    total = len(setting.folder.paths)
    once, twice = run_scan(setting, range(total)), run_scan(setting, range(2 * total))
    known = image_by_image(setting, 2 * total)
    for layer in setting.graph.layers:
        mine, again = once.layers[layer.name], twice.layers[layer.name]
        # An image that comes round again scores as it did: a list of four holds the best two twice.
        torch.testing.assert_close(again.max.scores[:, 0], again.max.scores[:, 1])
        torch.testing.assert_close(again.max.scores[:, ::2], mine.max.scores[:, :2])
        torch.testing.assert_close(again.max_by_class, 2 * mine.max_by_class)
        for channel, entry in enumerate(known[layer.name.removeprefix("features.")]):
            for kind, lists in (("max", mine.max), ("avg", mine.avg)):
                # The peer's lists begin with nought, which nothing negative replaces, and hold an image once.
                expected = lists.scores[channel].clamp(min=0).tolist()
                assert sorted(entry[f"{kind}_scores"], reverse=True) == pytest.approx(expected, rel=1e-5)
            sums = 2 * mine.max_by_class[:, channel]
            assert list(entry["max_by_class"].values()) == pytest.approx(sums.tolist(), rel=1e-5)
