"""Images that are explained: opened, and prepared as input of a network."""

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
from torchlurk.runtime.jpeg import Pixels

ImageLike = str | Path | Image.Image
"""An image: a file, or a PIL image."""


@dataclass(frozen=True)
class PreparedImage:
    """An image prepared as input of a network.

    Attributes:
        preprocess: Preprocessing of the network.
        array: What `preprocess` keeps of the image, `(H, W, C)`, uint8 or float32.
    """

    preprocess: Input
    array: ImageArray

    def to(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input `(1, C, H, W)`, and that of a black image, `(1, C, 1, 1)`.

        Args:
            like: Tensor whose device and dtype they get.
        """
        x = self.preprocess.to_input(torch.from_numpy(self.array)[None])
        black = self.preprocess.normalise(torch.zeros(1, x.shape[1], 1, 1))
        return x.to(like), black.to(like)

    def picture(self) -> Pixels:
        """Return the image as the network sees it, `(H, W, 3)`, uint8."""
        return self.preprocess.display(self.array)


def open_image(file: ImageLike) -> Image.Image:
    """Open an image as RGB.

    Raises:
        LurkError: The file cannot be read, or is not an image.
    """
    if not isinstance(file, str | Path | Image.Image):
        raise LurkError(f"an image is a {type(file).__name__}", "pass the path of a file, or a PIL image")
    try:
        return to_rgb(file) if isinstance(file, Image.Image) else decode_image(Path(file))
    except BadImage as problem:
        raise LurkError(f"image {_name(file)!r} cannot be read ({problem})", "choose another image") from None


def load_images(
    model: nn.Module, files: Sequence[ImageLike], preprocess: PreprocessLike
) -> Iterator[tuple[str, PreparedImage]]:
    """Load and prepare images.

    Args:
        model: The network.
        files: The images.
        preprocess: Its preprocessing.

    Yields:
        The name of each image, and the prepared image.

    Raises:
        LurkError: An image cannot be read or prepared.
    """
    resolved: Input | None = None
    for number, file in enumerate(files, 1):
        image = open_image(file)
        if resolved is None:
            resolved = _resolve(model, preprocess, image)
        try:
            yield _name(file) or f"image {number}", PreparedImage(resolved, resolved.to_array(image))
        except BadImage as problem:
            raise LurkError(
                f"image {_name(file)!r} cannot be preprocessed ({problem})", "choose another image"
            ) from None


def _resolve(model: nn.Module, preprocess: PreprocessLike, first: Image.Image) -> Input:
    return resolve_preprocess(model, preprocess, first=lambda: first)


def _name(file: ImageLike) -> str:
    """Return the name of an image's file, or an empty string."""
    return Path(getattr(file, "filename", "") if isinstance(file, Image.Image) else file).name
