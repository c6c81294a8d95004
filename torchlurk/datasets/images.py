"""The interface of all data sets: images by index, each with a name and a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from PIL import Image

NOT_READ: Final = "not read: "
"""The beginning of the reason for a file that is skipped without decoding, because its format is not read."""


@dataclass(frozen=True)
class SkippedImage:
    """An image that is left out of a data set, and why.

    Attributes:
        path: Its name, as in `ImageSet.paths`.
        reason: A short text.
    """

    path: str
    reason: str


class ImageSet(Protocol):
    """Images in a fixed order; the id of an image is its index."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Name of each image, with forward slashes, the same on every machine."""

    @property
    def labels(self) -> tuple[int, ...]:
        """Class of each image, as an index into `classes`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def digest(self) -> str:
        """SHA-256 of names and contents, in hex."""

    def file(self, index: int) -> Path | None:
        """Return the file of an image, or `None` if the image is not a file of its own."""

    def open(self, index: int) -> Image.Image:
        """Decode an image to RGB, oriented for display.

        Raises:
            BadImage: The image cannot be decoded.
        """

    def take(self, ids: Sequence[int]) -> Self:
        """Return a data set of these images alone, in this order."""


def notes_of(images: ImageSet) -> tuple[str, ...]:
    """Return what to report about a data set: assumptions and what is left out, one line each."""
    return getattr(images, "notes", ())


def skipped_of(images: ImageSet) -> tuple[SkippedImage, ...]:
    """Return images in the folder of a data set that are left out because their formats are not read."""
    return getattr(images, "skipped", ())
