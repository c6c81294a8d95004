"""List the files below a folder of images."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torchlurk.datasets.images import SkippedImage
from torchlurk.datasets.suffixes import JUNK_FOLDERS, is_supported, unsupported_reason
from torchlurk.errors import LurkError
from torchlurk.runtime.names import escape_surrogates


@dataclass(frozen=True)
class FileTree:
    """The files below a folder, by their paths relative to it, sorted by the bytes of their names.

    Attributes:
        images: Files that are read as images.
        skipped: Images of formats that are not read; the paths as readable text.
        unknown: Files that are not images by their suffixes, but are not known to be something else.
        empty: First-level subfolders without any file.
    """

    images: tuple[str, ...]
    skipped: tuple[SkippedImage, ...]
    unknown: tuple[str, ...]
    empty: tuple[str, ...]


def list_files(root: Path) -> FileTree:
    """List the files below a folder; follow links, ignore hidden files and folders that programs create.

    Raises:
        LurkError: The folder or a subfolder cannot be read.
    """
    images: list[str] = []
    unread: list[tuple[str, str]] = []
    unknown: list[str] = []
    filled: set[str] = set()
    for path, kind in _walk(root, "", frozenset()):
        filled.add(path.partition("/")[0])
        # A broken link is listed, and skipped when decoded. A pipe is left out: reading it would never end.
        if is_supported(path.rpartition("/")[2]):
            images.append(path)
        elif kind == stat.S_IFREG:
            reason = unsupported_reason(root / path)
            if reason:
                unread.append((path, reason))
            elif reason is not None:
                unknown.append(path)
    tops = [entry.name for entry in os.scandir(root) if _is_class(entry)]
    return FileTree(
        images=tuple(sorted(images, key=os.fsencode)),
        skipped=tuple(
            SkippedImage(escape_surrogates(path), why)
            for path, why in sorted(unread, key=lambda p: os.fsencode(p[0]))
        ),
        unknown=tuple(sorted(unknown, key=os.fsencode)),
        empty=tuple(sorted((top for top in tops if top not in filled), key=os.fsencode)),
    )


def _walk(root: Path, below: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int | None]]:
    """Yield the files under `root/below` and their types; follow links, but not in circles."""
    folder = root / below
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        raise LurkError(
            f"folder {str(folder)!r} cannot be read ({error.strerror})", "change its permissions or remove it"
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
            if entry.name.lower() not in JUNK_FOLDERS:
                yield from _walk(root, f"{path}/", above | {here})
        elif kind in (stat.S_IFREG, None):
            yield path, kind


def _is_class(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a subfolder that may be a class."""
    return (
        not entry.name.startswith(".")
        and _kind(entry) == stat.S_IFDIR
        and entry.name.lower() not in JUNK_FOLDERS
    )


def _kind(entry: os.DirEntry[str]) -> int | None:
    """Return the file type; `None` for a broken link, a circular one, or one that may not be followed."""
    try:
        return stat.S_IFMT(entry.stat().st_mode)
    except OSError:
        return None
