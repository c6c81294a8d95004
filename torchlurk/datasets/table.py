"""Images by a table: a CSV file of paths and labels."""

import csv
import hashlib
import os
from pathlib import Path
from typing import Final

from torchlurk.datasets.listing import SUFFIXES, ImageFolder, digest_files
from torchlurk.datasets.words import Words, name_classes
from torchlurk.errors import LurkError
from torchlurk.names import readable

PATH_HEADERS: Final = ("path", "file", "filename", "image")
LABEL_HEADERS: Final = ("label", "class", "category")
NO_LABEL: Final = "no label"


def read_table(path: Path, *, words: Words | None = None) -> ImageFolder:
    """Read which images there are, and of which class each is.

    Args:
        path: A CSV file, UTF-8: a line an image, its path (relative to the file's folder) and its class by
            name; a class that is left out is `no label`. A first line of headers, `path` and `label`
            among them, is optional; without one, the path comes first.
        words: What to call a class, for those it names; or a name for each class, in the order of
            their labels' bytes.

    Returns:
        The images in the order of the file; `root` is the file's folder.

    Raises:
        LurkError: It cannot be read, has no images, names one twice, or a line is not of that form.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = [(number, row) for number, row in enumerate(csv.reader(handle), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
        raise LurkError(f"table {str(path)!r} cannot be read ({reason}): give CSV, path,label") from None
    columns = _columns(path, rows[0][1]) if rows else None
    rows = rows[1:] if columns else rows
    at, label_at = columns or (0, 1)
    if not rows:
        raise LurkError(f"table {str(path)!r} names no images: write a line an image, path,label")
    seen: dict[str, int] = {}
    labels: list[str] = []
    for number, row in rows:
        if len(row) <= at or not row[at].strip() or (columns is None and len(row) > 2):
            raise LurkError(f"{path}, line {number}, is {','.join(row)[:40]!r}: write path,label")
        # the store tells no absolute path
        image = Path(os.path.relpath(path.parent / row[at].strip(), path.parent)).as_posix()
        if image in seen:
            raise LurkError(
                f"{path}, line {number}: {image!r} is on line {seen[image]} already, name it once"
            )
        seen[image] = number
        labels.append((row[label_at].strip() if 0 <= label_at < len(row) else "") or NO_LABEL)
    if not any((path.parent / image).is_file() for image in seen):
        raise LurkError(
            f"table {str(path)!r}: none of its {len(seen)} images is there, {next(iter(seen))!r} for one; "
            f"paths are relative to {str(path.parent)!r}"
        )
    classes = sorted(set(labels), key=os.fsencode)
    position = {label: index for index, label in enumerate(classes)}
    total = hashlib.sha256(digest_files(path.parent, tuple(seen)).encode())
    total.update("\0".join(labels).encode())
    return ImageFolder(
        name=readable(path.stem),
        paths=tuple(seen),
        labels=tuple(position[label] for label in labels),
        classes=name_classes(classes, words),
        digest=total.hexdigest(),
        root=path.parent,
        files=tuple(seen),
    )


def _columns(path: Path, first: list[str]) -> tuple[int, int] | None:
    """Where path and label stand, if the first line says so; -1 for no labels."""
    names = [cell.strip().lower() for cell in first]
    at = next((names.index(name) for name in PATH_HEADERS if name in names), None)
    if at is None:
        is_image = Path(first[0]).suffix.lower() in SUFFIXES or (path.parent / first[0]).is_file()
        if is_image:
            return None
        raise LurkError(
            f"{path}, line 1, is {','.join(first)[:40]!r}: neither headers (path,label) nor an image"
        )
    return at, next((names.index(name) for name in LABEL_HEADERS if name in names), -1)
