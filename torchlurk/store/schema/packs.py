"""Records of packs: files that hold many pictures, one JPEG file after the other."""

from __future__ import annotations

import msgspec

from torchlurk.store.schema.base import NonNegativeInt, Record, Relative


class Pack(Record, frozen=True):
    """A file that is the concatenation of JPEG files: item by item, and within an item kind by kind.

    The offset of a picture in the file is the sum of the lengths before it.

    Attributes:
        path: Path of the file in the store; it contains a digest of the file's bytes.
        items: Channels of filters, or ids of images, ascending.
        kinds: Kinds of pictures.
        lengths: For each item, the length in bytes of its picture of each kind; 0 if it has none.
    """

    path: Relative
    items: list[NonNegativeInt]
    kinds: list[str]
    lengths: list[list[NonNegativeInt]]


class LayerPacks(Record, frozen=True):
    """The packs of a layer.

    Attributes:
        pictures: Packs of the pictures in `Filter.pictures`, of 16 channels each.
        thumbs: Packs of small pictures, of one kind and 64 channels each.
    """

    pictures: list[Pack] = msgspec.field(default_factory=list)
    thumbs: list[Pack] = msgspec.field(default_factory=list)
