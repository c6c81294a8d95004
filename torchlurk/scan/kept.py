"""The activations of all images, which a scan keeps on request: maxima, means and positions of the maxima."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchlurk.graph import Layer
from torchlurk.scan.reduce import MapReductions
from torchlurk.store.activations import position_type


@dataclass(frozen=True)
class LayerActivations:
    """The activations of the C filters of a layer for N consecutive images.

    An image that cannot be read, or that does not reach the layer, has NaN as maximum and mean, and 0 as
    position.

    Attributes:
        max: `(N, C)` float32, the maxima of the maps.
        mean: `(N, C)` float32, their means.
        position: `(N, C)`, the positions of the maxima as `y * W + x`, in the smallest unsigned integer type
            for the size of the maps.
    """

    max: NDArray[np.float32]
    mean: NDArray[np.float32]
    position: NDArray[Any]


def collect_activations(
    batches: Iterable[tuple[Tensor, Mapping[str, MapReductions]]], layers: Iterable[Layer], images: range
) -> dict[str, LayerActivations]:
    """Return the activations of some consecutive images by layer.

    Args:
        batches: Ids `(N,)` of images, and what their forward gives for each layer that they reach.
        layers: The layers.
        images: The ids of all images.
    """
    held = list(batches)
    collected: dict[str, LayerActivations] = {}
    for layer in layers:
        parts = [(ids, reduced[layer.name]) for ids, reduced in held if layer.name in reduced]
        shape = len(images), layer.shape[0]
        found = LayerActivations(
            np.full(shape, np.nan, np.float32),
            np.full(shape, np.nan, np.float32),
            np.zeros(shape, position_type(layer.shape)),
        )
        if parts:
            rows = torch.cat([ids for ids, _ in parts]).cpu().numpy() - images.start
            found.max[rows] = torch.cat([part.maxima for _, part in parts]).cpu().numpy()
            found.mean[rows] = torch.cat([part.means for _, part in parts]).cpu().numpy()
            found.position[rows] = torch.cat([part.positions for _, part in parts]).cpu().numpy()
        collected[layer.name] = found
    return collected
