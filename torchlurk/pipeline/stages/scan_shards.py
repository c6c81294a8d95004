"""A pass over images: cut into shards, shared among processes, kept one by one, and merged in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby

import torch

from torchlurk.datasets.batches import Batch, batches
from torchlurk.errors import LurkError
from torchlurk.pipeline.stages.blocks import LOOK, see
from torchlurk.pipeline.stages.context import RunContext
from torchlurk.runtime.devices import copy_to_device
from torchlurk.scan import scan
from torchlurk.scan.shards import Shard, merge_shards, to_bytes
from torchlurk.store import schema
from torchlurk.store.partial import PartialResults, digest_records


def scan_images(
    context: RunContext, device: torch.device, work: str, images: Sequence[int], k: int, *, bfloat16: bool
) -> Shard | None:
    """Scan the images of these ids, shard by shard; what is finished already is not computed again.

    Args:
        context: for which run.
        device: where to compute.
        work: what the pieces are called, and the bar.
        images: ids.
        k: images that a list keeps.
        bfloat16: as for `scan.scan`.

    Returns:
        What all shards give together, for the main process; `None` for the others.
    """
    size = context.config.scan.shard_size
    pieces = PartialResults(
        context.out, work, digest_records(context.identity, work, list(images) if work == "again" else [])
    )
    length = {f"{n:06}": len(images[n * size : (n + 1) * size]) for n in range(-(-len(images) // size))}
    finished = context.group.broadcast(lambda: sorted(pieces.collect_valid(length, context.reporter.report)))
    todo = [piece for piece in length if piece not in finished]
    mine = context.group.local_share(todo)
    awaited = {piece: length[piece] for piece in todo} if context.group.is_main else {}
    with (
        context.reporter.bar(work, len(images), "image") as advance,
        closing(_feed(context, images, [int(piece) for piece in mine])) as feed,
    ):
        advance(sum(length[piece] for piece in finished))
        for number, batches_of_shard in groupby(feed, key=lambda batch: batch.shard):
            piece = f"{number:06}"
            shard = _shard(context, device, images, batches_of_shard, k, bfloat16, advance)
            pieces.write(piece, to_bytes(shard))
            awaited.pop(piece, None)
            see(context, pieces, awaited, advance)
        while awaited:
            context.sleep(LOOK)
            see(context, pieces, awaited, advance)
    context.group.barrier()
    if not context.group.is_main:
        return None
    channels = {layer.name: layer.shape[0] for layer in context.graph.layers}
    return merge_shards(map(pieces.read, length), channels, len(context.folder.classes), k)


def _shard(
    context: RunContext,
    device: torch.device,
    images: Sequence[int],
    found: Iterable[Batch],
    k: int,
    bfloat16: bool,
    advance: Callable[[int], object],
) -> Shard:
    """Scan one shard from its decoded batches."""
    channels = {layer.name: layer.shape[0] for layer in context.graph.layers}
    state = scan.empty(channels, len(context.folder.classes), k, device)
    skipped: list[schema.SkippedFile] = []

    def fed() -> Iterator[scan.ScanBatch]:
        for batch in found:
            skipped.extend(schema.SkippedFile(path=s.path, reason=s.reason) for s in batch.skipped)
            if batch.indices:
                ids = torch.tensor([images[index] for index in batch.indices])
                yield scan.ScanBatch(
                    copy_to_device(ids, device),
                    copy_to_device(torch.tensor(batch.labels), device),
                    context.network.preprocess.normalise(copy_to_device(batch.pixels, device)),
                )
            advance(len(batch.indices) + len(batch.skipped))

    try:
        for current in scan.scan(context.runner, state, fed(), bfloat16=bfloat16, limiter=context.limiter):
            state = current
    except scan.NonFiniteActivation as problem:
        raise LurkError(
            f"layer {problem.layer!r}, and none before it, gives NaN or infinity for image "
            f"{context.folder.paths[problem.image]!r}: look at its weights, and at that image"
        ) from problem
    return Shard(
        scan.to(state, torch.device("cpu")),
        tuple(skipped),
        context.limiter.cap(context.config.scan.batch_size),
    )


def _feed(context: RunContext, images: Sequence[int], shards: Sequence[int]) -> Generator[Batch, None, None]:
    """The decoded batches of some shards of images, one shard after the other."""
    yield from batches(
        context.folder.take(images),
        context.network.preprocess,
        batch_size=context.config.scan.batch_size,
        shard_size=context.config.scan.shard_size,
        workers=context.config.workers,
        shards=shards,
    )
