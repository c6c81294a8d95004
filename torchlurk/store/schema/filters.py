"""Records of `layers/<layer>.json`, `images.json` and `classes.json`: filters, and what they refer to."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from torchlurk.store.schema.base import Format, Fraction, NonNegativeInt, PositiveInt, Record
from torchlurk.store.schema.packs import LayerPacks, Pack


class MaxEntry(Record, frozen=True):
    """An image in the list of a filter by maximal activation.

    Attributes:
        image: Id of the image.
        label: Class of the image; `class` in JSON.
        score: Maximum of the activation map.
        position: `[y, x]` of the maximum in the activation map.
        box: Receptive field `[left, top, right, bottom]` of the unit, half-open, clipped to the image.
        certificate: Relative difference between `score` and the activation of the crop alone; `None` if it
            has not been computed.
    """

    image: NonNegativeInt
    label: NonNegativeInt = msgspec.field(name="class")
    score: float
    position: tuple[NonNegativeInt, NonNegativeInt]
    box: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]
    certificate: float | None


class AvgEntry(Record, frozen=True):
    """An image in the list of a filter by mean activation."""

    image: NonNegativeInt
    label: NonNegativeInt = msgspec.field(name="class")
    score: float


class ClassProfile(Record, frozen=True):
    """The classes that excite a filter most, as `[class, mean]`, highest mean first."""

    max: list[tuple[NonNegativeInt, float]]
    avg: list[tuple[NonNegativeInt, float]]


class Stats(Record, frozen=True):
    """Statistics of a filter over all images.

    Attributes:
        mean: Mean of the mean activation.
        std: Standard deviation of the mean activation.
        max_mean: Mean of the maximal activation.
        max_std: Standard deviation of the maximal activation.
        active: Fraction of images with a positive activation.
        selectivity: Class selectivity index (Morcos et al. 2018, https://arxiv.org/abs/1803.06959); `None`
            for fewer than two classes.
        distribution: `[bin, images]`: histogram of the maximal activation, without empty bins.
    """

    mean: float
    std: Annotated[float, msgspec.Meta(ge=0)]
    max_mean: float
    max_std: Annotated[float, msgspec.Meta(ge=0)]
    active: Fraction
    selectivity: Fraction | None
    distribution: list[tuple[NonNegativeInt, PositiveInt]]


class Ascent(Record, frozen=True):
    """What the picture of the gradient ascent reaches.

    Attributes:
        score: Value of the objective for the picture: its mean activation, or that of the centre unit.
        ratio: `score` divided by that of the best real image; `None` if that is not positive.
        found: Whether the picture excites the filter.
    """

    score: float
    ratio: float | None
    found: bool


class Filter(Record, frozen=True):
    """A filter of a layer.

    Attributes:
        channel: Number of the filter, from 0.
        max: Images with the highest maximal activation, best first.
        avg: Images with the highest mean activation, best first.
        classes: Classes that excite the filter most.
        stats: Statistics over all images.
        pictures: Kinds of pictures that exist for the filter.
        ascent: Result of the gradient ascent; `None` if it has not been computed.
    """

    channel: NonNegativeInt
    max: list[MaxEntry]
    avg: list[AvgEntry]
    classes: ClassProfile
    stats: Stats
    pictures: list[Literal["cropped", "max_grads", "cropped_grad", "avg_grads", "max_activ"]]
    ascent: Ascent | None


class LayerFile(Record, frozen=True, omit_defaults=True):
    """`layers/<layer>.json`: the filters of a layer.

    Attributes:
        format: Number of the format.
        layer: Name of the layer.
        channels: Number of filters.
        k: Number of images in each top list.
        names: Class names of the filters, if the layer gives the output of the network; else `None`.
        filters: The filters, in order.
        images: Number of images that reached the layer, if not all did; omitted otherwise.
        packs: The files with the pictures of the filters; omitted in format 1.
    """

    format: Format
    layer: str
    channels: PositiveInt
    k: PositiveInt
    names: list[str] | None
    filters: list[Filter]
    images: NonNegativeInt | None = None
    packs: LayerPacks | None = None


class ImageEntry(Record, frozen=True):
    """An image that a filter refers to."""

    path: str
    label: NonNegativeInt = msgspec.field(name="class")


ImageEntries = dict[str, ImageEntry]
"""Images by id; `images.json` of format 1."""


class ImagesFile(Record, frozen=True):
    """`images.json`: the images that filters refer to.

    Attributes:
        format: Number of the format.
        images: The images, by id.
        packs: The files with the images, of 32 images each; `None` for a store of format 1.
    """

    format: Format
    images: ImageEntries
    packs: list[Pack] | None


class Classes(Record, frozen=True):
    """`classes.json`: for each class the filters that prefer it, as `[layer, channel, selectivity]`."""

    format: Format
    filters: list[list[tuple[NonNegativeInt, NonNegativeInt, Fraction | None]]]


def referenced_images(entry: Filter) -> set[int]:
    """Return the ids of the images in the lists of a filter."""
    return {e.image for e in entry.max} | {e.image for e in entry.avg}
