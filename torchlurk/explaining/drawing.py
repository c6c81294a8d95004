"""Attributions as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from torchlurk.attribution.randomise import magnitude
from torchlurk.explaining.recipe import METHODS
from torchlurk.pictures import Pixels

BRIGHT = 0.99
"""The quantile of magnitudes that is drawn white."""


def coloured(attribution: Tensor, shown: Sequence[int]) -> Pixels:
    """A signed attribution in colour: its lowest value is 0, its highest 255.

    Args:
        attribution: `(C, H, W)`.
        shown: which channels are red, green and blue, or the one that is gray.

    Returns:
        `(H, W, 3)`; black where all values are the same.
    """
    values = attribution[list(shown) * (3 // len(shown))].double().numpy()
    values = values - values.min()
    values /= values.max() or 1.0
    return _bytes(values.transpose(1, 2, 0))


def grayed(attribution: Tensor) -> Pixels:
    """How much each pixel counts: the sum of sizes over channels, 0 black, the 99th percentile white.

    Args:
        attribution: `(C, H, W)`.

    Returns:
        `(H, W, 3)`, all three the same; black where all values are 0.
    """
    values = magnitude(attribution).double().numpy()
    # Where fewer than one pixel of a hundred counts at all, the highest is the white.
    values = values / (np.quantile(values, BRIGHT) or values.max() or 1.0)
    return _bytes(np.repeat(values[:, :, None], 3, axis=2))


def drawn(method: str, attribution: Tensor, shown: Sequence[int]) -> Pixels:
    """An attribution as its method is drawn: `(H, W, 3)`."""
    return coloured(attribution, shown) if METHODS[method].drawn == "colour" else grayed(attribution)


def _bytes(values: np.ndarray) -> Pixels:
    return np.ascontiguousarray((values.clip(0, 1) * 255).round().astype(np.uint8))
