"""What the lists of a filter of a store consist of. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TopImage:
    """An image in a top list of a filter.

    Attributes:
        image: Its id in the store.
        path: Its path in the data set.
        label: Name of its class.
        score: The activation: the highest one of the feature map, or its mean.
        position: `(y, x)` of the highest activation in the feature map; `None` in a list by mean, as are the
            following.
        box: Receptive field of that unit: left, top, right, bottom, in pixels of the input, half-open.
        certificate: Relative difference between the score and the activation computed from the crop alone;
            `None` also where it was not computed.
    """

    image: int
    path: str
    label: str
    score: float
    position: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None
    certificate: float | None = None


@dataclass(frozen=True)
class Profile:
    """Class profile of a filter: at most ten classes with the mean over their images, highest first.

    Attributes:
        max: Class names and means of the highest activation of the feature map.
        avg: Class names and means of the map's mean.
    """

    max: tuple[tuple[str, float], ...]
    avg: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Quantile:
    """The images of a filter at a quantile of its maxima.

    Attributes:
        quantile: From 0, the minimum, to below 1.
        images: At most two, of different classes where that can be.
    """

    quantile: float
    images: tuple[TopImage, ...]
