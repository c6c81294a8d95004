"""Single images by id, as network input and as pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.inputs import ImageArray, Input
from torchlurk.models.network import Network
from torchlurk.runtime.devices import image_memory
from torchlurk.runtime.jpeg import Pixels
from torchlurk.runtime.transfer import copy_to_device


@dataclass(frozen=True)
class ImageSource:
    """Load single images by id, and turn tensors of the network's input into pictures.

    Attributes:
        load: Returns what `preprocess` keeps of an image in memory, `(H, W, C)`, uint8 or float32.
        preprocess: Preprocessing of the network.
        device: Device of the network.
        remember: Takes ids and decoded images `(N, H, W, C)`, keeps them for `load` while there is room, and
            returns whether all are kept.
        in_memory: Returns the ids of the images that `load` need not decode.
    """

    load: Callable[[int], ImageArray]
    preprocess: Input
    device: torch.device
    remember: Callable[[Sequence[int], Tensor], bool]
    in_memory: Callable[[], set[int]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape `(C, H, W)` of the network's input."""
        return self.preprocess.shape

    def input(self, image: int) -> Tensor:
        """Return an image as the network's input: `(C, H, W)`, float32, on the network's device."""
        return self.inputs([image])[0]

    def inputs(self, images: Sequence[int]) -> tuple[Tensor, ...]:
        """Return several images, which are copied to the device together; see `input`."""
        if not images:
            return ()
        pixels = torch.stack([torch.from_numpy(self.load(image)) for image in images])
        return self.preprocess.to_input(copy_to_device(pixels, self.device)).unbind()

    def picture(self, image: int) -> Pixels:
        """Return an image as a picture: `(H, W, 3)`, uint8."""
        return self.preprocess.display(self.load(image))

    def display_channels(self, values: Tensor) -> Tensor:
        """Return the channels of values `(N, C, H, W)` that a picture shows: three, or one for gray."""
        channels = self.preprocess.display_channels
        if list(channels) == list(range(values.shape[1])):
            return values
        # An index of several numbers would be copied to the device, which would be waited for.
        return torch.stack([values[:, channel] for channel in channels], dim=1)


class _Cache:
    """Decoded images; the least recently used ones are dropped.

    Attributes:
        capacity: The largest number of bytes.
    """

    def __init__(self, decode: Callable[[int], ImageArray], capacity: int) -> None:
        """Begin without images.

        Args:
            decode: Decodes an image by its id.
            capacity: The largest number of bytes.
        """
        self.capacity = capacity
        self._decode = decode
        self._images: OrderedDict[int, ImageArray] = OrderedDict()
        self._bytes = 0

    def load(self, image: int) -> ImageArray:
        """Return an image, decoded unless it is in memory."""
        if image in self._images:
            self._images.move_to_end(image)
            return self._images[image]
        array = self._decode(image)
        self._images[image] = array
        self._bytes += array.nbytes
        while self._bytes > self.capacity and len(self._images) > 1:
            self._bytes -= self._images.popitem(last=False)[1].nbytes
        return array

    def remember(self, images: Sequence[int], pixels: Tensor) -> bool:
        """Keep images that are decoded already while there is room; none is dropped for them."""
        for image, array in zip(images, pixels.numpy(), strict=True):
            if image not in self._images and self._bytes + array.nbytes <= self.capacity:
                self._images[image] = array.copy()  # a view would keep the whole batch in memory
                self._bytes += array.nbytes
        return all(image in self._images for image in images)

    def in_memory(self) -> set[int]:
        """Return the ids of the images that are kept."""
        return set(self._images)


def open_source(network: Network, images: ImageSet, device: torch.device) -> ImageSource:
    """Return a source of a data set's images that keeps the latest ones in memory.

    Args:
        network: The network, whose preprocessing is used.
        images: The data set.
        device: Device of the network.
    """

    def decode(image: int) -> ImageArray:
        pixels: ImageArray = load_pixels(images, network.preprocess, [image])[0].numpy()
        return pixels

    cache = _Cache(decode, image_memory(device))
    return ImageSource(cache.load, network.preprocess, device, cache.remember, cache.in_memory)
