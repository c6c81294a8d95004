"""Attributions as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from torch import Tensor

from torchlurk.attribution.randomise import magnitude
from torchlurk.explaining.methods import METHODS
from torchlurk.runtime.jpeg import Pixels
from torchlurk.runtime.pictures import gradient_tiles

Window = tuple[slice, slice]
"""Rows and columns of a picture."""

FRAME_COLOUR = (255, 214, 0)
"""Colour of a frame. Between two black lines it is visible on any photograph."""

_WHITE_QUANTILE = 0.99
"""Quantile of magnitudes that is drawn white."""


def render_stretched(attribution: Tensor, display_channels: Sequence[int]) -> Pixels:
    """Draw a signed attribution in colour, with its minimum at 0 and its maximum at 255.

    Args:
        attribution: `(C, H, W)`.
        display_channels: The three channels shown as red, green and blue, or the one shown as gray.

    Returns:
        `(H, W, 3)`; black where all values are equal.
    """
    values = attribution[_rgb(display_channels)].double().numpy()
    values = values - values.min()
    values /= values.max() or 1.0
    return _to_bytes(values.transpose(1, 2, 0))


def render_signed(attribution: Tensor, display_channels: Sequence[int]) -> Pixels:
    """Draw a signed attribution in colour as in a store: zero is gray, and few values are clipped.

    Args:
        attribution: `(C, H, W)`.
        display_channels: The three channels shown as red, green and blue, or the one shown as gray.

    Returns:
        `(H, W, 3)`.
    """
    height, width = attribution.shape[1:]
    return gradient_tiles(attribution[_rgb(display_channels)][None], (height, width))[0]


def render_gray(attribution: Tensor, display_channels: Sequence[int] = ()) -> Pixels:  # noqa: ARG001
    """Draw the magnitude of each pixel: the sum of absolute values over channels.

    Args:
        attribution: `(C, H, W)`.
        display_channels: Unused, as all channels count.

    Returns:
        `(H, W, 3)`, gray: 0 is black, the 99th percentile white; black where all values are 0.
    """
    values = magnitude(attribution).double().numpy()
    # If fewer than one pixel in a hundred is not zero, the maximum is white.
    values = values / (np.quantile(values, _WHITE_QUANTILE) or values.max() or 1.0)
    return _to_bytes(np.repeat(values[:, :, None], 3, axis=2))


RENDERERS: Final[Mapping[str, Callable[[Tensor, Sequence[int]], Pixels]]] = {
    "stretched": render_stretched,
    "signed": render_signed,
    "gray": render_gray,
}
"""How a method can be drawn."""


def render_attribution(method: str, attribution: Tensor, display_channels: Sequence[int]) -> Pixels:
    """Draw an attribution `(C, H, W)` in the way of its method: `(H, W, 3)`."""
    return RENDERERS[METHODS[method].rendering](attribution, display_channels)


def nonzero_window(attributions: Iterable[Tensor]) -> Window | None:
    """Return the bounding box of non-zero pixels; `None` if it covers more than a quarter of the picture.

    Args:
        attributions: Each `(C, H, W)`.
    """
    total = sum(magnitude(attribution) for attribution in attributions)
    if not isinstance(total, Tensor) or not total.any():
        return None
    rows, columns = (total.any(dim).nonzero().flatten().tolist() for dim in (1, 0))
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    if 4 * height * width > total.numel():
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def draw_frame(picture: Pixels, window: Window) -> Pixels:
    """Return a picture `(H, W, 3)` with a frame around a window."""
    framed = picture.copy()
    height, width = picture.shape[:2]
    line = max(1, max(height, width) // 112)
    for lines, colour in ((3, (0, 0, 0)), (2, FRAME_COLOUR), (1, (0, 0, 0))):
        (top, bottom), (left, right) = (
            (max(0, part.start - lines * line), min(size, part.stop + lines * line))
            for part, size in zip(window, (height, width), strict=True)
        )
        framed[top:bottom, left:right] = colour
    framed[window] = picture[window]
    return framed


def _rgb(display_channels: Sequence[int]) -> list[int]:
    return list(display_channels) * (3 // len(display_channels))


def _to_bytes(values: np.ndarray) -> Pixels:
    return np.ascontiguousarray((values.clip(0, 1) * 255).round().astype(np.uint8))
