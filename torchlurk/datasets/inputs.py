"""What a network wants to be fed: from an image to its input, and back to a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from torchlurk.datasets.decode import INTERPOLATIONS, Pixels, ResizeCrop, cut_image
from torchlurk.errors import LurkError

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

Decoded = npt.NDArray[Any]
"""(H, W, C), uint8 or float32: what is kept of an image in memory."""


class Input(Protocol):
    """How images become a network's input, in two steps: what is kept of one, and what is fed.

    A value v in [0, 1] of channel c is fed as (v - mean[c]) / std[c].
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel, of values in [0, 1]."""

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel, likewise."""

    @property
    def shown(self) -> tuple[int, ...]:
        """Which channels a picture shows: as red, green and blue, or one as gray."""

    @property
    def cut(self) -> ResizeCrop | None:
        """What a decoding process can do in place of `decoded`; None if that is for this process alone."""

    def decoded(self, image: Image.Image) -> Decoded:
        """What is kept of an image, RGB of any size: (H, W, C).

        Raises:
            BadImage: Nothing can be made of this one.
        """

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """From what was kept, (N, H, W, C), to (N, C, H, W), float32 in channels_last order."""

    def display(self, decoded: Decoded) -> Pixels:
        """From what was kept to a picture, (H, W, 3), uint8."""


@dataclass(frozen=True)
class Preprocess:
    """Resize, cut the centre, normalise: what nearly all networks want, to the bit as torchvision does it.

    Attributes:
        size: Height and width of the network's input, pixels; one number for a square.
        resize: What the short side is brought to before the centre is cut, pixels; or (height,
            width), whatever the proportions; or None where every image has that size already.
        mean: Of each channel, of values in [0, 1]; one channel is gray, three are red, green, blue.
        std: Of each channel, likewise.
        interpolation: As Pillow calls it, e.g. "bilinear" or "bicubic".
        reciprocal: Multiply bytes by 1 / 255, as torchvision's transforms v2 do, rather than divide by
            255: the two differ in the last bit.

    Raises:
        LurkError: The figures do not go together.

    Examples:
        >>> wide = torchlurk.Preprocess(size=(160, 320), resize=(160, 320))
        >>> wide.shape
        (3, 160, 320)
    """

    size: int | tuple[int, int] = 224
    resize: int | tuple[int, int] | None = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    reciprocal: bool = False

    def __post_init__(self) -> None:
        # a short side that is given as one number must reach around the square; others may be padded
        resize = self.size if self.resize is None else self.resize
        small = isinstance(self.size, int) and isinstance(resize, int) and self.size > resize
        if min(*self._extent, *_pair(resize)) < 1 or small:
            raise LurkError(
                f"an input of {self.size} pixels cannot be cut from a short side of {self.resize}: "
                "take 1 <= size <= resize"
            )
        if len(self.mean) not in (1, 3) or len(self.mean) != len(self.std):
            raise LurkError(
                f"mean {self.mean} and std {self.std}: give as many of both, 1 for gray or 3 for colours"
            )
        if min(self.std) <= 0:
            raise LurkError(f"std {self.std} must be positive in every colour")
        if self.interpolation not in INTERPOLATIONS:
            raise LurkError(
                f"there is no interpolation {self.interpolation!r}: take {' or '.join(INTERPOLATIONS)}"
            )

    @property
    def _extent(self) -> tuple[int, int]:
        return _pair(self.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        return (len(self.mean), *self._extent)

    @property
    def shown(self) -> tuple[int, ...]:
        """All channels."""
        return tuple(range(len(self.mean)))

    @property
    def cut(self) -> ResizeCrop:
        """What a decoding process does."""
        return ResizeCrop(self._extent, self.resize, self.interpolation, len(self.mean))

    def decoded(self, image: Image.Image) -> Pixels:
        """Resize and cut an image; equal to torchvision's ImageClassification preset.

        Args:
            image: RGB, of any size.

        Returns:
            (H, W, C), uint8.

        Raises:
            BadImage: It is too narrow, or of another size where none is resized.
        """
        return cut_image(image, self.cut)

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn pixels into the network's input.

        Args:
            batch: (N, H, W, C), uint8, on any device.

        Returns:
            (N, C, H, W), float32, on the same device.
        """
        mean = torch.tensor(self.mean, device=batch.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=batch.device).view(-1, 1, 1)
        # the operations are torchvision's
        values = batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        values = values.mul_(1 / 255) if self.reciprocal else values.div_(255)
        return values.sub_(mean).div_(std)

    def display(self, decoded: Decoded) -> Pixels:
        """The pixels themselves, gray ones three times: (H, W, 3)."""
        return as_colours(decoded, self.shown)


def resized(preprocess: Preprocess, size: int | tuple[int, int]) -> Preprocess:
    """The same for an input of another size; what is resized before the cut changes in proportion.

    Args:
        preprocess: For one size.
        size: Another: height and width, pixels; one number for a square.

    Returns:
        For that size.
    """
    before, after = preprocess.shape[1:], _pair(size)
    if isinstance(preprocess.resize, int):
        longest = max(after)
        short: int | tuple[int, int] = max(longest, round(longest * preprocess.resize / max(before)))
    elif preprocess.resize is None:
        short = max(after)
    else:
        height, width = (
            round(new * whole / old) for new, whole, old in zip(after, preprocess.resize, before, strict=True)
        )
        short = (height, width)
    return replace(preprocess, size=size, resize=short)


def as_colours(pixels: Pixels, shown: Sequence[int]) -> Pixels:
    """Pick the channels of a picture.

    Args:
        pixels: (H, W, C), uint8.
        shown: Three channels, for red, green and blue, or one for gray.

    Returns:
        (H, W, 3), uint8.
    """
    if pixels.shape[2] == 3 and tuple(shown) == (0, 1, 2):
        return pixels
    return np.ascontiguousarray(pixels[:, :, list(shown) * (3 // len(shown))])


def _pair(sides: int | tuple[int, int]) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else sides
