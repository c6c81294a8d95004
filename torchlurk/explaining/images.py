"""Images as a user names them, ready to be fed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from torchlurk.datasets.decode import decode_image, to_rgb
from torchlurk.datasets.inputs import ImageArray, Input
from torchlurk.datasets.limits import BadImage
from torchlurk.datasets.preprocess import PreprocessLike, resolve_preprocess
from torchlurk.errors import LurkError
from torchlurk.runtime.pictures import Pixels

ImageLike = str | Path | Image.Image
"""An image: a file of one, or in memory."""


@dataclass(frozen=True)
class Feed:
    """An image that is ready to be fed.

    Attributes:
        preprocess: what makes a network's input of it.
        decoded: what `preprocess` keeps of it, `(H, W, C)`.
    """

    preprocess: Input
    decoded: ImageArray

    def to(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The image as a network is fed, `(1, C, H, W)`, and a black one, `(1, C, 1, 1)`.

        Args:
            like: whose device and type they get.
        """
        x = self.preprocess.to_input(torch.from_numpy(self.decoded)[None])
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.preprocess.mean, self.preprocess.std))
        return x.to(like), (-mean / std).to(like)

    def picture(self) -> Pixels:
        """What the network is shown, `(H, W, 3)`."""
        return self.preprocess.display(self.decoded)


def open_image(file: ImageLike) -> Image.Image:
    """An image as RGB.

    Raises:
        LurkError: it cannot be read, or is no image.
    """
    if not isinstance(file, str | Path | Image.Image):
        raise LurkError(f"an image is a {type(file).__name__}: give the path of a file, or a PIL image")
    try:
        return to_rgb(file) if isinstance(file, Image.Image) else decode_image(Path(file))
    except BadImage as problem:
        raise LurkError(f"image {_name(file)!r} cannot be read ({problem}): give another") from None


def load_images(
    model: nn.Module, files: Sequence[ImageLike], told: PreprocessLike
) -> Iterator[tuple[str, Feed]]:
    """Read images.

    Args:
        model: the network that they are for.
        files: which.
        told: what it is fed.

    Yields:
        Each image's name, and the image.

    Raises:
        LurkError: one cannot be read, or nothing can be made of it.
    """
    known: Input | None = None
    for number, file in enumerate(files, 1):
        image = open_image(file)
        known = known or _input(model, told, image)
        try:
            yield _name(file) or f"image {number}", Feed(known, known.to_array(image))
        except BadImage as problem:
            raise LurkError(f"image {_name(file)!r} cannot be fed ({problem}): give another") from None


def _input(model: nn.Module, told: PreprocessLike, first: Image.Image) -> Input:
    return resolve_preprocess(model, told, first=lambda: first)


def _name(file: ImageLike) -> str:
    return Path(getattr(file, "filename", "") if isinstance(file, Image.Image) else file).name
