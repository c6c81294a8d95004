"""What a scan accumulates: top-k lists, class profiles and statistics of each filter.

A state has a fixed size, whatever the number of images. States of different images can be merged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from torchlurk.scan.topk import NO_IMAGE, TopK, empty_topk

ACTIVATION_EDGES: tuple[float, ...] = (
    *(-(2.0 ** (step / 2)) for step in range(18, -7, -1)),
    0.0,
    *(2.0 ** (step / 2) for step in range(-6, 19)),
)
"""Edges of the histogram of maxima: two per octave, from 1/8 to 512, for both signs.

They do not depend on the data, so the counts of different shards add up."""


@dataclass(frozen=True)
class LayerState:
    """The lists and sums of the C filters of one layer.

    Attributes:
        images: `(classes,)` int64, number of images of each class that reached the layer.
        max: The images with the highest single activation.
        avg: The images with the highest mean activation.
        max_by_class: `(classes, C)` float64, sum of the maxima of each class's images.
        avg_by_class: `(classes, C)` float64, sum of the means of each class's images.
        max_squares: `(C,)` float64, sum of the squared maxima.
        avg_squares: `(C,)` float64, sum of the squared means.
        positive_by_class: `(classes, C)` float64, sum of the positive parts of the maxima.
        active: `(C,)` int64, number of images with a positive activation.
        counts: `(C, bins)` int64, number of images whose maximum falls into each bin of `ACTIVATION_EDGES`.
    """

    images: Tensor
    max: TopK
    avg: TopK
    max_by_class: Tensor
    avg_by_class: Tensor
    max_squares: Tensor
    avg_squares: Tensor
    positive_by_class: Tensor
    active: Tensor
    counts: Tensor


@dataclass(frozen=True)
class ScanState:
    """The lists and sums of all layers.

    Attributes:
        images: `(classes,)` int64, number of images of each class.
        layers: The state of each layer by name.
    """

    images: Tensor
    layers: dict[str, LayerState]


def initial_state(
    channels: dict[str, int], classes: int, k: int, device: torch.device | None = None
) -> ScanState:
    """Return the state before the first image.

    Args:
        channels: Number of filters of each layer, by name.
        classes: Number of classes of the images.
        k: Length of the top-k lists.
        device: Device of the network, since the state stays where the activations are; the CPU by default.
    """
    return ScanState(
        torch.zeros(classes, dtype=torch.int64, device=device),
        {name: _initial_layer_state(count, classes, k, device) for name, count in channels.items()},
    )


def _initial_layer_state(channels: int, classes: int, k: int, device: torch.device | None) -> LayerState:
    def sums(*shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float64, device=device)

    return LayerState(
        images=torch.zeros(classes, dtype=torch.int64, device=device),
        max=empty_topk(channels, k, device),
        avg=empty_topk(channels, k, device),
        max_by_class=sums(classes, channels),
        avg_by_class=sums(classes, channels),
        max_squares=sums(channels),
        avg_squares=sums(channels),
        positive_by_class=sums(classes, channels),
        active=torch.zeros(channels, dtype=torch.int64, device=device),
        counts=torch.zeros(channels, len(ACTIVATION_EDGES) + 1, dtype=torch.int64, device=device),
    )


def state_to(state: ScanState, device: torch.device) -> ScanState:
    """Return a copy of a state on another device."""

    def topk_to(lists: TopK) -> TopK:
        return TopK(lists.scores.to(device), lists.images.to(device), lists.positions.to(device))

    layers = {}
    for name, layer in state.layers.items():
        parts: dict[str, Any] = {
            key: topk_to(value) if isinstance(value, TopK) else value.to(device)
            for key, value in vars(layer).items()
        }
        layers[name] = LayerState(**parts)
    return ScanState(state.images.to(device), layers)


def candidate_images(state: ScanState) -> list[int]:
    """Return the ids of all listed images, ascending: those to score again after a bfloat16 scan."""
    lists = [topk.images for layer in state.layers.values() for topk in (layer.max, layer.avg)]
    ids = torch.unique(torch.cat([images.flatten() for images in lists]))
    return [image for image in ids.tolist() if image != NO_IMAGE]


def with_lists_of(statistics: ScanState, lists: ScanState) -> ScanState:
    """Combine the statistics of one state with the top-k lists of another.

    Args:
        statistics: A bfloat16 scan of all images.
        lists: A float32 scan of the candidates among them.
    """
    layers = {
        name: replace(layer, max=lists.layers[name].max, avg=lists.layers[name].avg)
        for name, layer in statistics.layers.items()
    }
    return ScanState(statistics.images, layers)
