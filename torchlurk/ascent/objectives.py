"""What an image is optimised for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], Tensor]
"""Takes `(N, C, H, W)` activations and `(N,)` channels, one for each image; returns `(N,)` scores."""


def channel_mean(maps: Tensor, channels: Tensor) -> Tensor:
    """The mean of each image's feature map; of a layer of logits, whose maps have one place, the logit."""
    return maps[torch.arange(len(maps), device=maps.device), channels].mean(dim=(1, 2))


def centre_unit(maps: Tensor, channels: Tensor) -> Tensor:
    """The activation in the middle of each image's feature map."""
    rows = torch.arange(len(maps), device=maps.device)
    return maps[rows, channels, maps.shape[2] // 2, maps.shape[3] // 2]


def unit_at(y: int, x: int) -> Objective:
    """The activation of the unit in row `y`, column `x` of each image's feature map."""

    def score(maps: Tensor, channels: Tensor) -> Tensor:
        return maps[torch.arange(len(maps), device=maps.device), channels, y, x]

    return score


OBJECTIVES: Mapping[str, Objective] = MappingProxyType({"mean": channel_mean, "position": centre_unit})
"""Those for feature maps, as a user names them."""
