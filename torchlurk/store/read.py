"""Reading the files of a store. Needs neither a network nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from torchlurk.errors import LurkError, Option
from torchlurk.store.schema import (
    CHECKSUMS,
    FORMAT,
    PICTURE_KINDS,
    PROGRESS,
    Classes,
    ImageEntries,
    ImagesFile,
    Index,
    LayerFile,
    LayerPacks,
    LayerRecord,
    Manifest,
    Pack,
    Progress,
)

_T = TypeVar("_T")

PICTURE_FORMATS = ("JPEG",)
"""Formats of a store's pictures, given to Pillow explicitly: one of its other decoders runs a program."""

_MAX_QUOTE = 200
"""Characters of a foreign text that an error quotes; the text may repeat the content of a file."""

RECOMPUTE = ("compute it again with ", Option("overwrite", True))
"""Hint of errors about a damaged store."""


def read_json(path: Path, kind: type[_T]) -> _T:
    """Read a JSON file as a record of the format.

    Args:
        path: Path of the file.
        kind: Type of the record.

    Raises:
        LurkError: The file is missing or damaged, or has a newer format.
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise LurkError(
            f"cannot read {str(path)!r} ({problem.strerror or problem})", "is this a store?"
        ) from problem
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        newer = _newer_format(data)
        if newer is not None:
            raise LurkError(
                f"{str(path)!r} has format {newer}, and this version of Torchlurk reads up to {FORMAT}",
                "upgrade Torchlurk",
            ) from problem
        raise LurkError(f"{str(path)!r} is damaged ({quote_exception(problem)})", RECOMPUTE) from problem


def quote_exception(problem: Exception) -> str:
    """Return the text of an exception in one line of at most 200 characters."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= _MAX_QUOTE else f"{text[: _MAX_QUOTE - 1]}…"


def check_owner(path: Path, name: str, filters: int, layer: LayerRecord, what: str) -> None:
    """Raise an error if a file does not describe all filters of a layer.

    Args:
        path: Path of the file.
        name: Name of the layer in the file.
        filters: Number of filters in the file.
        layer: The layer in the manifest.
        what: What the file has of each filter, for the error.
    """
    if name != layer.name or filters != layer.channels:
        raise LurkError(
            f"{str(path)!r} does not have the {what} of {quote_name(layer.name)} with its "
            f"{layer.channels} filters",
            RECOMPUTE,
        )


def quote_name(name: str) -> str:
    """Return a name from a file in quotes, cut if it is long."""
    return repr(name if len(name) <= _MAX_QUOTE else f"{name[: _MAX_QUOTE - 1]}…")


def _newer_format(data: bytes) -> int | None:
    """Return the number of the format of a JSON file if it is newer than ours."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    number = value.get("format") if isinstance(value, dict) else None
    # A number with more digits than any format will have is damage.
    return number if isinstance(number, int) and FORMAT < number < 10**9 else None


def read_index(folder: Path) -> Index:
    """Read `index.json` of a folder of stores.

    Raises:
        LurkError: The file is missing or damaged, or has a newer format.
    """
    return read_json(folder / "index.json", Index)


def read_manifest(store: Path) -> Manifest:
    """Read `network.json` of a store.

    Raises:
        LurkError: The file is missing, damaged or inconsistent, or has a newer format.
    """
    path = store / "network.json"
    manifest = read_json(path, Manifest)
    if problem := _inconsistency(manifest):
        raise LurkError(f"{str(path)!r} is damaged ({problem})", RECOMPUTE)
    return manifest


def _inconsistency(manifest: Manifest) -> str:
    """Return what contradicts the rest of a manifest; empty if it is consistent."""
    names = [layer.name for layer in manifest.layers]
    if len(set(names)) < len(names) or len({layer.data for layer in manifest.layers}) < len(names):
        return "two layers have the same name or the same file"
    if not {name for edge in manifest.edges for name in edge} <= set(names):
        return "an edge refers to a layer that does not exist"
    for kind in PICTURE_KINDS:
        sizes = getattr(manifest.tiles, kind)
        # Layers whose units see the whole image have no crops.
        if not kind.startswith("cropped") and not set(names) <= set(sizes):
            return f"the tile size of a layer in {kind} is missing"
    channels = manifest.input.shape[0]
    if not len(manifest.input.mean) == len(manifest.input.std) == channels:
        return f"mean or std of the input does not have {channels} numbers"
    return ""


def read_images(store: Path) -> ImagesFile:
    """Read `images.json` of a store.

    Raises:
        LurkError: The file is missing or damaged, or has a newer format.
    """
    path = store / "images.json"
    if "format" in read_json(path, dict[str, msgspec.Raw]):
        file = read_json(path, ImagesFile)
    else:  # format 1 has nothing but the images
        file = ImagesFile(format=1, images=read_json(path, ImageEntries), packs=None)
    check_pack_rows(path, file.packs or ())
    if problem := _bad_ids(file.images):
        raise LurkError(f"{str(path)!r} is damaged ({problem})", RECOMPUTE)
    return file


def read_classes(store: Path) -> Classes:
    """Read `classes.json` of a store.

    Raises:
        LurkError: The file is missing or damaged, or has a newer format.
    """
    return read_json(store / "classes.json", Classes)


def read_progress(store: Path) -> Progress | None:
    """Read `progress.json` of a store; return `None` if no run is active or the file cannot be read."""
    try:
        return read_json(store / PROGRESS, Progress)
    except LurkError:
        return None


def read_layer(store: Path, layer: LayerRecord) -> LayerFile:
    """Read the file of a layer.

    Args:
        store: Folder of the store.
        layer: The layer in the manifest.

    Raises:
        LurkError: The file is missing or damaged, has a newer format, or is not that of the layer.
    """
    file = read_json(store / layer.data, LayerFile)
    # The numbers are compared as they come: a list of `channels` numbers may be as long as damage claims.
    fits = file.layer == layer.name and len(file.filters) == file.channels == layer.channels
    names_fit = file.names is None or len(file.names) == file.channels
    packs = file.packs or LayerPacks()
    if not (fits and names_fit and all(f.channel == at for at, f in enumerate(file.filters))):
        raise LurkError(
            f"{str(store / layer.data)!r} is not the data of {quote_name(layer.name)} with its "
            f"{layer.channels} filters",
            RECOMPUTE,
        )
    check_pack_rows(store / layer.data, (*packs.pictures, *packs.thumbs))
    return file


def check_pack_rows(path: Path, packs: Sequence[Pack]) -> None:
    """Raise an error if a pack does not have one length for each item and kind.

    Args:
        path: Path of the JSON file, for the error.
        packs: The packs that it names.

    Raises:
        LurkError: One does not.
    """
    for pack in packs:
        rows_fit = all(len(row) == len(pack.kinds) for row in pack.lengths)
        if len(pack.items) != len(pack.lengths) or not rows_fit:
            raise LurkError(
                f"{str(path)!r} is damaged (a pack does not have one length for each item and kind)",
                RECOMPUTE,
            )


def _bad_ids(images: ImageEntries) -> str:
    """Return what is wrong with the ids of images; empty if nothing is."""
    bad = [image for image in images if not (image.isascii() and image.isdecimal())]
    return f"{quote_name(bad[0])} is not the id of an image" if bad else ""


def read_checksums(store: Path) -> dict[str, str]:
    """Return the digests in `SHA256SUMS` by file; empty if the file is missing or cannot be read."""
    try:
        lines = (store / CHECKSUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {line[66:]: line[:64] for line in lines}
