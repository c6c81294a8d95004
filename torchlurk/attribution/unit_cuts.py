"""The parts of images from which units are computed, in blocks of equal size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor

from torchlurk.graph.receptive_field import Field
from torchlurk.runtime.devices import prefers_equal_sizes


@dataclass(frozen=True)
class Unit:
    """One unit of a layer on one image.

    Attributes:
        image: Index of the image.
        channel: Its filter.
        y: Its row in the feature map.
        x: Its column.
    """

    image: int
    channel: int
    y: int
    x: int


@dataclass(frozen=True)
class Cut:
    """A part of an image from which a unit is recomputed, and the unit's position in its feature map."""

    index: int
    top: int
    bottom: int
    left: int
    right: int
    y: int
    x: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def group(self) -> tuple[int, int, int, int]:
        """Its shape and the unit's position in it."""
        return *self.shape, self.y, self.x


def _cut(index: int, unit: Unit, field: Field) -> Cut:
    top, bottom, y = field.rows.cut(unit.y)
    left, right, x = field.columns.cut(unit.x)
    return Cut(index, top, bottom, left, right, y, x)


def _equal_cut(index: int, unit: Unit, field: Field) -> Cut:
    top, bottom, y = field.rows.equal_cut(unit.y)
    left, right, x = field.columns.equal_cut(unit.x)
    return Cut(index, top, bottom, left, right, y, x)


def blocks_of_cuts(
    units: Sequence[Unit], field: Field, batch_pixels: int, images: Sequence[Tensor]
) -> Iterator[list[Cut]]:
    """Yield the units' cuts in blocks of equal size.

    Each cut of a block also has its unit at the same position, and so needs the same part of each
    convolution, unless the device prefers inputs of one size.

    Args:
        units: The units.
        field: Receptive fields of their layer.
        batch_pixels: Largest number of pixels in a block, if that is more than one cut.
        images: The images of the units, on the network's device.
    """
    if units and prefers_equal_sizes(images[0].device):
        cuts = [_equal_cut(index, unit, field) for index, unit in enumerate(units)]
        groups = groupby(sorted(cuts, key=lambda cut: cut.shape), key=lambda cut: cut.shape)
    else:
        cuts = [_cut(index, unit, field) for index, unit in enumerate(units)]
        groups = groupby(sorted(cuts, key=lambda cut: cut.group), key=lambda cut: cut.group)
    for (height, width, *_), group in groups:
        same_size = list(group)
        count = max(1, batch_pixels // (height * width))
        for start in range(0, len(same_size), count):
            yield same_size[start : start + count]
