"""Work on the filters of layers, in blocks that processes share, save one by one and merge by layer.

The partial result of a block holds its records and its pictures in one file, so that a block exists as a
whole or not at all. Merging copies the pictures into the packs of the layer.

Which filters form a block depends on their channel numbers alone, and a block is computed whole even if only
some of its filters are requested: the last digits of a result depend on the batch size, and a filter's result
must not depend on which others were requested, in this run or an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial as bind

from torchlurk.errors import LurkError
from torchlurk.graph import Layer
from torchlurk.pipeline.encoding import EncodedFilter, FilterResult, encode_result, natural_sizes
from torchlurk.pipeline.stages.block_results import read_block, write_block
from torchlurk.pipeline.stages.context import RunContext, read_layer_files, with_filters
from torchlurk.runtime.transfer import ahead, batches_in_flight
from torchlurk.store import schema
from torchlurk.store.packs import write_layer
from torchlurk.store.partial import PartialResults, digest_records
from torchlurk.store.pictures import layer_pictures, layer_thumbs
from torchlurk.store.read import read_layer
from torchlurk.store.schema import Filter, LayerFile, Manifest

POLL_INTERVAL = 0.5
"""Seconds between two looks for results that other processes have finished."""

_RESUME_HINT = "check the disk, then start the same command again"


@dataclass(frozen=True)
class Block:
    """Filters of a layer that are computed together.

    Attributes:
        layer: The layer.
        number: Number of the block in the layer.
        filters: All filters of the block.
        requested: Channels whose results are kept.
    """

    layer: Layer
    number: int
    filters: tuple[Filter, ...]
    requested: tuple[int, ...]

    @property
    def piece(self) -> str:
        """Name of its partial result, which depends on the requested channels."""
        channels = digest_records(self.requested)[:12]
        return f"{schema.safe_name(self.layer.name)}/{self.number:05}-{channels}.block"


Advance = Callable[[int], object]
"""Advances a progress bar by a number of filters."""

ComputeBlock = Callable[[Block, Advance], Iterator[FilterResult]]
"""Computes a block: returns the new results of the requested filters, and advances the bar by each.

With CUDA, what it asks of the device before it returns is computed while the results of the block before are
collected."""


Plan = Callable[[Sequence[Block]], ComputeBlock]
"""Takes the blocks that a process is going to compute, and returns the function that computes one of them."""


def split_into_blocks(
    context: RunContext,
    files: Mapping[str, LayerFile],
    requested: Mapping[str, Sequence[int]],
    size: int | Mapping[str, int],
) -> list[Block]:
    """Return the blocks that contain requested filters.

    Args:
        context: The run.
        files: All layers, by name.
        requested: Channels, by layer.
        size: Filters per block, of every layer or by layer.
    """
    blocks = []
    for name, channels in requested.items():
        count = size if isinstance(size, int) else size[name]
        for start in range(0, len(files[name].filters), count):
            in_block = tuple(c for c in channels if start <= c < start + count)
            if in_block:
                filters = tuple(files[name].filters[start : start + count])
                blocks.append(Block(context.graph.layer(name), start // count, filters, in_block))
    return blocks


def run_blocks(
    context: RunContext,
    manifest: Manifest,
    task: str,
    config: object,
    select: Callable[[Mapping[str, LayerFile]], Mapping[str, Sequence[int]]],
    plan: Plan,
    *,
    size: int | Mapping[str, int],
) -> dict[str, LayerFile]:
    """Compute results of filters block by block, and merge them into the layers' files.

    All processes of the run call this. Each computes its share of the blocks that have no partial result yet.

    Args:
        context: The run.
        manifest: The manifest of the store.
        task: Name of the partial results and of the progress bar.
        config: What affects the results, besides the run's identity.
        select: Returns the channels to compute, by layer.
        plan: Returns the function that computes the blocks of this process.
        size: Filters per block, of every layer or by layer.

    Returns:
        The layers' files afterwards, by layer.

    Raises:
        LurkError: A result cannot be computed, read or written; finished blocks are kept.
    """
    files = read_layer_files(context, manifest)
    requested = context.group.broadcast(lambda: {name: tuple(c) for name, c in select(files).items()})
    blocks = split_into_blocks(context, files, requested, size)
    if not blocks:
        return files
    partial = PartialResults(context.out, task, digest_records(context.identity, task, config, size))
    finished = context.group.broadcast(
        lambda: sorted(partial.collect_valid((b.piece for b in blocks), context.reporter.report))
    )
    remaining = [block for block in blocks if block.piece not in finished]
    filters = {block.piece: len(block.requested) for block in blocks}
    awaited = {block.piece: filters[block.piece] for block in remaining} if context.group.is_main else {}
    layer_of = {block.piece: block.layer.name for block in blocks}
    merger = _Merger(context, manifest, partial, files, layer_of) if context.group.is_main else None
    with context.reporter.bar(task, sum(filters.values()), "filter") as advance:
        advance(sum(filters[piece] for piece in finished))
        if merger:
            merger.merge(finished)
        local = list(context.group.local_share(remaining))
        for block, encoded in _compute_encoded(context, local, plan(local), advance):
            write_block(partial, block.piece, encoded)
            awaited.pop(block.piece, None)
            if merger:
                merger.merge([block.piece, *collect_finished(context, partial, awaited, advance)])
        while merger and awaited:
            context.sleep(POLL_INTERVAL)
            merger.merge(collect_finished(context, partial, awaited, advance))
    context.group.barrier()
    if context.group.is_main:
        partial.remove_all()
        return files
    return read_layer_files(context, manifest)


def _compute_encoded(
    context: RunContext, blocks: Iterable[Block], compute: ComputeBlock, advance: Advance
) -> Iterator[tuple[Block, list[EncodedFilter]]]:
    """Yield each block with its results, as soon as its pictures are encoded.

    They are encoded while the network computes the next block. If that fails, the block is yielded before the
    exception is raised.
    """
    started = ((block, compute(block, advance)) for block in blocks)
    before: _Encoding | None = None
    problem: Exception | None = None
    try:
        for block, results in ahead(started, batches_in_flight(context.source.device)):
            natural = natural_sizes(block.layer, context.source.shape[1:])
            futures: list[Future[EncodedFilter]] = []
            for result in results:
                futures.append(context.encoders.submit(bind(encode_result, result, natural)))
                if before and before.is_done:
                    yield before.block, before.results
                    before = None
            if before:
                yield before.block, before.results
            before = _Encoding(block, futures)
    except Exception as error:
        problem = error
    if before:
        yield before.block, before.results
    if problem:
        raise problem


@dataclass(frozen=True)
class _Encoding:
    """A block that is computed, and whose pictures are being encoded."""

    block: Block
    futures: Sequence[Future[EncodedFilter]]

    @property
    def is_done(self) -> bool:
        """Whether all pictures are encoded."""
        return all(future.done() for future in self.futures)

    @property
    def results(self) -> list[EncodedFilter]:
        """The results, after the last picture is encoded."""
        return [future.result() for future in self.futures]


def collect_finished(
    context: RunContext, partial: PartialResults, awaited: dict[str, int], advance: Advance
) -> list[str]:
    """Return the partial results that other processes have finished.

    Args:
        context: The run.
        partial: The partial results.
        awaited: Number of items of each partial result that is awaited; finished ones are removed from it.
        advance: Advances the progress bar by the items of those.
    """
    if context.group.size == 1:
        return []
    finished = sorted(partial.names() & awaited.keys())
    for piece in finished:
        advance(awaited.pop(piece))
    return finished


@dataclass(frozen=True)
class _Merger:
    """Merges the finished blocks of a layer into its file, as soon as all of them are finished.

    Attributes:
        files: The layers' files, which are updated.
        layer_of: The layer of each block, by the name of its partial result.
    """

    context: RunContext
    manifest: Manifest
    partial: PartialResults
    files: dict[str, LayerFile]
    layer_of: Mapping[str, str]

    def merge(self, finished: Sequence[str]) -> None:
        """Merge the layers that these partial results complete."""
        for name in dict.fromkeys(self.layer_of[piece] for piece in finished):
            pieces = [piece for piece, layer in self.layer_of.items() if layer == name]
            if all(self.partial.has(piece) for piece in pieces):
                self._merge_layer(name, pieces)

    def _merge_layer(self, name: str, pieces: Sequence[str]) -> None:
        out, old = self.context.out, self.files[name]
        changed: dict[int, Filter] = {}
        pictures, thumbs = layer_pictures(out, old), layer_thumbs(out, old)
        for piece in pieces:
            result = read_block(self.partial, piece)
            changed |= {entry.channel: entry for entry in result.filters}
            pictures |= result.pictures
            thumbs |= result.thumbs
        file = write_layer(out, with_filters(old, changed), pictures, thumbs)
        layer = next(layer for layer in self.manifest.layers if layer.name == name)
        # Partial results are removed only after the merged file has been read back.
        if read_layer(out, layer) != file:
            path = str(out / layer.data)
            raise LurkError(f"{path!r} differs from what was written", _RESUME_HINT)
        self.files[name] = file
        self.partial.remove(pieces)
