"""Pictures of filters as JPEG files: the strips, and the small pictures that a page shows in grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import msgspec

from torchlurk.graph import Layer
from torchlurk.pipeline.rendering import receptive_field_size
from torchlurk.runtime import pictures
from torchlurk.runtime.pictures import Pixels, PixelSize
from torchlurk.store.packs import thumb_source
from torchlurk.store.pictures import IMAGE
from torchlurk.store.schema import PICTURE_KINDS, THUMB_KINDS, Filter

_SHARP_COLOUR = ("cropped", "cropped_grad", "max_activ")
"""Kinds of pictures whose JPEG files keep colour at full resolution."""


@dataclass(frozen=True)
class FilterResult:
    """New results of a filter, before its pictures are encoded.

    Attributes:
        entry: Its record; `pictures` need not list the new ones.
        tiles: The tiles of its new pictures, by kind.
        thumbs: Small pictures that other filters may share, by kind; all others are made of `tiles`.
    """

    entry: Filter
    tiles: Mapping[str, Sequence[Pixels]] = field(default_factory=dict)
    thumbs: Mapping[str, Future[bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedFilter:
    """New results of a filter.

    Attributes:
        entry: Its record, which lists its pictures.
        pictures: Its new pictures as JPEG files, by kind.
        thumbs: Its new small pictures as JPEG files, by kind.
    """

    entry: Filter
    pictures: Mapping[str, bytes]
    thumbs: Mapping[str, bytes]


def encode_result(result: FilterResult, natural: Mapping[str, PixelSize]) -> EncodedFilter:
    """Encode the new pictures of a filter, and make small pictures of them.

    Args:
        result: The results of the filter.
        natural: Height and width of what a tile of each kind of picture shows, before it is resized.
    """
    thumbs = {kind: shared.result() for kind, shared in result.thumbs.items()}
    for kind in THUMB_KINDS:
        source = None if kind in (IMAGE, *thumbs) else thumb_source(kind, result.tiles)
        if source is not None:
            tile = result.tiles[source][0]
            thumbs[kind] = encode_thumb(tile, natural.get(source, tile.shape[:2]))
    encoded = {kind: encode_picture(kind, pictures.strip(tiles)) for kind, tiles in result.tiles.items()}
    return EncodedFilter(with_pictures(result.entry, *encoded), encoded, thumbs)


def encode_picture(kind: str, pixels: Pixels) -> bytes:
    """Encode a picture of a filter as JPEG."""
    sharp = kind in _SHARP_COLOUR
    return pictures.jpeg(pixels, 88 if sharp else 82, sharp_colour=sharp)


def encode_image(pixels: Pixels) -> bytes:
    """Encode an image that filters refer to as JPEG."""
    # The page enlarges small images so that single pixels show.
    small = max(pixels.shape[:2]) <= pictures.MAX_TILE
    return pictures.jpeg(pixels, 95 if small else 88, sharp_colour=small)


def encode_thumb(pixels: Pixels, natural: PixelSize) -> bytes:
    """Encode a small picture as JPEG.

    Args:
        pixels: The tile or the image, `(H, W, C)`.
        natural: Height and width of what it shows, before it was resized.
    """
    return pictures.thumb_jpeg(pixels, sharp_colour=pictures.shows_single_pixels(natural))


def natural_sizes(layer: Layer, input_size: PixelSize) -> dict[str, PixelSize]:
    """Return height and width of what a tile of each kind shows, before it is resized.

    Args:
        layer: The layer.
        input_size: Height and width of the network's input.
    """
    field = receptive_field_size(layer)
    return {"cropped": field, "cropped_grad": field, "max_grads": input_size, "avg_grads": input_size}


def with_pictures(entry: Filter, *kinds: str) -> Filter:
    """Return the filter with pictures of these kinds added to its list."""
    present = [kind for kind in PICTURE_KINDS if kind in entry.pictures or kind in kinds]
    return msgspec.structs.replace(entry, pictures=present)
