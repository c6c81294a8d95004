"""Reading a store, and saying what is wrong with one. Needs neither a model nor torch."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from PIL import Image

from torchlurk.errors import LurkError
from torchlurk.store.schema import (
    CHECKSUMS,
    FORMAT,
    PICTURE_KINDS,
    PROGRESS,
    Classes,
    ImageEntries,
    Index,
    LayerFile,
    LayerRecord,
    Manifest,
    Progress,
    image_path,
    picture_path,
    referenced_images,
)

T = TypeVar("T")

LOOKS = 10
"""How often a digest that differs is looked at, while a run writes."""

BETWEEN = 0.05
"""Seconds from one such look to the next."""

PICTURE_FORMATS = ("JPEG",)
"""What a store's pictures are, whatever they say: of Pillow's other decoders one runs a program."""

BRIEF = 200
"""Characters of others' words that a line keeps: they may repeat what is in a file."""


def read_json(path: Path, kind: type[T]) -> T:
    """A JSON file as a record of the format. Raises `LurkError` if it is missing, damaged or too new."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise LurkError(
            f"cannot read {str(path)!r} ({problem.strerror or problem}): is this a store?"
        ) from problem
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        newer = _newer_format(data)
        if newer is not None:
            raise LurkError(
                f"{str(path)!r} has format {newer}, this Torchlurk reads format {FORMAT}: upgrade it"
            ) from problem
        raise LurkError(
            f"{str(path)!r} is damaged ({_brief(problem)}): compute it again with --overwrite"
        ) from problem


def _brief(problem: Exception) -> str:
    """The words of an exception as part of a line."""
    words = " ".join(str(problem).split()) or type(problem).__name__
    return words if len(words) <= BRIEF else f"{words[: BRIEF - 1]}…"


def _brief_name(name: str) -> str:
    return repr(name if len(name) <= BRIEF else f"{name[: BRIEF - 1]}…")


def _newer_format(data: bytes) -> int | None:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = value.get("format") if isinstance(value, dict) else None
    # More digits than a format will ever have are damage.
    return found if isinstance(found, int) and FORMAT < found < 10**9 else None


def read_index(folder: Path) -> Index:
    """`index.json` of a folder of stores. Raises `LurkError` if it is missing or damaged."""
    return read_json(folder / "index.json", Index)


def read_manifest(store: Path) -> Manifest:
    """`network.json` of a store. Raises `LurkError` if it is missing or damaged."""
    path = store / "network.json"
    found = read_json(path, Manifest)
    if wrong := _contradiction(found):
        raise LurkError(f"{str(path)!r} is damaged ({wrong}): compute it again with --overwrite")
    return found


def _contradiction(manifest: Manifest) -> str:
    """What in a manifest does not go with the rest of it; "" where all does."""
    names = [layer.name for layer in manifest.layers]
    if len(set(names)) < len(names) or len({layer.data for layer in manifest.layers}) < len(names):
        return "it has two layers of one name or of one file"
    if not {name for edge in manifest.edges for name in edge} <= set(names):
        return "an edge leads to a layer that there is not"
    for kind in PICTURE_KINDS:
        sizes = getattr(manifest.tiles, kind)
        # A unit that sees all of an image has no crop.
        if not kind.startswith("cropped") and not set(names) <= set(sizes):
            return f"a layer has no size of its tiles in {kind}"
    channels = manifest.input.shape[0]
    if not len(manifest.input.mean) == len(manifest.input.std) == channels:
        return f"the mean or the spread of the input is not of {channels} numbers"
    return ""


def read_images(store: Path) -> ImageEntries:
    """`images.json` of a store. Raises `LurkError` if it is missing or damaged."""
    return read_json(store / "images.json", ImageEntries)


def read_classes(store: Path) -> Classes:
    """`classes.json` of a store. Raises `LurkError` if it is missing or damaged."""
    return read_json(store / "classes.json", Classes)


def read_progress(store: Path) -> Progress | None:
    """What a run of this store is at; `None` where none is under way, or none that can be read."""
    try:
        return read_json(store / PROGRESS, Progress)
    except LurkError:
        return None


def read_layer(store: Path, layer: LayerRecord) -> LayerFile:
    """A layer's file. Raises `LurkError` if it is missing or damaged, or not the layer's."""
    found = read_json(store / layer.data, LayerFile)
    # Not a list of as many numbers: a damaged manifest may claim any.
    fits = found.layer == layer.name and len(found.filters) == found.channels == layer.channels
    named = found.names is None or len(found.names) == found.channels
    if not (fits and named and all(f.channel == at for at, f in enumerate(found.filters))):
        raise LurkError(
            f"{str(store / layer.data)!r} is not the data of {_brief_name(layer.name)} with its "
            f"{layer.channels} filters: compute it again with --overwrite"
        )
    return found


@dataclass(frozen=True)
class StoreReport:
    """What a store holds.

    Attributes:
        manifest: its manifest.
        filters: how many filters it describes.
        full: how many of them have `min(k, images)` entries in both lists.
        pictures: how many pictures of each kind there are.
        images: how many images it refers to.
        worst_certificate: the largest of the entries' certificates; `None` if there is none.
        problems: what is missing or damaged, a line each; empty for a good store.
    """

    manifest: Manifest
    filters: int = 0
    full: int = 0
    pictures: dict[str, int] = field(default_factory=dict)
    images: int = 0
    worst_certificate: float | None = None
    problems: tuple[str, ...] = ()


def inspect(store: Path, *, sleep: Callable[[float], object] = time.sleep) -> StoreReport:
    """Read all of a store, and check that each file that the JSON names is there and decodes.

    Args:
        store: the store's folder.
        sleep: waits for some seconds, for a run that is between two writings.

    Raises:
        LurkError: the manifest itself cannot be read.
    """
    manifest = read_manifest(store)
    problems = list(_check_sums(store, manifest, sleep))
    pictures = dict.fromkeys(PICTURE_KINDS, 0)
    filters = full = 0
    expected = min(manifest.k, manifest.dataset.images)
    used: set[int] = set()
    certificates: list[float] = []
    for layer in manifest.layers:
        try:
            data = read_layer(store, layer)
        except LurkError as problem:
            problems.append(str(problem))
            continue
        reached = expected if data.images is None else min(expected, data.images)
        for entry in data.filters:
            filters += 1
            full += len(entry.max) == reached and len(entry.avg) == reached
            certificates.extend(e.certificate for e in entry.max if e.certificate is not None)
            used.update(referenced_images(entry))
            for kind in entry.pictures:
                pictures[kind] += 1
                tiles = {"avg_grads": len(entry.avg), "max_activ": 1}.get(kind, len(entry.max))
                path = store / picture_path(kind, layer.name, entry.channel)
                if layer.name not in getattr(manifest.tiles, kind):
                    problems.append(f"{str(path)!r} is none that the manifest has the size of")
                    continue
                height, width = getattr(manifest.tiles, kind)[layer.name]
                problems.extend(_check_picture(path, (width * tiles, height)))
    if full < filters:
        problems.append(f"{filters - full} filters have fewer than {expected} entries in a list")
    problems.extend(_check_images(store, manifest, used))
    problems.extend(_check_classes(store, manifest))
    worst = max(certificates, default=None)
    return StoreReport(manifest, filters, full, pictures, len(used), worst, tuple(problems))


def read_checksums(store: Path) -> dict[str, str]:
    """The digests in `SHA256SUMS`, by file; none where there is no such file, or none that can be read."""
    try:
        lines = (store / CHECKSUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {line[66:]: line[:64] for line in lines}


def _check_sums(store: Path, manifest: Manifest, sleep: Callable[[float], object]) -> Iterator[str]:
    if not (store / CHECKSUMS).is_file():
        yield f"{str(store / CHECKSUMS)!r} is missing"
        return
    for name in ("network.json", "images.json", "classes.json", *(layer.data for layer in manifest.layers)):
        try:
            same = _same_sum(store, name, sleep)
        except OSError as problem:
            yield f"cannot read {str(store / name)!r} ({problem.strerror or problem})"
            continue
        if not same:
            yield f"{str(store / name)!r} is not what was written: its digest differs from {CHECKSUMS}"


def _same_sum(store: Path, name: str, sleep: Callable[[float], object]) -> bool:
    """Whether a file's digest is the one that is listed."""
    for _ in range(LOOKS):
        found = hashlib.sha256((store / name).read_bytes()).hexdigest()
        if read_checksums(store).get(name) == found:
            return True
        # A run writes first a file and then its digest: who reads between the two has to look again.
        if not (store / PROGRESS).exists():
            return False
        sleep(BETWEEN)
    return False


def _check_images(store: Path, manifest: Manifest, used: set[int]) -> Iterator[str]:
    try:
        listed = {int(name) for name in read_images(store)}
    except (LurkError, ValueError) as problem:
        yield str(problem)
        return
    for image in sorted(used - listed):
        yield f"image {image} is referred to, but images.json does not list it"
    height, width = manifest.input.shape[1:]
    for image in sorted(listed):
        yield from _check_picture(store / image_path(image), (width, height))


def _check_classes(store: Path, manifest: Manifest) -> Iterator[str]:
    try:
        found = read_classes(store)
    except LurkError as problem:
        yield str(problem)
        return
    rows = [row for rows in found.filters for row in rows]
    if len(found.filters) != len(manifest.dataset.classes) or any(
        layer >= len(manifest.layers) or channel >= manifest.layers[layer].channels
        for layer, channel, _ in rows
    ):
        yield f"{str(store / 'classes.json')!r} names classes or filters that there are not"


def _check_picture(path: Path, size: tuple[int, int]) -> Iterator[str]:
    try:
        # Its size before its pixels: a few bytes can claim more than fits into memory.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                if picture.size != size:
                    yield f"{str(path)!r} is {picture.size} px, not {size}"
                    return
                picture.load()
    except FileNotFoundError:
        yield f"{str(path)!r} is missing"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        yield f"{str(path)!r} does not decode ({_brief(problem)})"
