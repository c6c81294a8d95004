"""Where the pictures of a store are: ranges of bytes of packs, or in format 1 single files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from torchlurk.errors import LurkError, Option
from torchlurk.store.read import PICTURE_FORMATS, quote_exception
from torchlurk.store.schema import ImagesFile, LayerFile, Pack, image_path, picture_path

PictureKey = tuple[int, str]
"""A channel, or the id of an image, and a kind of picture."""

_RECOMPUTE = ("compute its store again with ", Option("overwrite", True))

IMAGE = "image"
"""Kind of the pictures in the packs of images."""


@dataclass(frozen=True)
class StoredPicture:
    """A picture of a store: a JPEG file, or a range of bytes that is one.

    Attributes:
        path: Path of the file.
        offset: Position of its first byte in the file.
        length: Number of bytes; `None` for the whole file.
        name: What it shows, for error messages.
    """

    path: Path
    offset: int = 0
    length: int | None = None
    name: str = ""

    def __str__(self) -> str:
        return repr(str(self.path)) if self.length is None else f"{self.name} in {str(self.path)!r}"

    def read(self) -> bytes:
        """Return the bytes of the JPEG file.

        Raises:
            LurkError: The file is missing or too short.
        """
        try:
            with self.path.open("rb") as file:
                if self.length is None:
                    return file.read()
                # The range is checked first: damaged JSON may claim more bytes than fit into memory.
                if self.offset + self.length > os.fstat(file.fileno()).st_size:
                    raise LurkError(f"cannot read {self} (the file is too short)", _RECOMPUTE)
                file.seek(self.offset)
                return file.read(self.length)
        except OSError as problem:
            raise LurkError(f"cannot read {self} ({problem.strerror or problem})", _RECOMPUTE) from problem

    def open(self) -> Image.Image:
        """Return the picture, decoded.

        Raises:
            LurkError: The file is missing or damaged.
        """
        data = self.read()
        try:
            with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
                picture.load()
                return picture.copy()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
            raise LurkError(f"cannot read {self} ({quote_exception(problem)})", _RECOMPUTE) from problem


StoredPictures = Mapping[PictureKey, StoredPicture]
"""Pictures by channel or id, and kind."""


def find_picture(pictures: StoredPictures, item: int, kind: str) -> StoredPicture:
    """Return a picture of a filter, or an image.

    Args:
        pictures: The pictures of a layer, or the images of a store.
        item: The channel, or the id of the image.
        kind: Kind of the picture.

    Raises:
        LurkError: There is no such picture, although the store refers to it.
    """
    if (item, kind) not in pictures:
        raise LurkError(f"the store has no {_describe(item, kind)}, which it refers to", _RECOMPUTE)
    return pictures[item, kind]


def _describe(item: int, kind: str) -> str:
    return f"image {item}" if kind == IMAGE else f"{kind} of filter {item}"


def locate_pictures(pack: Pack, path: Path, start: int = 0) -> dict[PictureKey, StoredPicture]:
    """Return the pictures of a pack.

    Args:
        pack: The record of the pack.
        path: Path of the file.
        start: Position of the first picture in the file.
    """
    located: dict[PictureKey, StoredPicture] = {}
    for item, lengths in zip(pack.items, pack.lengths, strict=True):
        for kind, length in zip(pack.kinds, lengths, strict=True):
            if length:
                located[item, kind] = StoredPicture(path, start, length, _describe(item, kind))
            start += length
    return located


def _pictures_of(store: Path, packs: Iterable[Pack]) -> dict[PictureKey, StoredPicture]:
    return {
        key: picture for pack in packs for key, picture in locate_pictures(pack, store / pack.path).items()
    }


def layer_pictures(store: Path, file: LayerFile) -> dict[PictureKey, StoredPicture]:
    """Return the pictures of a layer's filters.

    Args:
        store: Folder of the store.
        file: The file of the layer.
    """
    if file.packs is not None:
        return _pictures_of(store, file.packs.pictures)
    return {
        (entry.channel, kind): StoredPicture(store / picture_path(kind, file.layer, entry.channel))
        for entry in file.filters
        for kind in entry.pictures
    }


def layer_thumbs(store: Path, file: LayerFile) -> dict[PictureKey, StoredPicture]:
    """Return the small pictures of a layer's filters; there are none in format 1.

    Args:
        store: Folder of the store.
        file: The file of the layer.
    """
    return _pictures_of(store, file.packs.thumbs) if file.packs is not None else {}


def stored_images(store: Path, file: ImagesFile) -> dict[PictureKey, StoredPicture]:
    """Return the images of a store; their kind is `IMAGE`.

    Args:
        store: Folder of the store.
        file: `images.json`.
    """
    if file.packs is not None:
        return _pictures_of(store, file.packs)
    return {(int(image), IMAGE): StoredPicture(store / image_path(int(image))) for image in file.images}
