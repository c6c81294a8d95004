"""Single images by id, as network input and as pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.inputs import ImageArray, Input
from torchlurk.models.network import Network
from torchlurk.runtime.pictures import Pixels

_CACHED_IMAGES = 2048
"""Images kept in memory while pictures are made: 300 MB of bytes at 224 pixels."""


@dataclass(frozen=True)
class ImageSource:
    """Load single images by id, and turn tensors of the network's input into pictures.

    Attributes:
        load: Returns what `preprocess` keeps of an image in memory, `(H, W, C)`, uint8 or float32.
        preprocess: Preprocessing of the network.
        device: Device of the network.
    """

    load: Callable[[int], ImageArray]
    preprocess: Input
    device: torch.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape `(C, H, W)` of the network's input."""
        return self.preprocess.shape

    def input(self, image: int) -> Tensor:
        """Return an image as the network's input: `(C, H, W)`, float32, on the network's device."""
        pixels = torch.from_numpy(self.load(image)).to(self.device)
        return self.preprocess.to_input(pixels[None])[0]

    def picture(self, image: int) -> Pixels:
        """Return an image as a picture: `(H, W, 3)`, uint8."""
        return self.preprocess.display(self.load(image))

    def display_channels(self, values: Tensor) -> Tensor:
        """Return the channels of values `(N, C, H, W)` that a picture shows: three, or one for gray."""
        return values[:, list(self.preprocess.display_channels)]


def open_source(network: Network, images: ImageSet, device: torch.device) -> ImageSource:
    """Return a source of a data set's images that keeps the latest ones in memory.

    Args:
        network: The network, whose preprocessing is used.
        images: The data set.
        device: Device of the network.
    """
    # Custom transforms, which run in this process, give float32: four times the size of bytes.
    cached = _CACHED_IMAGES if network.preprocess.resize_crop else _CACHED_IMAGES // 4

    @lru_cache(maxsize=cached)
    def load(image: int) -> ImageArray:
        pixels: ImageArray = load_pixels(images, network.preprocess, [image])[0].numpy()
        return pixels

    return ImageSource(load, network.preprocess, device)
