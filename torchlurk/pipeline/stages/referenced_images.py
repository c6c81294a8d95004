"""The images that some filter refers to: encoded in groups that processes share, then written as packs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial as bind

import msgspec

from torchlurk.errors import LurkError
from torchlurk.pipeline.encoding import encode_one, image_job
from torchlurk.pipeline.stages.context import RunContext
from torchlurk.store import schema
from torchlurk.store.packs import join_pictures, split_images, write_images
from torchlurk.store.partial import PartialResults, digest_records
from torchlurk.store.pictures import IMAGE, StoredPictures, locate_pictures
from torchlurk.store.read import read_images
from torchlurk.store.schema import LayerFile, Pack

IMAGES_TASK = "images"
"""Name of the partial results and of the progress bar."""


def write_referenced_images(
    context: RunContext, files: Mapping[str, LayerFile], others: Iterable[int] = ()
) -> None:
    """Write the images that some filter refers to, and the list of them, unless they are written already.

    All processes of the run call this.

    Args:
        context: The run.
        files: The layers, whose lists refer to images.
        others: Ids of other images that the store refers to.
    """
    listed = (image for file in files.values() for f in file.filters for image in schema.referenced_images(f))
    used = sorted({*listed, *others})
    if context.group.broadcast(lambda: _are_written(context, used)):
        return
    identity = digest_records(context.identity, IMAGES_TASK, used)
    partial = PartialResults(context.out, IMAGES_TASK, identity)
    groups = {f"{number:05}": ids for number, ids in enumerate(split_images(used))}
    finished = context.group.broadcast(lambda: sorted(partial.collect_valid(groups, context.reporter.report)))
    local = context.group.local_share([piece for piece in groups if piece not in finished])
    with context.reporter.bar(IMAGES_TASK, sum(len(groups[piece]) for piece in local), "image") as advance:
        for piece in local:
            partial.write(piece, _encode(context, piece, groups[piece]))
            advance(len(groups[piece]))
    context.group.barrier()
    if context.group.is_main:
        entries = {
            str(image): schema.ImageEntry(
                path=context.images.paths[image], label=context.images.labels[image]
            )
            for image in used
        }
        pictures = {key: p for piece in groups for key, p in _locate(partial, piece).items()}
        write_images(context.out, entries, pictures)
        partial.remove_all()


def _are_written(context: RunContext, used: Sequence[int]) -> bool:
    """Return whether `images.json` lists the images and its packs exist."""
    try:
        file = read_images(context.out)
    except LurkError:
        return False
    packs = file.packs
    return (
        packs is not None
        and [image for pack in packs for image in pack.items] == list(used)
        and all((context.out / pack.path).is_file() for pack in packs)
    )


def _encode(context: RunContext, piece: str, images: Sequence[int]) -> bytes:
    """Return some images as a pack, after its record."""
    futures = {
        (image, IMAGE): context.encoders.submit(bind(encode_one, image_job(context.source.picture(image))))
        for image in images
    }
    context.encoders.finish()
    pack, data = join_pictures(piece, (IMAGE,), {key: future.result() for key, future in futures.items()})
    return msgspec.json.encode(pack) + b"\n" + data


def _locate(partial: PartialResults, piece: str) -> StoredPictures:
    """Return the images of a partial result."""
    line, _, data = partial.read(piece).partition(b"\n")
    path = partial.folder / piece
    pack = msgspec.json.decode(line, type=Pack)
    return locate_pictures(pack, path, path.stat().st_size - len(data))
