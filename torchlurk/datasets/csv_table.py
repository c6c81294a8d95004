"""Images listed in a table: a CSV file of paths and labels."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torchlurk.datasets.class_names import ClassNames
from torchlurk.datasets.image_folder import ImageFolder, digest_files
from torchlurk.datasets.matching import name_folders
from torchlurk.datasets.suffixes import is_supported
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
"""Headers of the columns with paths and labels: in lower case, without blanks and underscores."""

_NUMBERING_HEADERS: Final = frozenset(("", "id", "index", "unnamed:0"))
"""Headers of columns that only number the lines."""

_NO_LABEL: Final = "no label"
_SEPARATORS: Final = (",", "\t", ";", "|")

_Row = tuple[int, list[str]]
"""Line number and cells."""

_HOW: Final = "write path,label on each line"


@dataclass(frozen=True)
class _Columns:
    """The columns with the paths and the labels; `label` is -1 if there are no labels."""

    path: int
    label: int
    header: bool


def read_table(path: Path, *, class_names: ClassNames | None = None) -> ImageFolder:
    """Read the paths and the classes of images from a table.

    Args:
        path: A CSV file, UTF-8, with one image on each line: its path, relative to the folder of the file,
            and its class by name; the class of an image without one is `no label`. Cells are separated by a
            comma, a tab, a semicolon or `|`. The first line may hold headers: one of `PATH_HEADERS` and one
            of `LABEL_HEADERS`, in any case, among others. Without headers, the path comes first.
        class_names: Names of the labels, by label or one for each, see `name_folders`.

    Returns:
        The images in the order of the file; `root` is the folder of the file.

    Raises:
        LurkError: The file cannot be read, has no images, lists one twice or has a malformed line; or it is
            ambiguous which columns hold the paths and the labels.
    """
    rows, columns = _read(path)
    rows = rows[1:] if columns.header else rows
    if not rows:
        raise LurkError(f"table {str(path)!r} lists no images", _HOW)
    lines: dict[str, int] = {}
    labels: list[str] = []
    for number, row in rows:
        column = columns.path
        if len(row) <= column or not row[column].strip() or (not columns.header and len(row) > 2):
            raise LurkError(f"{path}, line {number}, is {','.join(row)[:40]!r}", _HOW)
        image = _relative(path, row[column].strip())
        if image in lines:
            raise LurkError(
                f"{path}, line {number}: {image!r} is already on line {lines[image]}", "list it once"
            )
        lines[image] = number
        labels.append((row[columns.label].strip() if 0 <= columns.label < len(row) else "") or _NO_LABEL)
    if not any((path.parent / image).is_file() for image in lines):
        raise LurkError(
            f"table {str(path)!r}: none of its {len(lines)} images exists, {next(iter(lines))!r} for example",
            f"write paths relative to {str(path.parent)!r}",
        )
    classes = sorted(set(labels), key=os.fsencode)
    position = {label: index for index, label in enumerate(classes)}
    total = hashlib.sha256(digest_files(path.parent, tuple(lines)).encode())
    total.update("\0".join(labels).encode())
    labelled = [label for label in classes if label != _NO_LABEL]
    if class_names is not None and not labelled:
        raise LurkError(f"table {str(path)!r} has no labels that the class names could name", _HOW)
    named = name_folders(labelled, class_names)
    names = dict(zip(labelled, named.classes, strict=True))
    return ImageFolder(
        name=escape_surrogates(path.stem),
        paths=tuple(lines),
        labels=tuple(position[label] for label in labels),
        classes=tuple(names.get(label, label) for label in classes),
        digest=total.hexdigest(),
        root=path.parent,
        files=tuple(lines),
        notes=named.notes,
    )


def _read(path: Path) -> tuple[list[_Row], _Columns]:
    """Return the lines that are not empty, split by the first separator that fits the first line."""
    refusal: LurkError | None = None
    for separator in _SEPARATORS:
        try:
            with path.open(encoding="utf-8-sig", newline="") as handle:
                reader = csv.reader(handle, delimiter=separator)
                rows = [(number, row) for number, row in enumerate(reader, 1) if any(row)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
            raise LurkError(
                f"table {str(path)!r} cannot be read ({reason})", "give a CSV file of lines path,label"
            ) from None
        if rows and rows[0][1][0].lower().startswith("sep="):  # a line for Excel
            rows = rows[1:]
        if not rows:
            return [], _Columns(0, 1, header=False)
        try:
            columns = _columns(path, rows)
        except LurkError as problem:
            # Report the error for a separator that splits the line, if there is one.
            if refusal is None or len(rows[0][1]) > 1:
                refusal = problem
            continue
        return rows, columns
    assert refusal is not None
    raise refusal


def _relative(path: Path, cell: str) -> str:
    """Return an image's path relative to the table's folder: a store holds no absolute paths."""
    if "\\" in cell and os.sep == "/" and not (path.parent / cell).exists():
        cell = cell.replace("\\", "/")  # written on Windows
    return Path(os.path.relpath(path.parent / cell, path.parent)).as_posix()


def _columns(path: Path, rows: Sequence[_Row]) -> _Columns:
    """Find the columns of path and label from the first line.

    Raises:
        LurkError: The line names no such columns, or several columns may be meant.
    """
    number, first = rows[0]
    if is_supported(first[0].strip()) or (path.parent / first[0]).is_file():
        return _Columns(0, 1, header=False)
    headers = [re.sub(r"[\s_.-]+", "", cell).lower() for cell in first]
    paths = [at for at, header in enumerate(headers) if header in PATH_HEADERS]
    # "y" beside "x" is a coordinate
    coordinates = {"y"} if "x" in headers else set()
    labels = [at for at, header in enumerate(headers) if header in LABEL_HEADERS - coordinates]
    listed = ", ".join(repr(cell.strip()) for cell in first)[:200]
    for what, columns in (("path", paths), ("label", labels)):
        if len(columns) > 1:
            several = " and ".join(repr(first[at].strip()) for at in columns)
            raise LurkError(
                f"{path}, line {number}, has the columns {listed}: {several} may each be the {what}",
                "rename all but one, or write path,label",
            )
    if not paths:
        raise LurkError(
            f"{path}, line {number}, is {','.join(first)[:40]!r}: neither headers (path,label) nor an image"
        )
    if not labels and not _NUMBERING_HEADERS.issuperset(headers[: paths[0]] + headers[paths[0] + 1 :]):
        raise LurkError(
            f"{path}, line {number}, has the columns {listed}: none of them is known to hold the labels",
            f"write path,label, or {first[paths[0]].strip()!r} alone for images without labels",
        )
    return _Columns(paths[0], labels[0] if labels else -1, header=True)
