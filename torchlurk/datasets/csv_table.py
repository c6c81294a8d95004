"""Images by a table: a CSV file of paths and labels."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torchlurk.datasets.class_names import Words
from torchlurk.datasets.image_folder import ImageFolder, digest_files
from torchlurk.datasets.matching import name_folders
from torchlurk.datasets.suffixes import is_read
from torchlurk.errors import LurkError
from torchlurk.runtime.names import escape_surrogates

_PATHS = """
    path paths file files filename filenames filepath fname fpath relpath relativepath photo picture
    image images imagepath imagefile imagefilename imagename img imgpath imgfile imgname
"""
_LABELS = """
    label labels labelid labelname labelindex labelidx target targets targetid y groundtruth gt
    class classes classid classname classlabel classindex classidx category categories categoryid categoryname
"""
PATH_HEADERS: Final = frozenset(_PATHS.split())
LABEL_HEADERS: Final = frozenset(_LABELS.split())
"""What columns are called that hold paths and labels: in lower case, without blanks and lines."""

IGNORED: Final = frozenset(("", "id", "index", "unnamed:0"))
"""What columns are called that number the lines."""

NO_LABEL: Final = "no label"
SEPARATORS: Final = (",", "\t", ";", "|")

Row = tuple[int, list[str]]
"""The number of a line, and its cells."""


@dataclass(frozen=True)
class _Columns:
    """Where the paths and the labels are; `label` is -1 if there are none."""

    path: int
    label: int
    header: bool


def read_table(path: Path, *, words: Words | None = None) -> ImageFolder:
    """Read which images there are, and of which class each is.

    Args:
        path: A CSV file, UTF-8: a line an image, its path (relative to the file's folder) and its class by
            name; a class that is left out is `no label`. Cells have a comma, a tab, a semicolon or `|`
            between. A first line of headers is optional: one of `PATH_HEADERS` and one of `LABEL_HEADERS`,
            in any case, among others; without one, the path comes first.
        words: What to call a class, for those it names; or a name for each class, see `name_folders`.

    Returns:
        The images in the order of the file; `root` is the file's folder.

    Raises:
        LurkError: It cannot be read, has no images, names one twice, a line is not of that form, or it is not
            certain which columns are meant.
    """
    rows, columns = _read(path)
    rows = rows[1:] if columns.header else rows
    if not rows:
        raise LurkError(f"table {str(path)!r} names no images: write a line an image, path,label")
    seen: dict[str, int] = {}
    labels: list[str] = []
    for number, row in rows:
        at = columns.path
        if len(row) <= at or not row[at].strip() or (not columns.header and len(row) > 2):
            raise LurkError(f"{path}, line {number}, is {','.join(row)[:40]!r}: write path,label")
        image = _relative(path, row[at].strip())
        if image in seen:
            raise LurkError(
                f"{path}, line {number}: {image!r} is on line {seen[image]} already, name it once"
            )
        seen[image] = number
        labels.append((row[columns.label].strip() if 0 <= columns.label < len(row) else "") or NO_LABEL)
    if not any((path.parent / image).is_file() for image in seen):
        raise LurkError(
            f"table {str(path)!r}: none of its {len(seen)} images is there, {next(iter(seen))!r} for one; "
            f"paths are relative to {str(path.parent)!r}"
        )
    classes = sorted(set(labels), key=os.fsencode)
    position = {label: index for index, label in enumerate(classes)}
    total = hashlib.sha256(digest_files(path.parent, tuple(seen)).encode())
    total.update("\0".join(labels).encode())
    labelled = [label for label in classes if label != NO_LABEL]
    if words is not None and not labelled:
        raise LurkError(f"table {str(path)!r} has no labels that class words could name: write path,label")
    named = name_folders(labelled, words)
    names = dict(zip(labelled, named.classes, strict=True))
    return ImageFolder(
        name=escape_surrogates(path.stem),
        paths=tuple(seen),
        labels=tuple(position[label] for label in labels),
        classes=tuple(names.get(label, label) for label in classes),
        digest=total.hexdigest(),
        root=path.parent,
        files=tuple(seen),
        notes=named.notes,
    )


def _read(path: Path) -> tuple[list[Row], _Columns]:
    """The lines that are not empty, cut by the first separator that makes sense of the first of them."""
    refusal: LurkError | None = None
    for separator in SEPARATORS:
        try:
            with path.open(encoding="utf-8-sig", newline="") as handle:
                cut = csv.reader(handle, delimiter=separator)
                rows = [(number, row) for number, row in enumerate(cut, 1) if any(row)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
            raise LurkError(f"table {str(path)!r} cannot be read ({reason}): give CSV, path,label") from None
        if rows and rows[0][1][0].lower().startswith("sep="):  # for Excel
            rows = rows[1:]
        if not rows:
            return [], _Columns(0, 1, header=False)
        try:
            columns = _columns(path, rows)
        except LurkError as problem:
            # of several separators, the one that cuts says best what is wrong
            if refusal is None or len(rows[0][1]) > 1:
                refusal = problem
            continue
        return rows, columns
    assert refusal is not None
    raise refusal


def _relative(path: Path, cell: str) -> str:
    """An image's path, relative to the table's folder, as the store tells no absolute one."""
    if "\\" in cell and os.sep == "/" and not (path.parent / cell).exists():
        cell = cell.replace("\\", "/")  # as Windows writes it
    return Path(os.path.relpath(path.parent / cell, path.parent)).as_posix()


def _columns(path: Path, rows: Sequence[Row]) -> _Columns:
    """Where path and label are, by the first line.

    Raises:
        LurkError: It says neither, or more than one column may be meant.
    """
    number, first = rows[0]
    if is_read(first[0].strip()) or (path.parent / first[0]).is_file():
        return _Columns(0, 1, header=False)
    names = [re.sub(r"[\s_.-]+", "", cell).lower() for cell in first]
    paths = [at for at, name in enumerate(names) if name in PATH_HEADERS]
    labels = [
        at for at, name in enumerate(names) if name in LABEL_HEADERS and not (name == "y" and "x" in names)
    ]
    shown = ", ".join(repr(cell.strip()) for cell in first)[:200]
    for what, found in (("path", paths), ("label", labels)):
        if len(found) > 1:
            several = " and ".join(repr(first[at].strip()) for at in found)
            raise LurkError(
                f"{path}, line {number}, has the columns {shown}: {several} may each be the {what}, rename "
                "all but one, or write path,label"
            )
    if not paths:
        raise LurkError(
            f"{path}, line {number}, is {','.join(first)[:40]!r}: neither headers (path,label) nor an image"
        )
    if not labels and not IGNORED.issuperset(names[: paths[0]] + names[paths[0] + 1 :]):
        raise LurkError(
            f"{path}, line {number}, has the columns {shown}: none is known to hold the labels, write "
            f"path,label, or {first[paths[0]].strip()!r} alone for images without"
        )
    return _Columns(paths[0], labels[0] if labels else -1, header=True)
