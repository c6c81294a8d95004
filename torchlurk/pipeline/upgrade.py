"""Turning a store of format 1, which has a file for each picture, into the present format, in place.

The JPEG files are copied into packs byte by byte; small pictures are made of what they show. An interruption
is safe at any time: each JSON file names either the files or the packs, and the files are deleted last.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from torchlurk.pipeline.encoding import encode_one, thumb_of
from torchlurk.runtime.jpeg import Pixels
from torchlurk.store.packs import thumb_source, write_images, write_layer
from torchlurk.store.pictures import (
    IMAGE,
    PictureKey,
    StoredPicture,
    StoredPictures,
    find_picture,
    layer_pictures,
    stored_images,
)
from torchlurk.store.read import read_classes, read_images, read_layer
from torchlurk.store.schema import (
    FORMAT,
    IMAGES,
    PICTURE_KINDS,
    THUMB_KINDS,
    Filter,
    LayerFile,
    LayerPacks,
    LayerRecord,
    Manifest,
)
from torchlurk.store.write import write_checksums, write_json, write_json_with_checksum

_CACHED_THUMBS = 4096
"""Small pictures of images kept in memory: 8 MB."""


def upgrade_store(store: Path, manifest: Manifest, report: Callable[[str], object]) -> Manifest:
    """Turn a store of an older format into the present one; do nothing if it has the present one.

    Args:
        store: Folder of the store.
        manifest: Its manifest.
        report: Prints a line.

    Returns:
        The manifest that the store has now.

    Raises:
        LurkError: A file is missing or damaged, or cannot be written. The store can be read as before.
    """
    if manifest.format < FORMAT:
        report(f"{str(store)!r} has format {manifest.format}; its pictures are copied into packs")
        if manifest.stages.scan.complete:
            _copy_pictures(store, manifest)
        elif (store / "classes.json").exists():
            _forget_crops(store, manifest)
        manifest = msgspec.structs.replace(manifest, format=FORMAT)
        write_json(store / "network.json", manifest)
        write_checksums(store)
    _remove_picture_files(store)
    return manifest


def _copy_pictures(store: Path, manifest: Manifest) -> None:
    """Write the packs of all layers and of the images, and the JSON files that name them."""
    listed = read_images(store)
    images = stored_images(store, listed)

    @lru_cache(maxsize=_CACHED_THUMBS)
    def image_thumb(image: int) -> bytes:
        pixels = _decode(find_picture(images, image, IMAGE))
        return encode_one(thumb_of(pixels, pixels.shape[:2]))

    for layer in manifest.layers:
        file = read_layer(store, layer)
        if file.packs is None:
            stored = layer_pictures(store, file)
            thumbs: dict[PictureKey, bytes] = {}
            for entry in file.filters:
                thumbs |= _thumbs_of_pictures(manifest, layer, entry, stored)
                if entry.max:
                    thumbs[entry.channel, IMAGE] = image_thumb(entry.max[0].image)
            write_layer(store, file, stored, thumbs)
    if listed.packs is None:
        write_images(store, listed.images, images)
    _write_classes(store)


def _thumbs_of_pictures(
    manifest: Manifest, layer: LayerRecord, entry: Filter, stored: StoredPictures
) -> dict[PictureKey, bytes]:
    """Return the small pictures of a filter, made of its pictures."""
    thumbs: dict[PictureKey, bytes] = {}
    for kind in THUMB_KINDS:
        source = None if kind == IMAGE else thumb_source(kind, entry.pictures)
        if source is None:
            continue
        strip = _decode(find_picture(stored, entry.channel, source))
        tile = strip if source == "max_activ" else strip[:, : strip.shape[1] // len(entry.max)]
        natural = tile.shape[:2]
        if source == "max_grads":
            natural = manifest.input.shape[1:]
        elif source != "max_activ" and layer.receptive_field is not None:
            natural = layer.receptive_field.size
        thumbs[entry.channel, kind] = encode_one(thumb_of(tile, natural))
    return thumbs


def _decode(picture: StoredPicture) -> Pixels:
    pixels = np.asarray(picture.open())
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _forget_crops(store: Path, manifest: Manifest) -> None:
    """Write the layers of a scan that is not complete without crops, which are the last that it computes."""
    for layer in manifest.layers:
        file: LayerFile = read_layer(store, layer)
        if file.packs is None:
            filters = [msgspec.structs.replace(entry, pictures=[]) for entry in file.filters]
            file = msgspec.structs.replace(file, format=FORMAT, filters=filters, packs=LayerPacks())
            write_json_with_checksum(store, layer.data, file)
    _write_classes(store)


def _write_classes(store: Path) -> None:
    classes = msgspec.structs.replace(read_classes(store), format=FORMAT)
    write_json_with_checksum(store, "classes.json", classes)


def _remove_picture_files(store: Path) -> None:
    """Remove the files of format 1, which no JSON names any more."""
    for kind in PICTURE_KINDS:
        shutil.rmtree(store / kind, ignore_errors=True)
    for path in (store / IMAGES).glob("*.jpg"):
        with suppress(OSError):  # a file that remains does no harm
            path.unlink()
