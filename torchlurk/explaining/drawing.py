"""Attributions as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from torch import Tensor

from torchlurk.attribution.randomise import magnitude
from torchlurk.explaining.params import METHODS
from torchlurk.runtime.pictures import Pixels, gradient_tiles

BRIGHT = 0.99
"""The quantile of magnitudes that is drawn white."""


def stretched(attribution: Tensor, shown: Sequence[int]) -> Pixels:
    """A signed attribution in colour, its lowest value as 0 and its highest as 255.

    Args:
        attribution: `(C, H, W)`.
        shown: which channels are red, green and blue, or the one that is gray.

    Returns:
        `(H, W, 3)`; black where all values are the same.
    """
    values = attribution[_three(shown)].double().numpy()
    values = values - values.min()
    values /= values.max() or 1.0
    return _bytes(values.transpose(1, 2, 0))


def signed(attribution: Tensor, shown: Sequence[int]) -> Pixels:
    """A signed attribution in colour as in a store: zero is gray, and few values are cut off.

    Args:
        attribution: `(C, H, W)`.
        shown: which channels are red, green and blue, or the one that is gray.

    Returns:
        `(H, W, 3)`.
    """
    height, width = attribution.shape[1:]
    return gradient_tiles(attribution[_three(shown)][None], (height, width))[0]


def gray(attribution: Tensor, shown: Sequence[int] = ()) -> Pixels:  # noqa: ARG001
    """How much each pixel counts: the sum of sizes over channels, 0 black, the 99th percentile white.

    Args:
        attribution: `(C, H, W)`.
        shown: of no matter, for all channels count.

    Returns:
        `(H, W, 3)`, all three the same; black where all values are 0.
    """
    values = magnitude(attribution).double().numpy()
    # Where fewer than one pixel of a hundred counts at all, the highest is the white.
    values = values / (np.quantile(values, BRIGHT) or values.max() or 1.0)
    return _bytes(np.repeat(values[:, :, None], 3, axis=2))


WAYS: Final[Mapping[str, Callable[[Tensor, Sequence[int]], Pixels]]] = {
    "stretched": stretched,
    "signed": signed,
    "gray": gray,
}
"""How a method can be drawn."""


def drawn(method: str, attribution: Tensor, shown: Sequence[int]) -> Pixels:
    """An attribution as its method is drawn: `(H, W, 3)`."""
    return WAYS[METHODS[method].drawn](attribution, shown)


Window = tuple[slice, slice]
"""Rows and columns of a picture."""

FRAME = (255, 214, 0)
"""The colour of a frame, between two black lines: it is seen on any photograph."""


def window(attributions: Iterable[Tensor]) -> Window | None:
    """Where some attributions are anything but zero, if that is no more than a quarter of the picture.

    Args:
        attributions: each `(C, H, W)`.
    """
    seen = sum(magnitude(one) for one in attributions)
    if not isinstance(seen, Tensor) or not seen.any():
        return None
    rows, columns = (seen.any(dim).nonzero().flatten().tolist() for dim in (1, 0))
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    if 4 * height * width > seen.numel():
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def framed(picture: Pixels, inside: Window) -> Pixels:
    """A picture, `(H, W, 3)`, with a frame around a part of it."""
    found = picture.copy()
    height, width = picture.shape[:2]
    thick = max(1, max(height, width) // 112)
    for out, colour in ((3, (0, 0, 0)), (2, FRAME), (1, (0, 0, 0))):
        (top, bottom), (left, right) = (
            (max(0, part.start - out * thick), min(size, part.stop + out * thick))
            for part, size in zip(inside, (height, width), strict=True)
        )
        found[top:bottom, left:right] = colour
    found[inside] = picture[inside]
    return found


def _three(shown: Sequence[int]) -> list[int]:
    return list(shown) * (3 // len(shown))


def _bytes(values: np.ndarray) -> Pixels:
    return np.ascontiguousarray((values.clip(0, 1) * 255).round().astype(np.uint8))
