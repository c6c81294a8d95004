"""Units of a layer in the feature maps of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Units:
    """Units of a layer in the feature maps of a batch.

    Attributes:
        images: `(U,)` int64, index of the image in the batch.
        channels: `(U,)` int64, the filter.
        rows: `(U,)` int64, row in the feature map.
        columns: `(U,)` int64, column in the feature map.
    """

    images: Tensor
    channels: Tensor
    rows: Tensor
    columns: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def index(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Their index into feature maps `(N, C, H, W)`."""
        return self.images, self.channels, self.rows, self.columns

    def part(self, which: Tensor | slice) -> Units:
        """Return some of the units."""
        return Units(*(values[which] for values in self.index))

    def to(self, device: torch.device) -> Units:
        """Return the units with their tensors on a device."""
        return Units(*(values.to(device) for values in self.index))

    def of_images(self, images: range) -> tuple[Tensor, Units]:
        """Return the units of some consecutive images, whose numbers then start at zero.

        Returns:
            `(M,)` which of the units these are, and the units.
        """
        (which,) = ((self.images >= images.start) & (self.images < images.stop)).nonzero(as_tuple=True)
        return which, Units(self.images[which] - images.start, *(v[which] for v in self.index[1:]))

    def rounds(self) -> Iterator[Tensor]:
        """Yield the indices of the units in rounds that have at most one unit of each image.

        Gradients of different images do not mix, so the units of a round share a backward pass.
        """
        order = self.images.argsort(stable=True)
        images = self.images[order]
        rank = torch.arange(len(images), device=images.device) - torch.searchsorted(images, images)
        for number in range(int(rank.max()) + 1 if len(rank) else 0):
            yield order[rank == number]
