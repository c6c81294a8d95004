"""Previews: a few filters of each layer with their best image, which a page shows before it loads a layer."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from torchlurk.errors import LurkError
from torchlurk.store.pictures import IMAGE, PictureKey, StoredPicture, locate_pictures
from torchlurk.store.read import check_pack_rows
from torchlurk.store.schema import FORMAT, LayerPacks, Manifest, Preview, Previews, PreviewThumb

PREVIEWS = "previews.json"
"""Name of the file in a site, beside the files of a store."""

PREVIEW_THUMBS = "previews.bin"
"""Name of the file in a site with the small pictures of `previews.json`."""

PREVIEWS_PER_LAYER = 8
"""Largest number of filters of a layer."""


class PreviewImage(msgspec.Struct, frozen=True):
    """The part of a `MaxEntry` that previews need."""

    image: int
    position: tuple[int, int]
    box: tuple[int, int, int, int]


class PreviewFilter(msgspec.Struct, frozen=True):
    """The part of a `Filter` that previews need."""

    channel: int
    pictures: list[str]
    max: list[PreviewImage] = msgspec.field(default_factory=list)


class PreviewLayer(msgspec.Struct, frozen=True):
    """The part of a `LayerFile` that previews need; the files are large, and decoding all is slow."""

    filters: list[PreviewFilter]
    packs: LayerPacks | None = None


UNREADABLE = (OSError, LurkError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What `read_preview_layer` raises if a file is missing or damaged."""


def read_preview_layer(path: Path) -> PreviewLayer:
    """Read what previews need of a layer's file.

    Raises:
        OSError: The file cannot be read.
        msgspec.DecodeError: It is not the file of a layer.
        UnicodeDecodeError: It is not UTF-8.
        RecursionError: It is nested too deeply.
        LurkError: A pack does not have one length for each item and kind.
    """
    layer = msgspec.json.decode(path.read_bytes(), type=PreviewLayer)
    packs = layer.packs or LayerPacks()
    check_pack_rows(path, (*packs.pictures, *packs.thumbs))
    return layer


def choose_previews(layer: PreviewLayer, limit: int = PREVIEWS_PER_LAYER) -> list[Preview]:
    """Return the best image of filters that are spread evenly over the channels.

    They are filters with a filter image if there are enough of them.

    Args:
        layer: The layer.
        limit: Largest number of filters. Those without images are left out.
    """
    filters = layer.filters
    count = min(limit, len(filters))
    drawn = [entry for entry in filters if "max_activ" in entry.pictures]
    enough = len(drawn) >= count
    filters = drawn if enough else filters
    kinds: tuple[str, ...] = ("max_activ",) if enough else ("cropped", IMAGE)
    chosen = [filters[i * len(filters) // count] for i in range(count)]
    thumbs = _locate_thumbs(layer, {entry.channel for entry in chosen})
    return [
        Preview(
            channel=entry.channel,
            image=best.image,
            position=best.position,
            box=best.box,
            thumb=next(filter(None, (thumbs.get((entry.channel, kind)) for kind in kinds)), None),
        )
        for entry in chosen
        for best in entry.max[:1]
    ]


def _locate_thumbs(layer: PreviewLayer, channels: set[int]) -> dict[PictureKey, PreviewThumb]:
    """Return where the small pictures of some filters are in the store."""
    return {
        (channel, kind): PreviewThumb(path=pack.path, offset=thumb.offset, length=thumb.length, kind=kind)
        for pack in (layer.packs or LayerPacks()).thumbs
        for (channel, kind), thumb in locate_pictures(pack, Path(pack.path)).items()
        if channel in channels and thumb.length
    }


def make_previews(store: Path, manifest: Manifest) -> tuple[Previews, bytes]:
    """Return the previews of all layers of a store, and the file with their small pictures.

    Layers whose file is missing or damaged are left out.

    Args:
        store: Folder of the store.
        manifest: Its manifest.
    """
    layers: dict[str, list[Preview]] = {}
    thumbs = bytearray()
    for layer in manifest.layers:
        with suppress(*UNREADABLE):
            previews = choose_previews(read_preview_layer(store / layer.data))
            layers[layer.name] = [_move_thumb(store, preview, thumbs) for preview in previews]
    return Previews(format=FORMAT, layers=layers), bytes(thumbs)


def _move_thumb(store: Path, preview: Preview, thumbs: bytearray) -> Preview:
    """Append the small picture of a preview to `thumbs`; return the preview with its new place."""
    moved: PreviewThumb | None = None
    if preview.thumb is not None:
        with suppress(LurkError):  # a pack that is missing or damaged
            thumb = preview.thumb
            data = StoredPicture(store / thumb.path, thumb.offset, thumb.length, "a small picture").read()
            moved = msgspec.structs.replace(thumb, path=PREVIEW_THUMBS, offset=len(thumbs), length=len(data))
            thumbs += data
    return msgspec.structs.replace(preview, thumb=moved)
