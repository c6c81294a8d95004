"""Open the images that a user names: a folder, a table or a data set of torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from torchlurk.datasets.class_names import read_class_names
from torchlurk.datasets.csv_table import read_table
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.torchvision_dataset import TORCHVISION_PREFIX, open_torchvision

_TABLE_SUFFIXES: Final = (".csv", ".tsv", ".tab")


def open_images(images: str, *, class_names_file: Path | None, data_root: Path) -> ImageSet:
    """Open the images that a user names.

    Args:
        images: A folder, a CSV file of paths and labels, or `torchvision:NAME[:SPLIT]`.
        class_names_file: A file of class names, see `read_class_names`. `None` uses `classes.txt` in or
            beside the folder, or beside the table, if there is one that fits.
        data_root: Folder for torchvision's data sets.

    Returns:
        The data set, with at least one image.

    Raises:
        LurkError: The images cannot be opened, or the class names do not fit them.
    """
    if images.startswith(TORCHVISION_PREFIX):
        names = read_class_names(class_names_file) if class_names_file else None
        return open_torchvision(images, data_root, class_names=names)
    path = Path(images)
    candidates = (path / "classes.txt", path.parent / "classes.txt")
    file = class_names_file or next((file for file in candidates if file.is_file()), None)
    names = read_class_names(file) if file else None
    if path.suffix.lower() in _TABLE_SUFFIXES and not path.is_dir():
        return read_table(path, class_names=names)
    return list_images(path, class_names=names, optional=class_names_file is None)
