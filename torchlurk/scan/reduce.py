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
        positions: `(N, C)` int64, where the maximum is, as `y * W + x`; of equal maxima, the first in reading
            order.
    """

    maxima: Tensor
    means: Tensor
    positions: Tensor


def reduce_map(x: Tensor) -> MapReductions:
    """Compute maximum and mean of each feature map of `(N, C, H, W)`, and the position of the maximum."""
    if _suits_pooling(x):
        # Row by row: a sum over a whole map, number by number, would lose digits.
        row = (1, x.shape[3])
        row_maxima = F.max_pool2d(x, row)[..., 0]
        means = F.avg_pool2d(x, row).mean(dim=(2, 3), dtype=torch.float32)
    else:
        row_maxima = x.amax(dim=3)
        means = x.mean(dim=(2, 3), dtype=torch.float32)
    with small_operations():
        return MapReductions(row_maxima.amax(dim=2).float(), means, _positions(x, row_maxima))


def _suits_pooling(x: Tensor) -> bool:
    """Return whether pooling takes half the time of a reduction: for maps in channels_last on a CPU."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and not x.is_contiguous()
    )


def _positions(x: Tensor, row_maxima: Tensor) -> Tensor:
    """Return the positions of the maxima of `(N, C, H, W)`, given those of the rows, `(N, C, H)`.

    Only the row with the maximum is searched: to search the maps takes far longer than to find the maxima.
    """
    # `argmax` returns the first of equal maxima; `max` and `topk` promise nothing.
    rows = row_maxima.argmax(dim=2)
    images = torch.arange(x.shape[0], device=x.device)[:, None]
    channels = torch.arange(x.shape[1], device=x.device)
    return rows * x.shape[3] + x[images, channels, rows].argmax(dim=2)
