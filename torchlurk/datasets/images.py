"""What all data sets have in common: images by index, each with a name and a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from PIL import Image

NOT_READ: Final = "not read: "
"""How the reason begins why a file is skipped that is never decoded, as its format is not read."""


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, and why.

    Attributes:
        path: As in `ImageSet.paths`.
        reason: A few words.
    """

    path: str
    reason: str


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


def notes_of(images: ImageSet) -> tuple[str, ...]:
    """What a user is told of some images: what was assumed and what is left out, a line each."""
    return getattr(images, "notes", ())


def skipped_of(images: ImageSet) -> tuple[Skipped, ...]:
    """Images that lie there and are no part of the set, as their formats are not read."""
    return getattr(images, "skipped", ())
