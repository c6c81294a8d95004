"""Small random movements of the image between steps, so that the optimiser finds robust patterns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from torchlurk.runtime.deprecation import former_names


@dataclass(frozen=True)
class Jitter:
    """The largest random movement of an image at each step.

    Attributes:
        shift: Shift in both directions, in pixels.
        scale: Change of the size, as a share of it, larger and smaller.
        turn: Rotation in degrees, in either direction.

    Examples:
        >>> from torchlurk.ascent.transforms import Jitter
        >>> show(8, jitter=Jitter(shift=0, scale=0, turn=0), steps=8).size  # no movement
        (32, 32)
    """

    shift: float = 4.0
    scale: float = 0.1
    turn: float = 5.0


def draw_jitter(generators: list[torch.Generator], steps: int) -> Tensor:
    """Draw the movement of each image at each step, from the image's own generator.

    Returns:
        `(steps, N, 4)` in [-1, 1).
    """
    return torch.stack([torch.rand(steps, 4, generator=g) * 2 - 1 for g in generators], dim=1)


def jitter_images(images: Tensor, draws: Tensor, jitter: Jitter) -> Tensor:
    """Shift, scale and rotate each image about its centre; reflections fill the borders.

    Args:
        images: `(N, C, H, W)`.
        draws: `(N, 4)` in [-1, 1): shift to the right, shift down, scale, rotation.
        jitter: The movement for a draw of 1.

    Returns:
        `(N, C, H, W)`.
    """
    height, width = images.shape[-2:]
    angle = draws[:, 3] * (jitter.turn * math.pi / 180)
    zoom = 1 + draws[:, 2] * jitter.scale
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    # Both sides of the sampling grid go from -1 to 1, so a rotation has to account for the aspect ratio.
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


if not TYPE_CHECKING:  # with this function, type checkers would accept any name
    __getattr__ = former_names(globals(), Wobble="Jitter")
