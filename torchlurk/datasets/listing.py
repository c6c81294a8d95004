"""A folder of images -> what is in it, in an order that is the same on every machine."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torchlurk.errors import LurkError

SUFFIXES: Final = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, indexed.

    Attributes:
        name: The folder's own name.
        paths: Relative to the folder, with forward slashes, sorted by their bytes.
        labels: For each path, an index into `classes`.
        classes: The first-level subfolders that hold images, by name or by the words for it.
        digest: sha256 over the paths and the files' contents, in hex.
        root: The folder; it takes no part in comparisons.
    """

    name: str
    paths: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    digest: str
    root: Path = field(repr=False, compare=False)


def list_images(root: Path, *, words: Mapping[str, str] | None = None) -> ImageFolder:
    """List the images of a folder and digest their bytes.

    A first-level subfolder is a class, at whatever depth below it its images lie. Without such
    subfolders all images are of one class, named after the folder; with them, images that lie
    beside them are no part of the dataset. Hidden files and files of other kinds are passed over;
    what a file really holds is seen when it is decoded.

    Args:
        root: The folder.
        words: What to call a subfolder, for those it names.

    Returns:
        The list; at least one image.

    Raises:
        LurkError: There is no such folder, it cannot be read, or it holds no images.
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
    # resolved, so that "." has a name too
    name = root.resolve().name or "images"
    tops = [path.split("/")[0] if nested else name for path in paths]
    folders = sorted(set(tops), key=os.fsencode)
    position = {folder: index for index, folder in enumerate(folders)}
    return ImageFolder(
        name=name,
        paths=tuple(paths),
        labels=tuple(position[top] for top in tops),
        classes=tuple((words or {}).get(folder, folder) for folder in folders),
        digest=_digest(root, paths),
        root=root,
    )


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
        if entry.is_dir():
            yield from _walk(root, f"{path}/", above | {here})
        elif Path(entry.name).suffix.lower() in SUFFIXES and (
            # a dangling link is listed and skipped when decoded; a pipe would never end
            entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
        ):
            yield path


def _digest(root: Path, paths: list[str]) -> str:
    """Digest paths and contents; a file that cannot be read counts by its path."""
    total = hashlib.sha256()
    for path in paths:
        total.update(os.fsencode(path) + b"\0")
        try:
            with (root / path).open("rb") as handle:
                total.update(hashlib.file_digest(handle, "sha256").digest())
        except OSError:
            total.update(b"unreadable")
    return total.hexdigest()


def read_words(path: Path) -> dict[str, str]:
    """Read what class folders are called, such as `n01443537<TAB>goldfish, Carassius auratus`.

    Args:
        path: UTF-8 text: a line a class, the folder's name first, then a tab or else a comma,
            then the words. Empty lines are passed over.

    Returns:
        Words by folder name.

    Raises:
        LurkError: It cannot be read, or a line is not of that form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise LurkError(f"class words {str(path)!r} cannot be read: {reason}") from None
    words: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        folder, separator, rest = line.partition("\t" if "\t" in line else ",")
        if not (separator and folder.strip() and rest.strip()):
            raise LurkError(
                f"{path}, line {number}, is {line[:40]!r}: write the folder's name, a tab, then the words"
            )
        words[folder.strip()] = rest.strip()
    return words
