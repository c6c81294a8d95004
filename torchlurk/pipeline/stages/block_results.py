"""The partial result of a block of filters: their records, and their new pictures as JPEG files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from torchlurk.pipeline.encoding import EncodedFilter
from torchlurk.store.packs import join_pictures
from torchlurk.store.partial import PartialResults
from torchlurk.store.pictures import StoredPictures, locate_pictures
from torchlurk.store.schema import PICTURE_KINDS, THUMB_KINDS, Filter, Pack, Record


class _BlockRecord(Record, frozen=True):
    """The first line of the partial result; the bytes of the two packs follow it."""

    filters: list[Filter]
    pictures: Pack
    thumbs: Pack


@dataclass(frozen=True)
class BlockResult:
    """The partial result of a block.

    Attributes:
        filters: The records of its filters.
        pictures: Their new pictures.
        thumbs: Their new small pictures.
    """

    filters: Sequence[Filter]
    pictures: StoredPictures
    thumbs: StoredPictures


def write_block(partial: PartialResults, piece: str, results: Sequence[EncodedFilter]) -> None:
    """Write the results of a block as a partial result.

    Raises:
        LurkError: It cannot be written.
    """
    pictures, picture_bytes = join_pictures(
        piece, PICTURE_KINDS, {(r.entry.channel, kind): d for r in results for kind, d in r.pictures.items()}
    )
    thumbs, thumb_bytes = join_pictures(
        piece, THUMB_KINDS, {(r.entry.channel, kind): d for r in results for kind, d in r.thumbs.items()}
    )
    record = _BlockRecord([result.entry for result in results], pictures, thumbs)
    partial.write(piece, b"".join((msgspec.json.encode(record), b"\n", picture_bytes, thumb_bytes)))


def read_block(partial: PartialResults, piece: str) -> BlockResult:
    """Read the results of a block; the pictures stay in the file.

    Raises:
        LurkError: The partial result is missing or damaged.
    """
    content = partial.read(piece)
    line, _, data = content.partition(b"\n")
    record = msgspec.json.decode(line, type=_BlockRecord)
    path = partial.folder / piece
    start = path.stat().st_size - len(data)
    thumbs_start = start + sum(map(sum, record.pictures.lengths))
    return BlockResult(
        record.filters,
        locate_pictures(record.pictures, path, start),
        locate_pictures(record.thumbs, path, thumbs_start),
    )
