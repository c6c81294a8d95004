"""One pass over images, in shards, which are shared among processes, saved one by one and merged in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby

import torch

from torchlurk.datasets.batches import Batch, batches
from torchlurk.errors import LurkError
from torchlurk.pipeline.stages.blocks import POLL_INTERVAL, collect_finished
from torchlurk.pipeline.stages.context import RunContext
from torchlurk.runtime.transfer import copy_to_device
from torchlurk.scan.scan import NonFiniteActivation, ScanBatch, scan
from torchlurk.scan.shards import Shard, merge_shards, to_bytes
from torchlurk.scan.state import initial_state, state_to
from torchlurk.store import schema
from torchlurk.store.partial import PartialResults, digest_records


def scan_images(
    context: RunContext, device: torch.device, task: str, images: Sequence[int], k: int, *, bfloat16: bool
) -> Shard | None:
    """Scan images shard by shard; shards that have a partial result are not computed again.

    All processes of the run call this.

    Args:
        context: The run.
        device: Device of the network.
        task: Name of the partial results and of the progress bar.
        images: Ids of the images.
        k: Number of images in each top list.
        bfloat16: Run the forward pass in bfloat16, see `scan.scan`.

    Returns:
        The merged result of all shards in the main process; `None` in the others.
    """
    size = context.config.scan.shard_size
    partial = PartialResults(
        context.out, task, digest_records(context.identity, task, list(images) if task == "again" else [])
    )
    lengths = {f"{n:06}": len(images[n * size : (n + 1) * size]) for n in range(-(-len(images) // size))}
    finished = context.group.broadcast(
        lambda: sorted(partial.collect_valid(lengths, context.reporter.report))
    )
    remaining = [piece for piece in lengths if piece not in finished]
    local = context.group.local_share(remaining)
    awaited = {piece: lengths[piece] for piece in remaining} if context.group.is_main else {}
    with (
        context.reporter.bar(task, len(images), "image") as advance,
        closing(_load_batches(context, images, [int(piece) for piece in local])) as loaded,
    ):
        advance(sum(lengths[piece] for piece in finished))
        for number, batches_of_shard in groupby(loaded, key=lambda batch: batch.shard):
            piece = f"{number:06}"
            shard = _scan_shard(context, device, images, batches_of_shard, k, bfloat16, advance)
            partial.write(piece, to_bytes(shard))
            awaited.pop(piece, None)
            collect_finished(context, partial, awaited, advance)
        while awaited:
            context.sleep(POLL_INTERVAL)
            collect_finished(context, partial, awaited, advance)
    context.group.barrier()
    if not context.group.is_main:
        return None
    channels = {layer.name: layer.shape[0] for layer in context.graph.layers}
    return merge_shards(map(partial.read, lengths), channels, len(context.images.classes), k)


def _scan_shard(
    context: RunContext,
    device: torch.device,
    images: Sequence[int],
    loaded: Iterable[Batch],
    k: int,
    bfloat16: bool,
    advance: Callable[[int], object],
) -> Shard:
    """Scan one shard from its decoded batches."""
    channels = {layer.name: layer.shape[0] for layer in context.graph.layers}
    state = initial_state(channels, len(context.images.classes), k, device)
    skipped: list[schema.SkippedFile] = []

    def scan_batches() -> Iterator[ScanBatch]:
        for batch in loaded:
            skipped.extend(schema.SkippedFile(path=s.path, reason=s.reason) for s in batch.skipped)
            if batch.indices:
                ids = [images[index] for index in batch.indices]
                if device.type == "cuda":  # where decoding takes longer than computing
                    context.source.remember(ids, batch.pixels)
                yield ScanBatch(
                    copy_to_device(torch.tensor(ids), device),
                    copy_to_device(torch.tensor(batch.labels), device),
                    context.network.preprocess.to_input(copy_to_device(batch.pixels, device)),
                )
            advance(len(batch.indices) + len(batch.skipped))

    try:
        for current in scan(
            context.runner, state, scan_batches(), bfloat16=bfloat16, limiter=context.limiter
        ):
            state = current
    except NonFiniteActivation as problem:
        raise LurkError(
            f"layer {problem.layer!r}, and none before it, gives NaN or infinity for image "
            f"{context.images.paths[problem.image]!r}",
            "check the weights of this layer, and this image",
        ) from problem
    return Shard(
        state_to(state, torch.device("cpu")),
        tuple(skipped),
        context.limiter.cap(context.config.scan.batch_size),
    )


def _load_batches(
    context: RunContext, images: Sequence[int], shards: Sequence[int]
) -> Generator[Batch, None, None]:
    """Yield the decoded batches of some shards, one shard after the other."""
    yield from batches(
        context.images.take(images),
        context.network.preprocess,
        batch_size=context.config.scan.batch_size,
        shard_size=context.config.scan.shard_size,
        workers=context.config.workers,
        shards=shards,
        pin_memory=context.source.device.type == "cuda",
    )
