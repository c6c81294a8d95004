"""Writing packs, and the JSON files that name them.

The name of a pack contains a digest of its bytes, so a pack never changes: other pictures are another file.
Packs are written before the JSON that names them, and removed once no JSON names them any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from torchlurk.store.pictures import (
    IMAGE,
    PictureKey,
    StoredPicture,
    StoredPictures,
    find_picture,
    locate_pictures,
)
from torchlurk.store.read import read_images, read_layer
from torchlurk.store.schema import (
    FORMAT,
    IMAGES,
    PICTURE_KINDS,
    PICTURES,
    THUMB_KINDS,
    THUMBS,
    Filter,
    ImageEntries,
    ImagesFile,
    LayerFile,
    LayerPacks,
    Manifest,
    Pack,
    layer_path,
    safe_name,
)
from torchlurk.store.write import write_files, write_json_with_checksum

CHANNELS_PER_PACK = 16
"""Channels whose pictures share a pack. Few, as some hosts send no ranges of bytes, but whole files."""

CHANNELS_PER_THUMB_PACK = 64
"""Channels whose small pictures share a pack: those that a page shows at once."""

IMAGES_PER_PACK = 32
"""Images that share a pack."""

PictureSources = Mapping[PictureKey, StoredPicture | bytes]
"""Pictures, stored or in memory, by channel or id, and kind."""

_SHOWN_BY: Mapping[str, tuple[str, ...]] = {
    "cropped": ("cropped",),
    "gradient": ("cropped_grad", "max_grads"),
    "max_activ": ("max_activ",),
}
"""The pictures that a small picture may be made of, by its kind, the best one first."""


def thumb_source(kind: str, pictures: Collection[str]) -> str | None:
    """Return the kind of picture that a small picture of a filter shows; `None` if it shows none of them.

    Args:
        kind: Kind of the small picture, other than `image`.
        pictures: Kinds of pictures that exist for the filter.
    """
    return next((picture for picture in _SHOWN_BY[kind] if picture in pictures), None)


def join_pictures(
    path: str, kinds: Sequence[str], pictures: Mapping[PictureKey, bytes]
) -> tuple[Pack, bytes]:
    """Return the record and the bytes of a pack.

    Args:
        path: Path of the pack in the store.
        kinds: Kinds of pictures, in the order of their bytes.
        pictures: JPEG files.
    """
    items = sorted({item for item, _ in pictures})
    rows = [[pictures.get((item, kind), b"") for kind in kinds] for item in items]
    pack = Pack(path=path, items=items, kinds=list(kinds), lengths=[[*map(len, row)] for row in rows])
    return pack, b"".join(data for row in rows for data in row)


def write_layer(store: Path, file: LayerFile, pictures: StoredPictures, thumbs: PictureSources) -> LayerFile:
    """Write the packs of a layer and its file, and remove the packs that it named before.

    Args:
        store: Folder of the store.
        file: The file of the layer. The packs that it names are kept if their pictures are the same.
        pictures: The pictures that the filters list, and possibly others, which are left out.
        thumbs: The small pictures, stored or in memory; those of pictures that the filters do not list are
            left out.

    Returns:
        The file that was written, which names the packs.

    Raises:
        LurkError: A picture that a filter lists does not exist, or a file cannot be written.
    """
    old = file.packs or LayerPacks()
    name = safe_name(file.layer)
    by_pack = _groups(_listed_pictures(file, pictures), CHANNELS_PER_PACK)
    plans = [
        _Plan(f"{PICTURES}/{name}/{first}", PICTURE_KINDS, group, old.pictures)
        for first, group in by_pack.items()
    ]
    of_pictures = len(plans)
    for kind in THUMB_KINDS:
        of_kind = {
            (entry.channel, kind): thumbs[entry.channel, kind]
            for entry in file.filters
            if (entry.channel, kind) in thumbs and _shows_listed(kind, entry)
        }
        plans += [
            _Plan(f"{THUMBS}/{name}/{kind}-{first}", (kind,), group, old.thumbs)
            for first, group in _groups(of_kind, CHANNELS_PER_THUMB_PACK).items()
        ]
    packs = _write_packs(store, plans)
    written = msgspec.structs.replace(
        file, format=FORMAT, packs=LayerPacks(packs[:of_pictures], packs[of_pictures:])
    )
    write_json_with_checksum(store, layer_path(file.layer), written)
    remove_unnamed_packs(store, (f"{PICTURES}/{name}", f"{THUMBS}/{name}"), packs)
    return written


def write_images(store: Path, images: ImageEntries, pictures: StoredPictures) -> ImagesFile:
    """Write the packs of the images and `images.json`, and remove the packs that it named before.

    Args:
        store: Folder of the store.
        images: The images, by id.
        pictures: The images, and possibly others, which are left out.

    Raises:
        LurkError: A picture does not exist, or a file cannot be written.
    """
    plans = []
    for ids in split_images(images):
        group = {(image, IMAGE): find_picture(pictures, image, IMAGE) for image in ids}
        plans.append(_Plan(f"{IMAGES}/{ids[0]}", (IMAGE,), group, ()))
    file = ImagesFile(format=FORMAT, images=images, packs=_write_packs(store, plans))
    write_json_with_checksum(store, "images.json", file)
    remove_unnamed_packs(store, (IMAGES,), file.packs or ())
    return file


def split_images(images: Iterable[int | str]) -> list[list[int]]:
    """Return the ids of images, ascending, in the groups that share a pack."""
    ids = sorted(map(int, images))
    return [ids[start : start + IMAGES_PER_PACK] for start in range(0, len(ids), IMAGES_PER_PACK)]


def remove_unnamed_packs(store: Path, folders: Iterable[str], packs: Iterable[Pack]) -> None:
    """Remove the packs in some folders of a store that no JSON names any more.

    Args:
        store: Folder of the store.
        folders: The folders, relative to the store.
        packs: The packs that remain.
    """
    named = {store / pack.path for pack in packs}
    for folder in folders:
        with suppress(OSError):  # a file that remains does no harm
            for path in (store / folder).glob("*.bin"):
                if path not in named:
                    path.unlink()
            (store / folder).rmdir()


def remove_all_unnamed_packs(store: Path, manifest: Manifest) -> None:
    """Remove the packs that a killed run wrote and no JSON names.

    Raises:
        LurkError: A file of the store is damaged.
    """
    for layer in manifest.layers:
        packs = read_layer(store, layer).packs or LayerPacks()
        name = safe_name(layer.name)
        remove_unnamed_packs(
            store, (f"{PICTURES}/{name}", f"{THUMBS}/{name}"), (*packs.pictures, *packs.thumbs)
        )
    remove_unnamed_packs(store, (IMAGES,), read_images(store).packs or ())


def _listed_pictures(file: LayerFile, pictures: StoredPictures) -> dict[PictureKey, StoredPicture]:
    listed: dict[PictureKey, StoredPicture] = {}
    for entry in file.filters:
        for kind in entry.pictures:
            listed[entry.channel, kind] = find_picture(pictures, entry.channel, kind)
    return listed


def _shows_listed(kind: str, entry: Filter) -> bool:
    return kind == IMAGE or thumb_source(kind, entry.pictures) is not None


def _groups(pictures: PictureSources, size: int) -> dict[int, PictureSources]:
    """Return the pictures of `size` consecutive channels each, by the first channel of the group."""
    groups: dict[int, dict[PictureKey, StoredPicture | bytes]] = {}
    for (channel, kind), picture in sorted(pictures.items(), key=lambda entry: entry[0][0]):
        groups.setdefault(channel - channel % size, {})[channel, kind] = picture
    return dict(groups)


@dataclass(frozen=True)
class _Plan:
    """A pack to write.

    Attributes:
        stem: Its path without digest and suffix.
        kinds: Kinds of its pictures.
        pictures: Its pictures.
        old: Packs of the same kinds. If one has exactly these pictures, it is kept.
    """

    stem: str
    kinds: tuple[str, ...]
    pictures: PictureSources
    old: Sequence[Pack]


def _write_packs(store: Path, plans: Sequence[_Plan]) -> list[Pack]:
    """Write the packs that do not exist yet; return all of them."""
    packs: list[Pack] = []

    def new_files() -> Iterator[tuple[Path, bytes]]:
        for plan in plans:
            unchanged = _find_unchanged(store, plan)
            if unchanged is not None:
                packs.append(unchanged)
                continue
            contents = {
                key: picture if isinstance(picture, bytes) else picture.read()
                for key, picture in plan.pictures.items()
            }
            pack, data = join_pictures(plan.stem, plan.kinds, contents)
            path = f"{plan.stem}.{hashlib.sha256(data).hexdigest()[:12]}.bin"
            packs.append(msgspec.structs.replace(pack, path=path))
            if not _has_size(store / path, len(data)):
                yield store / path, data

    write_files(new_files())
    return packs


def _find_unchanged(store: Path, plan: _Plan) -> Pack | None:
    """Return the old pack that has exactly the pictures of a plan."""
    paths = {None if isinstance(picture, bytes) else picture.path for picture in plan.pictures.values()}
    for pack in plan.old:
        if paths == {store / pack.path}:
            return pack if locate_pictures(pack, store / pack.path) == plan.pictures else None
    return None


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
