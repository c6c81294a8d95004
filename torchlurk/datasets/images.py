"""What all data sets have in common: images by index, each with a name and a class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from PIL import Image


class ImageSet(Protocol):
    """Images in a fixed order; an image's id is its index."""

    @property
    def name(self) -> str:
        """What the data set is called."""

    @property
    def paths(self) -> tuple[str, ...]:
        """A name of each image, with forward slashes, that is the same on every machine."""

    @property
    def labels(self) -> tuple[int, ...]:
        """For each image, an index into `classes`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""

    @property
    def digest(self) -> str:
        """sha256 over names and contents, in hex."""

    def file(self, at: int) -> Path | None:
        """Where an image lies as a file; None where it does not."""

    def open(self, at: int) -> Image.Image:
        """An image, RGB, as a person would see it.

        Raises:
            BadImage: It cannot be decoded.
        """

    def take(self, ids: Sequence[int]) -> Self:
        """The same data set with these images alone, in this order."""
