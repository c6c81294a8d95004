"""Records of `spectrum/<layer>.json`: images at quantiles of the maxima of the filters of a layer."""

from __future__ import annotations

from torchlurk.store.schema.base import Format, Fraction, NonNegativeInt, Record


class SpectrumEntry(Record, frozen=True, array_like=True):
    """An image of a spectrum, as `[image, score, position, box]`.

    Attributes:
        image: Id of the image.
        score: Maximum of the feature map.
        position: `[y, x]` of the maximum in the map.
        box: Receptive field `[left, top, right, bottom]` of the unit, half-open, clipped to the image.
    """

    image: NonNegativeInt
    score: float
    position: tuple[NonNegativeInt, NonNegativeInt]
    box: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class SpectrumFile(Record, frozen=True):
    """`spectrum/<layer>.json`: the spectra of the filters of a layer.

    Attributes:
        format: Number of the format.
        layer: Name of the layer.
        quantiles: The quantiles of the maxima, ascending.
        filters: For each filter and each quantile at most two images, of different classes where that can be.
    """

    format: Format
    layer: str
    quantiles: list[Fraction]
    filters: list[list[list[SpectrumEntry]]]
