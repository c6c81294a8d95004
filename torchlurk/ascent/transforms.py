"""Small random movements of the image between steps, so that only what is robust to them grows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from torchlurk.runtime.deprecation import former_names


@dataclass(frozen=True)
class Jitter:
    """How far an image is moved at random at each step.

    Attributes:
        shift: pixels, in both directions.
        scale: share of the size, larger and smaller.
        turn: degrees, either way.

    Examples:
        >>> from torchlurk.ascent.transforms import Jitter
        >>> show(8, jitter=Jitter(shift=0, scale=0, turn=0), steps=8).size  # not moved at all
        (32, 32)
    """

    shift: float = 4.0
    scale: float = 0.1
    turn: float = 5.0


def draw_jitter(generators: list[torch.Generator], steps: int) -> Tensor:
    """`(steps, N, 4)` numbers in [-1, 1): for each step and image its movement, from its own generator."""
    return torch.stack([torch.rand(steps, 4, generator=g) * 2 - 1 for g in generators], dim=1)


def jitter_images(images: Tensor, draws: Tensor, jitter: Jitter) -> Tensor:
    """Shift, scale and turn each image about its middle; what enters at the border is its reflection.

    Args:
        images: `(N, C, H, W)`.
        draws: `(N, 4)` in [-1, 1): shift right, shift down, scale, turn.
        jitter: what a draw of 1 means.

    Returns:
        `(N, C, H, W)`.
    """
    height, width = images.shape[-2:]
    angle = draws[:, 3] * (jitter.turn * math.pi / 180)
    zoom = 1 + draws[:, 2] * jitter.scale
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    # The sampling grid has both sides from -1 to 1, so a turn of an oblong image needs its proportions.
    aspect = height / width
    right = draws[:, 0] * (2 * jitter.shift / width)
    down = draws[:, 1] * (2 * jitter.shift / height)
    theta = torch.stack(
        [
            torch.stack([cosine, -sine * aspect, right], dim=1),
            torch.stack([sine / aspect, cosine, down], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


__getattr__ = former_names(globals(), Wobble="Jitter")
