"""One pass over images, in shards, which are shared among processes, saved one by one and merged in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby

import torch

from torchlurk.datasets.batches import Batch, batches
from torchlurk.errors import LurkError
from torchlurk.pipeline.stages.blocks import POLL_INTERVAL, Advance, collect_finished
from torchlurk.pipeline.stages.context import RunContext
from torchlurk.runtime.transfer import copy_to_device
from torchlurk.scan.kept import collect_activations
from torchlurk.scan.reduce import MapReductions
from torchlurk.scan.scan import NonFiniteActivation, ScanBatch, scan
from torchlurk.scan.shards import Shard, merge_shards, read_activations, to_bytes
from torchlurk.scan.state import initial_state, state_to
from torchlurk.store import schema
from torchlurk.store.activations import ActivationWriter
from torchlurk.store.partial import PartialResults, digest_records


def scan_images(
    context: RunContext,
    device: torch.device,
    task: str,
    images: Sequence[int],
    k: int,
    *,
    bfloat16: bool,
    writer: ActivationWriter | None = None,
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
        writer: Writes the activations of the images, which are all images of the data set; by default, they
            are not kept.

    Returns:
        The merged result of all shards in the main process; `None` in the others.
    """
    size = context.config.scan.shard_size
    # Shards of a version that kept no activations are still valid for runs that keep none.
    with_activations = ["activations"] if writer else []
    again = list(images) if task == "again" else []
    identity = digest_records(context.identity, task, again, *with_activations)
    partial = PartialResults(context.out, task, identity)
    lengths = shard_lengths(len(images), size)

    def compute(shards: Sequence[int], advance: Advance) -> Generator[tuple[int, bytes], None, None]:
        with closing(load_batches(context, images, shards, size)) as loaded:
            for number, batches_of_shard in groupby(loaded, key=lambda batch: batch.shard):
                ids = images[number * size : (number + 1) * size]
                kept = range(ids[0], ids[-1] + 1) if writer else None
                shard = _scan_shard(context, device, images, batches_of_shard, k, bfloat16, advance, kept)
                yield number, to_bytes(shard)

    compute_shards(context, partial, lengths, compute)
    if not context.group.is_main:
        return None
    channels = {layer.name: layer.shape[0] for layer in context.graph.layers}
    contents: Iterator[bytes] = map(partial.read, lengths)
    if writer:
        contents = _with_rows_written(contents, writer, size)
    return merge_shards(contents, channels, len(context.images.classes), k)


def _with_rows_written(contents: Iterable[bytes], writer: ActivationWriter, size: int) -> Iterator[bytes]:
    """Yield the contents of all shards, and write the activations of each."""
    try:
        writer.begin()
        for number, content in enumerate(contents):
            for layer, found in read_activations(content, writer.shapes).items():
                writer.write(layer, number * size, vars(found))
            yield content
        writer.finish()
    except BaseException:
        writer.discard()
        raise


def shard_lengths(images: int, size: int) -> dict[str, int]:
    """Return the number of images in each shard, by the name of its partial result.

    Args:
        images: Number of images.
        size: Images per shard; the last one may have fewer.
    """
    return {f"{n:06}": min(size, images - n * size) for n in range(-(-images // size))}


ComputeShards = Callable[[Sequence[int], Advance], Generator[tuple[int, bytes], None, None]]
"""Computes shards: yields number and content of each, in order, and advances the bar by their images."""


def compute_shards(
    context: RunContext, partial: PartialResults, lengths: Mapping[str, int], compute: ComputeShards
) -> None:
    """Compute the shards that have no partial result yet.

    All processes of the run call this, and each computes its share. Afterwards all shards have one.

    Args:
        context: The run.
        partial: The partial results; the progress bar has their name.
        lengths: Number of images in each shard, see `shard_lengths`.
        compute: Computes shards by their numbers.
    """
    finished = context.group.broadcast(
        lambda: sorted(partial.collect_valid(lengths, context.reporter.report))
    )
    remaining = [piece for piece in lengths if piece not in finished]
    local = context.group.local_share(remaining)
    awaited = {piece: lengths[piece] for piece in remaining} if context.group.is_main else {}
    with (
        context.reporter.bar(partial.work, sum(lengths.values()), "image") as advance,
        closing(compute([int(piece) for piece in local], advance)) as computed,
    ):
        advance(sum(lengths[piece] for piece in finished))
        for number, content in computed:
            piece = f"{number:06}"
            partial.write(piece, content)
            awaited.pop(piece, None)
            collect_finished(context, partial, awaited, advance)
        while awaited:
            context.sleep(POLL_INTERVAL)
            collect_finished(context, partial, awaited, advance)
    context.group.barrier()


def _scan_shard(
    context: RunContext,
    device: torch.device,
    images: Sequence[int],
    loaded: Iterable[Batch],
    k: int,
    bfloat16: bool,
    advance: Advance,
    kept: range | None,
) -> Shard:
    """Scan one shard from its decoded batches, and keep the activations of some consecutive images."""
    channels = {layer.name: layer.shape[0] for layer in context.graph.layers}
    state = initial_state(channels, len(context.images.classes), k, device)
    skipped: list[schema.SkippedFile] = []
    forwards: list[tuple[torch.Tensor, Mapping[str, MapReductions]]] = []

    def keep(ids: torch.Tensor, reduced: Mapping[str, MapReductions]) -> None:
        forwards.append((ids, reduced))

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
            context.runner,
            state,
            scan_batches(),
            bfloat16=bfloat16,
            limiter=context.limiter,
            keep=None if kept is None else keep,
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
        {} if kept is None else collect_activations(forwards, context.graph.layers, kept),
    )


def load_batches(
    context: RunContext, images: Sequence[int], shards: Sequence[int], shard_size: int
) -> Generator[Batch, None, None]:
    """Yield the decoded batches of some shards, one shard after the other.

    Args:
        context: The run.
        images: Ids of the images.
        shards: Numbers of the shards.
        shard_size: Images per shard.
    """
    yield from batches(
        context.images.take(images),
        context.network.preprocess,
        batch_size=context.config.scan.batch_size,
        shard_size=shard_size,
        workers=context.config.workers,
        shards=shards,
        pin_memory=context.source.device.type == "cuda",
    )
