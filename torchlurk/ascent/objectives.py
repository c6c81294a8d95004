"""What an image is optimised for.

An objective is a pure function. To let users choose one by name, add the name to `ObjectiveName` and an entry
to `OBJECTIVES`: the configuration, the command line and Python take their choices from there. Importing this
module does not load torch, so that the command line starts quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

ObjectiveName = Literal["mean", "position"]
"""The names of `OBJECTIVES`."""

Objective = Callable[["Tensor", "Tensor"], "Tensor"]
"""Takes `(N, C, H, W)` activations and `(N,)` channels, one for each image; returns `(N,)` scores."""


def channel_mean(maps: Tensor, channels: Tensor) -> Tensor:
    """Compute the mean of each image's feature map; for logits, whose maps are 1 x 1, this is the logit."""
    return _own_maps(maps, channels).mean(dim=(1, 2))


def centre_unit(maps: Tensor, channels: Tensor) -> Tensor:
    """Return the activation in the centre of each image's feature map."""
    return _own_maps(maps, channels)[:, maps.shape[2] // 2, maps.shape[3] // 2]


def unit_at(y: int, x: int) -> Objective:
    """Return the objective of the unit in row `y` and column `x` of each image's feature map."""

    def score(maps: Tensor, channels: Tensor) -> Tensor:
        return _own_maps(maps, channels)[:, y, x]

    return score


def _own_maps(maps: Tensor, channels: Tensor) -> Tensor:
    """Select the map of its own channel for each image: `(N, C, H, W)` to `(N, H, W)`."""
    import torch

    return maps[torch.arange(len(maps), device=maps.device), channels]


@dataclass(frozen=True)
class NamedObjective:
    """An objective that users choose by its name.

    Attributes:
        score: The function to maximise. A positive score means that the image excites the filter.
        ranking: The list of a store whose entries have the same score, `max` or `avg`: the score of the
            image is compared with the best entry. `None` if no list has this score.
    """

    score: Objective
    ranking: Literal["max", "avg"] | None = None


OBJECTIVES: Mapping[str, NamedObjective] = MappingProxyType(
    {
        "mean": NamedObjective(channel_mean, ranking="avg"),
        "position": NamedObjective(centre_unit, ranking="max"),
    }
)
"""The objectives that users choose by name: on the command line, in `Lurk` and in `FeatureVisualizer`."""
