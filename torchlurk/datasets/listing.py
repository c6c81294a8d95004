"""A folder of images -> what is in it, in an order that is the same on every machine."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from PIL import Image

from torchlurk.datasets.decode import decode
from torchlurk.datasets.limits import BadImage, open_plain
from torchlurk.datasets.words import Words, name_classes
from torchlurk.errors import LurkError
from torchlurk.names import readable

SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))
COMMON: Final = frozenset(("images", "train", "val", "valid", "validation", "test", "data"))
"""What folders of images are called whatever is in them: the folder above says more."""


READING: Final = 8
"""Files that are read at once for the digest."""

AT_ONCE: Final = 1024
"""Files that wait for that."""


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, indexed.

    Attributes:
        name: The folder's own name, or that of the folder above where the own one is `COMMON`.
        paths: Relative to the folder, with forward slashes, sorted by their bytes; as readable text.
        labels: For each path, an index into `classes`.
        classes: The first-level subfolders that hold images, by name or by the words for it.
        digest: sha256 over the paths and the files' contents, in hex.
        root: The folder; it takes no part in comparisons, nor does the next.
        files: The paths as the file system has them, whose names need not be text.
    """

    name: str
    paths: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    digest: str
    root: Path = field(repr=False, compare=False)
    files: tuple[str, ...] = field(repr=False, compare=False)

    def file(self, at: int) -> Path:
        """Where an image lies."""
        return self.root / self.files[at]

    def open(self, at: int) -> Image.Image:
        """Decode an image to RGB.

        Raises:
            BadImage: It cannot be decoded.
        """
        return decode(self.file(at))

    def take(self, ids: Sequence[int]) -> Self:
        """The same folder with these images alone, in this order."""
        return replace(
            self,
            paths=tuple(self.paths[at] for at in ids),
            labels=tuple(self.labels[at] for at in ids),
            files=tuple(self.files[at] for at in ids),
        )


def list_images(root: Path, *, words: Words | None = None) -> ImageFolder:
    """List the images of a folder and digest their bytes.

    A first-level subfolder is a class, at whatever depth below it its images lie. Without such
    subfolders all images are of one class, named after the folder; with them, images that lie
    beside them are no part of the dataset. Hidden files and files of other kinds are passed over;
    what a file really holds is seen when it is decoded.

    Args:
        root: The folder.
        words: What to call a subfolder, for those it names; or a name for each class, in order.

    Returns:
        The list; at least one image.

    Raises:
        LurkError: There is no such folder, it cannot be read, it holds no images, or there are more or fewer
            `words` than classes.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise LurkError(f"image folder {str(root)!r} {what}: give a folder of images")
    found = sorted(_walk(root, "", frozenset()), key=os.fsencode)
    nested = [path for path in found if "/" in path]
    paths = nested or found
    if not paths:
        raise LurkError(
            f"image folder {str(root)!r} holds no images: looked for "
            f"{', '.join(sorted(SUFFIXES))} in it and in its subfolders, one of them a class"
        )
    name = set_name(root)
    tops = [path.split("/")[0] if nested else name for path in paths]
    folders = sorted(set(tops), key=os.fsencode)
    position = {folder: index for index, folder in enumerate(folders)}
    return ImageFolder(
        name=name,
        paths=tuple(map(readable, paths)),
        labels=tuple(position[top] for top in tops),
        classes=name_classes([readable(folder) for folder in folders], words),
        digest=digest_files(root, paths),
        root=root,
        files=tuple(paths),
    )


def set_name(root: Path) -> str:
    """Name the data set that lies in a folder."""
    root = root.resolve()  # so that "." has a name too
    if root.name.lower() in COMMON:
        root = root.parent if root.parent.name else root
    return readable(root.name) or "images"


def _walk(root: Path, below: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Yield the images under `root/below`; links are followed, but not in circles."""
    folder = root / below
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        raise LurkError(
            f"folder {str(folder)!r} cannot be read ({error.strerror}): change its permissions or take it out"
        ) from None
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        path = f"{below}{entry.name}"
        if entry.name.startswith("."):
            continue
        kind = _kind(entry)
        if kind == stat.S_IFDIR:
            yield from _walk(root, f"{path}/", above | {here})
        # a link to nothing is listed and skipped when decoded; a pipe would never end
        elif kind in (stat.S_IFREG, None) and Path(entry.name).suffix.lower() in SUFFIXES:
            yield path


def _kind(entry: os.DirEntry[str]) -> int | None:
    """What is there; None for a link to nothing, to itself or to where nobody may look."""
    try:
        return stat.S_IFMT(entry.stat().st_mode)
    except OSError:
        return None


def digest_files(root: Path, paths: Sequence[str]) -> str:
    """Digest paths and contents; a file that cannot be an image counts by its path.

    Such are those that cannot be read, are empty, or so large that they are not decoded either.

    Args:
        root: The folder.
        paths: Of files, relative to it.

    Returns:
        A sha256 in hex.
    """
    total = hashlib.sha256()
    # Threads, as reading waits for the disk and hashing leaves the interpreter's lock: a data set of a
    # hundred gigabytes takes minutes rather than an hour.
    with ThreadPoolExecutor(READING) as pool:
        for begin in range(0, len(paths), AT_ONCE):
            # Some at a time: a pool keeps a kilobyte or two for each file that it is told of.
            some = paths[begin : begin + AT_ONCE]
            for path, content in zip(some, pool.map(lambda path: _content(root / path), some), strict=True):
                total.update(os.fsencode(path) + b"\0")
                total.update(content)
    return total.hexdigest()


def _content(path: Path) -> bytes:
    try:
        with open_plain(path) as handle:
            return hashlib.file_digest(handle, "sha256").digest()
    except (OSError, BadImage):
        return b"unreadable"
