"""The network and images of all benchmarks: the VGG16 trunk and the photographs of the demo."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.image_folder import ImageFolder, list_images
from torchlurk.graph import Graph, trace
from torchlurk.models.isolation import isolated
from torchlurk.models.load import load_network
from torchlurk.models.network import Network
from torchlurk.models.weights import default_cache
from torchlurk.runtime.resources import photos_folder


@dataclass(frozen=True)
class Setting:
    """A network, its graph and a folder of images."""

    network: Network
    graph: Graph
    folder: ImageFolder

    @property
    def trunk(self) -> nn.Sequential:
        """The convolutional part of the network as a plain module."""
        features = self.network.module.get_submodule("features")
        assert isinstance(features, nn.Sequential)
        return features

    def images(self, count: int) -> Tensor:
        """Return `count` photographs as network input: `(N, 3, 224, 224)`, channels_last."""
        total = len(self.folder.paths)
        step = max(1, total // count)
        pixels = load_pixels(self.folder, self.network.preprocess, range(0, total, step)[:count])
        return self.network.preprocess.to_input(pixels)


def make_setting() -> Setting:
    """Load the trunk and list the photographs."""
    network = load_network(
        "vgg16", "trunk", 224, default_cache(), report=lambda line: print(line, file=sys.stderr)
    )
    with isolated(network.module):
        graph = trace(network.module, network.shape, lambda _, module: isinstance(module, nn.Conv2d))
    torch.manual_seed(0)
    return Setting(network, graph, list_images(photos_folder()))


def sample(setting: Setting, count: int) -> list[tuple[str, list[int]]]:
    """Return a stratified sample: `count` filters per layer, evenly spaced over its channels."""
    return [
        (layer.name, [layer.shape[0] * (2 * i + 1) // (2 * count) for i in range(count)])
        for layer in setting.graph.layers
    ]


def weighted(setting: Setting, by_layer: dict[str, float]) -> float:
    """Return the mean over all filters of a per-layer figure."""
    total = sum(layer.shape[0] for layer in setting.graph.layers)
    return sum(by_layer[layer.name] * layer.shape[0] for layer in setting.graph.layers) / total
