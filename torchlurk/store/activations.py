"""The activations of all images in a store: plain NumPy files, which are read memory-mapped.

They are in a folder of their own, `activations/`, which a published site does not have. The folder appears
complete or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from torchlurk.errors import LurkError, Option
from torchlurk.store.schema import CHECKSUMS, LayerRecord, Manifest, safe_name
from torchlurk.store.write import sync_file, write_bytes

ACTIVATIONS = "activations"
"""Folder of the activations."""

ACTIVATIONS_DRAFT = ".activations"
"""Name of the folder while it is written."""

IMAGES_TABLE = "images.jsonl"
"""File of the images, in the folder of the activations: a line `[path, class]` for each row of the arrays."""

ActivationKind = Literal["max", "mean", "position"]
"""The maxima of the feature maps, their means, or the positions of the maxima as `y * W + x`."""

_HINT = ("compute them again with ", Option("keep_activations", "yes"))
_MAX_REASON = 200
"""Characters of an error of numpy, which may quote the file."""

_BLOCK = 1 << 24
"""Bytes that are read at once for a digest."""


def position_type(shape: Sequence[int]) -> np.dtype[Any]:
    """Return the smallest unsigned integer type for positions in maps of a layer of shape `(C, H, W)`."""
    _, height, width = shape
    return np.min_scalar_type(height * width - 1)


def array_type(kind: ActivationKind, shape: Sequence[int]) -> np.dtype[Any]:
    """Return the type of the numbers of an array of a layer of shape `(C, H, W)`."""
    return position_type(shape) if kind == "position" else np.dtype(np.float32)


def activation_bytes(shapes: Sequence[Sequence[int]], images: int) -> int:
    """Return the bytes of the arrays of layers with some shapes `(C, H, W)`."""
    kinds = get_args(ActivationKind)
    return images * sum(shape[0] * array_type(kind, shape).itemsize for shape in shapes for kind in kinds)


def array_path(layer: str, kind: ActivationKind) -> str:
    """Return the path of an array of a layer in the folder of the activations."""
    return f"{safe_name(layer)}/{kind}.npy"


@dataclass(frozen=True)
class ActivationWriter:
    """Writes the activations of a store, some rows at a time, in a folder that is moved into the store.

    If it is not finished, `discard` frees the disk.

    Attributes:
        store: Folder of the store.
        shapes: The shape `(C, H, W)` of each layer, by name.
        images: Path and class of the image of each row: all images of the data set.
    """

    store: Path
    shapes: Mapping[str, Sequence[int]]
    images: Sequence[tuple[str, int]]

    @property
    def draft(self) -> Path:
        """The folder while it is written."""
        return self.store / ACTIVATIONS_DRAFT

    def begin(self) -> None:
        """Create empty files; those of an interrupted run are removed.

        Raises:
            LurkError: They cannot be written.
        """
        self.discard()
        with _report_write_errors(self.draft):
            for layer, shape in self.shapes.items():
                for kind in get_args(ActivationKind):
                    path = self.draft / array_path(layer, kind)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    open_memmap(path, "w+", array_type(kind, shape), (len(self.images), shape[0])).flush()

    def write(self, layer: str, first: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write some rows of the arrays of a layer.

        Args:
            layer: Name of the layer.
            first: The first row.
            arrays: By kind, `(N, C)`.

        Raises:
            LurkError: They cannot be written.
        """
        with _report_write_errors(self.draft):
            for kind in get_args(ActivationKind):
                rows = open_memmap(self.draft / array_path(layer, kind), "r+")
                rows[first : first + len(arrays[kind])] = arrays[kind]
                rows.flush()

    def discard(self) -> None:
        """Remove what is not finished."""
        shutil.rmtree(self.draft, ignore_errors=True)

    def finish(self) -> None:
        """Write the table of the images and the digests, and move the folder into the store.

        Raises:
            LurkError: A file cannot be written.
        """
        # As ASCII, since the name of a file need not be valid UTF-8.
        table = "".join(f"{json.dumps(list(row))}\n" for row in self.images)
        write_bytes(self.draft / IMAGES_TABLE, table.encode())
        names = sorted(path.relative_to(self.draft).as_posix() for path in self.draft.glob("*/*.npy"))
        with _report_write_errors(self.draft):
            lines = [f"{_digest(self.draft / name)}  {name}\n" for name in [IMAGES_TABLE, *names]]
            for name in names:
                sync_file(self.draft / name)
        write_bytes(self.draft / CHECKSUMS, "".join(lines).encode())
        with _report_write_errors(self.store / ACTIVATIONS):
            shutil.rmtree(self.store / ACTIVATIONS, ignore_errors=True)
            self.draft.replace(self.store / ACTIVATIONS)


@contextmanager
def _report_write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system into a `LurkError`."""
    try:
        yield
    except OSError as problem:
        raise LurkError(
            f"cannot write {str(path)!r} ({problem.strerror or problem})",
            (
                "free some space and start the same command again, or choose ",
                Option("keep_activations", "no"),
            ),
        ) from problem


def read_array(
    store: Path, layer: LayerRecord, kind: ActivationKind, images: int | None = None
) -> NDArray[Any]:
    """Open an array of a layer, memory-mapped and read-only.

    Args:
        store: Folder of the store.
        layer: The layer in the manifest.
        kind: Which array.
        images: The number of rows that it must have.

    Returns:
        `(images, C)`.

    Raises:
        LurkError: It is missing, damaged or not that of the layer.
    """
    path = store / ACTIVATIONS / array_path(layer.name, kind)
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as problem:  # numpy parses the header as Python, which may fail in any way
        reason = getattr(problem, "strerror", None) or str(problem)[:_MAX_REASON]
        raise LurkError(f"cannot read {str(path)!r} ({reason})", _HINT) from problem
    expected = array_type(kind, layer.shape)
    if array.ndim != 2 or array.shape[1] != layer.channels or array.dtype != expected:
        raise LurkError(
            f"{str(path)!r} has numbers of the type {array.dtype} and the shape {array.shape}, "
            f"not {expected} with {layer.channels} columns",
            _HINT,
        )
    if images is not None and len(array) != images:
        raise LurkError(f"{str(path)!r} has {len(array)} rows for {images} images", _HINT)
    return array


def read_image_table(store: Path) -> list[tuple[str, int]]:
    """Return path and class of the image of each row.

    Raises:
        LurkError: The table is missing or damaged.
    """
    path = store / ACTIVATIONS / IMAGES_TABLE
    try:
        rows = [json.loads(line) for line in path.read_text("ascii").splitlines()]
        return [(str(name), int(number)) for name, number in rows]
    except (OSError, ValueError, TypeError) as problem:
        raise LurkError(f"cannot read {str(path)!r} ({problem})", _HINT) from problem


def check_activations(store: Path, manifest: Manifest) -> Iterator[str]:
    """Check the activations of a store, if it has some.

    Yields:
        What is missing or damaged, a line each.
    """
    if not manifest.activations:
        return
    folder = store / ACTIVATIONS
    try:
        images = len(read_image_table(store))
        for layer in manifest.layers:
            for kind in get_args(ActivationKind):
                read_array(store, layer, kind, images)
        lines = (folder / CHECKSUMS).read_text("ascii").splitlines()
    except LurkError as problem:
        yield problem.without_hint()
        return
    except (OSError, UnicodeDecodeError) as problem:
        yield f"cannot read {str(folder / CHECKSUMS)!r} ({problem})"
        return
    recorded: dict[str, str] = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        recorded[name] = digest
    expected = [
        array_path(layer.name, kind) for layer in manifest.layers for kind in get_args(ActivationKind)
    ]
    for name in [IMAGES_TABLE, *expected]:
        if _digest(folder / name) != recorded.get(name):
            yield f"{str(folder / name)!r} differs from its digest in {CHECKSUMS}"


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
