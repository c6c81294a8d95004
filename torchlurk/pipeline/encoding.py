"""Pictures of filters as JPEG files: the strips, and the small pictures that a page shows in grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import msgspec

from torchlurk.graph import Layer
from torchlurk.pipeline.rendering import receptive_field_size
from torchlurk.runtime import pictures
from torchlurk.runtime.jpeg import Encode, JpegJob, JpegOptions, Pixels, PixelSize, encode_jpegs, thumb_job
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


def encode_result(
    result: FilterResult, natural: Mapping[str, PixelSize], encode: Encode = encode_jpegs
) -> EncodedFilter:
    """Encode the new pictures of a filter, and make small pictures of them.

    Args:
        result: The results of the filter.
        natural: Height and width of what a tile of each kind of picture shows, before it is resized.
        encode: Encodes pictures.
    """
    strips = {kind: picture_job(kind, pictures.strip(tiles)) for kind, tiles in result.tiles.items()}
    own: dict[str, JpegJob] = {}
    for kind in THUMB_KINDS:
        source = None if kind in (IMAGE, *result.thumbs) else thumb_source(kind, result.tiles)
        if source is not None:
            tile = result.tiles[source][0]
            own[kind] = thumb_of(tile, natural.get(source, tile.shape[:2]))
    files = encode([*strips.values(), *own.values()])
    shared = {kind: thumb.result() for kind, thumb in result.thumbs.items()}
    thumbs = shared | dict(zip(own, files[len(strips) :], strict=True))
    encoded = dict(zip(strips, files, strict=False))
    return EncodedFilter(with_pictures(result.entry, *encoded), encoded, thumbs)


def picture_job(kind: str, pixels: Pixels) -> JpegJob:
    """Return the job that encodes a picture of a filter."""
    sharp = kind in _SHARP_COLOUR
    return JpegJob(pixels, JpegOptions(88 if sharp else 82, sharp))


def image_job(pixels: Pixels) -> JpegJob:
    """Return the job that encodes an image that filters refer to."""
    # The page enlarges small images so that single pixels show.
    small = max(pixels.shape[:2]) <= pictures.MAX_TILE
    return JpegJob(pixels, JpegOptions(95 if small else 88, small))


def thumb_of(pixels: Pixels, natural: PixelSize) -> JpegJob:
    """Return the job that encodes a small picture.

    Args:
        pixels: The tile or the image, `(H, W, C)`.
        natural: Height and width of what it shows, before it was resized.
    """
    return thumb_job(pixels, sharp_colour=pictures.shows_single_pixels(natural))


def encode_one(job: JpegJob, encode: Encode = encode_jpegs) -> bytes:
    """Encode one picture."""
    return encode([job])[0]


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
