"""List a folder of images: one subfolder for each class, in an order that is the same on every machine."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from PIL import Image

from torchlurk.datasets.class_names import ClassNames
from torchlurk.datasets.decode import decode_image
from torchlurk.datasets.file_tree import FileTree, list_files
from torchlurk.datasets.images import SkippedImage
from torchlurk.datasets.limits import BadImage, open_regular_file
from torchlurk.datasets.matching import NamedClasses, name_folders
from torchlurk.datasets.suffixes import suffix_of, supported_suffixes
from torchlurk.errors import LurkError
from torchlurk.runtime.names import escape_surrogates

_GENERIC_NAMES: Final = frozenset(("images", "train", "val", "valid", "validation", "test", "data"))
"""Names of folders that say nothing about the images: the parent folder's name is used instead."""

_SPLIT_NAMES: Final = frozenset(
    ("train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "evaluation")
)
"""Names of the splits of a data set, each of which has all the classes."""

_READERS: Final = 8
"""Threads that read files for the digest."""

_QUEUED: Final = 1024
"""Files that are submitted to these threads together."""

_LISTED: Final = 5
"""Names that a note lists."""


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, by index.

    Attributes:
        name: Name of the folder, or of its parent where its own name is generic, such as `train`.
        paths: Relative to the folder, with forward slashes, sorted by their bytes; as readable text.
        labels: Class of each image, as an index into `classes`.
        classes: First-level subfolders that hold images, by name or by their class names.
        digest: SHA-256 over the paths and the contents of the files, in hex.
        root: The folder; like all fields below, it takes no part in comparisons.
        files: Paths as the file system has them; these need not be valid text.
        skipped: Images in the folder that are left out because their formats are not read.
        notes: Assumptions and what is left out, to report to the user, one line each.
    """

    name: str
    paths: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    digest: str
    root: Path = field(repr=False, compare=False)
    files: tuple[str, ...] = field(repr=False, compare=False)
    skipped: tuple[SkippedImage, ...] = field(default=(), repr=False, compare=False)
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def file(self, index: int) -> Path:
        """Return the file of an image."""
        return self.root / self.files[index]

    def open(self, index: int) -> Image.Image:
        """Decode an image to RGB.

        Raises:
            BadImage: The image cannot be decoded.
        """
        return decode_image(self.file(index))

    def take(self, ids: Sequence[int]) -> Self:
        """Return a data set of these images alone, in this order."""
        return replace(
            self,
            paths=tuple(self.paths[index] for index in ids),
            labels=tuple(self.labels[index] for index in ids),
            files=tuple(self.files[index] for index in ids),
            skipped=(),
            notes=(),
        )


def list_images(root: Path, *, class_names: ClassNames | None = None, optional: bool = False) -> ImageFolder:
    """List the images of a folder and compute a digest of their bytes.

    A first-level subfolder is a class, with all images at any depth below it. Images directly in the folder
    are a class of their own, the last, named after the folder. Hidden files, folders that programs create and
    files that are not images by their suffix are ignored; the content of a file is checked when it is
    decoded.

    Args:
        root: The folder.
        class_names: Names of the subfolders, by folder or one for each, see `name_folders`.
        optional: Whether `class_names` that do not fit are ignored in a folder without subfolders.

    Returns:
        The data set, with at least one image.

    Raises:
        LurkError: The folder does not exist, cannot be read or holds no images, or `class_names` do not
            fit its classes.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise LurkError(f"image folder {str(root)!r} {what}", "give a folder of images")
    tree = list_files(root)
    paths = tree.images
    if not paths:
        skipped = _unread_note(tree)
        suffixes = ", ".join(sorted(supported_suffixes()))
        raise LurkError(
            f"image folder {str(root)!r} holds no images{skipped and f': {skipped}'}",
            f"put images ({suffixes}) into it, or into one subfolder for each class",
        )
    name = dataset_name(root)
    # The class of an image is its first-level subfolder, `None` for images directly in the folder.
    tops = [path.partition("/")[0] if "/" in path else None for path in paths]
    folders = sorted({top for top in tops if top is not None}, key=os.fsencode)
    position: dict[str | None, int] = {folder: index for index, folder in enumerate(folders)}
    position[None] = len(folders)
    loose = tops.count(None)
    named = _name_classes(
        [escape_surrogates(f) for f in folders], name if loose else None, class_names, optional
    )
    notes = (
        _unread_note(tree),
        _loose_note(name, loose, named.classes),
        _empty_note(tree, folders),
        _depth_note(name, paths, folders),
        *named.notes,
    )
    return ImageFolder(
        name=name,
        paths=tuple(map(escape_surrogates, paths)),
        labels=tuple(position[top] for top in tops),
        classes=named.classes,
        digest=digest_files(root, paths),
        root=root,
        files=tuple(paths),
        skipped=tree.skipped,
        notes=tuple(note for note in notes if note),
    )


def _name_classes(
    folders: Sequence[str], loose: str | None, class_names: ClassNames | None, optional: bool
) -> NamedClasses:
    """Name the subfolders, and after them the class of the images directly in the folder."""
    if not folders and loose is not None:
        try:
            return name_folders([loose], class_names)
        except LurkError as problem:
            if not optional:
                raise
            return NamedClasses((loose,), (f"class names are not used: {problem.message}",))
    named = name_folders(folders, class_names)
    if loose is None:
        return named
    while loose in named.classes:
        loose = f"{loose} (no subfolder)"
    return NamedClasses((*named.classes, loose), named.notes)


def _unread_note(tree: FileTree) -> str:
    """Say how many files are not read, by suffix."""
    paths = [image.path for image in tree.skipped] + [escape_surrogates(path) for path in tree.unknown]
    if not paths:
        return ""
    counts = Counter(suffix_of(path) or "without a suffix" for path in paths).most_common()
    listed = ", ".join(f"{count} {suffix}" for suffix, count in counts[:_LISTED])
    more = f", {sum(count for _, count in counts[_LISTED:])} others" if len(counts) > _LISTED else ""
    files = "1 file is" if len(paths) == 1 else f"{len(paths)} files are"
    return f"{files} skipped, of formats that are not read: {listed}{more}, such as {paths[0]!r}"


def _loose_note(name: str, loose: int, classes: Sequence[str]) -> str:
    """Say that there are images beside the subfolders, and which class they are."""
    if not loose or len(classes) < 2:
        return ""
    images = "1 image lies" if loose == 1 else f"{loose} images lie"
    beside = "1 subfolder" if len(classes) == 2 else f"{len(classes) - 1} subfolders"
    return f"{images} directly in {name!r}, beside {beside} with images: scanned as the class {classes[-1]!r}"


def _empty_note(tree: FileTree, folders: Sequence[str]) -> str:
    """Say which subfolders are not classes, because they hold no image that is read."""
    unread = [image.path for image in tree.skipped] + [escape_surrogates(path) for path in tree.unknown]
    tops = {path.partition("/")[0] for path in unread if "/" in path} | {
        escape_surrogates(top) for top in tree.empty
    }
    bare = sorted(tops - {escape_surrogates(folder) for folder in folders})
    if not bare or not folders:
        return ""
    listed = ", ".join(map(repr, bare[:_LISTED])) + (", ..." if len(bare) > _LISTED else "")
    what = "1 subfolder has" if len(bare) == 1 else f"{len(bare)} subfolders have"
    return f"{what} no images that are read, and no class: {listed}"


def _depth_note(name: str, paths: Sequence[str], folders: Sequence[str]) -> str:
    """Say that the classes may be one level further down."""
    inner = {tuple(path.split("/")[:2]) for path in paths if path.count("/") > 1}
    splits = bool(folders) and all(folder.lower() in _SPLIT_NAMES for folder in folders)
    if not inner or not (splits or (len(folders) == 1 and len(inner) > 1)):
        return ""
    listed = ", ".join(repr(escape_surrogates(folder)) for folder in folders)
    below = escape_surrogates(next(folder for folder in folders if any(top == folder for top, _ in inner)))
    classes = "the class is the subfolder" if len(folders) == 1 else "the classes are the subfolders"
    return f"{classes} {listed} of {name!r}; to use the subfolders of {below!r} as classes, give that folder"


def dataset_name(root: Path) -> str:
    """Return the name of the data set in a folder."""
    root = root.resolve()  # "." has no name of its own
    if root.name.lower() in _GENERIC_NAMES:
        root = root.parent if root.parent.name else root
    return escape_surrogates(root.name) or "images"


def digest_files(root: Path, paths: Sequence[str]) -> str:
    """Compute a digest of paths and contents.

    Files that cannot be images count by their path alone: those that cannot be read, are empty, or are too
    large to be decoded.

    Args:
        root: The folder.
        paths: Paths of the files, relative to it.

    Returns:
        A SHA-256 in hex.
    """
    total = hashlib.sha256()
    # Threads, because reading waits for the disk and hashing releases the interpreter lock: a data set of a
    # hundred gigabytes takes minutes instead of an hour.
    with ThreadPoolExecutor(_READERS) as pool:
        for begin in range(0, len(paths), _QUEUED):
            # In parts, because a pool keeps a kilobyte or two for each file that it is given.
            part = paths[begin : begin + _QUEUED]
            for path, content in zip(part, pool.map(lambda path: _content(root / path), part), strict=True):
                total.update(os.fsencode(path) + b"\0")
                total.update(content)
    return total.hexdigest()


def _content(path: Path) -> bytes:
    """Return the digest of a file's content."""
    try:
        with open_regular_file(path) as handle:
            return hashlib.file_digest(handle, "sha256").digest()
    except (OSError, BadImage):
        return b"unreadable"
