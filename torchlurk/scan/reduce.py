"""Reduction of the feature maps of a batch to what a scan keeps of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from torchlurk.runtime.devices import small_operations


@dataclass(frozen=True)
class MapReductions:
    """The maximum and the mean of each feature map.

    Attributes:
        maxima: `(N, C)` float32.
        means: `(N, C)` float32.
    """

    maxima: Tensor
    means: Tensor


def reduce_map(x: Tensor) -> MapReductions:
    """Compute the maximum and the mean of each feature map of `(N, C, H, W)`, in float32."""
    if _suits_pooling(x):
        # Row by row: a sum over a whole map, number by number, would lose digits.
        row = (1, x.shape[3])
        return MapReductions(
            F.max_pool2d(x, row).amax(dim=(2, 3)), F.avg_pool2d(x, row).mean(dim=(2, 3), dtype=torch.float32)
        )
    return MapReductions(x.amax(dim=(2, 3)).float(), x.mean(dim=(2, 3), dtype=torch.float32))


def _suits_pooling(x: Tensor) -> bool:
    """Return whether pooling takes half the time of a reduction: for maps in channels_last on a CPU."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and not x.is_contiguous()
    )


def positions_of_maxima(x: Tensor, rows: Tensor, channels: Tensor) -> Tensor:
    """Return where feature maps have their maximum; of equal maxima, the first in reading order.

    Args:
        x: `(N, C, H, W)` activations.
        rows: `(M,)` indices into N.
        channels: `(M,)` indices into C.

    Returns:
        `(M,)` int64, each `y * W + x`.
    """
    # `argmax` returns the first of equal maxima; `max` and `topk` promise nothing.
    return x[rows, channels].flatten(1).argmax(dim=1)


def positions_of_candidates(x: Tensor, maxima: Tensor, lowest: Tensor) -> Tensor:
    """Return the positions of the maxima that may enter a list.

    These are few once the lists are full, and finding a position costs far more than finding a maximum.

    Args:
        x: `(N, C, H, W)` activations.
        maxima: `(N, C)` their maxima.
        lowest: `(C,)` the lowest score in the list of each filter.

    Returns:
        `(N, C)` int64, each `y * W + x`. Of maxima below the lowest score, the value is not defined.
    """
    if x.device.type != "cpu":
        # One more pass over the maps is cheaper than a synchronisation to learn which are needed.
        return x.flatten(2).argmax(dim=2)
    with small_operations():
        positions = torch.zeros(maxima.shape, dtype=torch.int64)
        rows, channels = (maxima >= lowest).nonzero(as_tuple=True)
        if len(rows):
            positions[rows, channels] = positions_of_maxima(x, rows, channels)
    return positions
