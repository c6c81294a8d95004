"""Checks of the pictures of a store: packs have their length and digest, and every picture decodes."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from torchlurk.errors import LurkError
from torchlurk.store.pictures import PictureKey, StoredPicture, layer_pictures, layer_thumbs
from torchlurk.store.read import PICTURE_FORMATS, quote_exception
from torchlurk.store.schema import LayerFile, LayerPacks, Manifest, Pack


def check_layer_pictures(store: Path, manifest: Manifest, file: LayerFile) -> Iterator[str]:
    """Check the packs of a layer, and that its filters list exactly the pictures that exist.

    Args:
        store: Folder of the store.
        manifest: The manifest of the store.
        file: The file of the layer.

    Yields:
        What is missing or damaged, a line each.
    """
    packs = file.packs or LayerPacks()
    yield from check_packs(store, (*packs.pictures, *packs.thumbs))
    pictures = layer_pictures(store, file)
    listed: set[PictureKey] = set()
    for entry in file.filters:
        for kind in entry.pictures:
            listed.add((entry.channel, kind))
            name = f"{kind} of filter {entry.channel} of {file.layer!r}"
            picture = pictures.get((entry.channel, kind))
            tile_sizes = getattr(manifest.tiles, kind)
            if picture is None:
                yield f"{name} is listed, and no pack has it"
            elif file.layer not in tile_sizes:
                yield f"the manifest has no tile size for {name}"
            else:
                height, width = tile_sizes[file.layer]
                tiles = {"avg_grads": len(entry.avg), "max_activ": 1}.get(kind, len(entry.max))
                yield from check_picture(picture, (width * tiles, height))
    for channel, unlisted in sorted(pictures.keys() - listed):
        yield f"a pack has {unlisted} of filter {channel} of {file.layer!r}, which is not listed"
    for thumb in layer_thumbs(store, file).values():
        yield from check_picture(thumb, None)


def check_packs(store: Path, packs: Sequence[Pack]) -> Iterator[str]:
    """Check that packs exist, have the length of their pictures, and the digest in their names.

    Yields:
        What is missing or damaged, a line each.
    """
    for pack in packs:
        path = store / pack.path
        try:
            data = path.read_bytes()
        except OSError as problem:
            yield f"cannot read {str(path)!r} ({problem.strerror or problem})"
            continue
        expected = sum(map(sum, pack.lengths))
        if len(data) != expected:
            yield f"{str(path)!r} has {len(data)} bytes, and its pictures {expected}"
        elif hashlib.sha256(data).hexdigest()[:12] != _digest_in(path):
            yield f"{str(path)!r} is not what was written: its digest differs from that in its name"


def _digest_in(path: Path) -> str:
    """Return the digest in the name of a pack."""
    return path.with_suffix("").suffix.removeprefix(".")


def check_picture(picture: StoredPicture, size: tuple[int, int] | None) -> Iterator[str]:
    """Check that a picture decodes.

    Args:
        picture: The picture.
        size: Its `(width, height)` in pixels; `None` for any.

    Yields:
        What is wrong, in a line.
    """
    try:
        # The size is checked before decoding: a small file can claim more pixels than fit into memory.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(picture.read()), formats=PICTURE_FORMATS) as image:
                if size is not None and image.size != size:
                    yield f"{picture} is {image.size} px, not {size}"
                    return
                image.load()
    except LurkError as problem:
        yield problem.without_hint()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        yield f"{picture} does not decode ({quote_exception(problem)})"
