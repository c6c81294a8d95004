"""From what a user names to a data set."""

from pathlib import Path
from typing import Final

from torchlurk.datasets.class_names import read_words
from torchlurk.datasets.csv_table import read_table
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.torchvision_dataset import PREFIX, open_torchvision

TABLES: Final = (".csv", ".tsv", ".tab")
"""Suffixes of tables."""


def open_images(images: str, *, words: Path | None, data_root: Path) -> ImageSet:
    """Open the images that a user named.

    Args:
        images: A folder, a CSV file of paths and labels, or `torchvision:NAME[:SPLIT]`.
        words: A file that names the classes, see `read_words`; None takes `classes.txt` in or beside a
            folder or beside a table, if there is one and it is not for others.
        data_root: The folder for torchvision's data sets.

    Returns:
        The data set, with at least one image.

    Raises:
        LurkError: It cannot be had, or the file of words does not fit it.
    """
    if images.startswith(PREFIX):
        return open_torchvision(images, data_root, words=read_words(words) if words else None)
    path = Path(images)
    given = words is not None
    if words is None:
        beside = (path / "classes.txt", path.parent / "classes.txt")
        words = next((file for file in beside if file.is_file()), None)
    names = read_words(words) if words else None
    if path.suffix.lower() in TABLES and not path.is_dir():
        return read_table(path, words=names)
    return list_images(path, words=names, optional=not given)
