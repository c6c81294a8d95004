"""Work on the filters of layers, cut into blocks: shared among processes, kept one by one, merged by layer.

Which filters make a block depends on their numbers alone, and a block is computed as a whole even if only
some of it are wanted: in a batch of another size the last digits are others, and what a filter gets must
not depend on which others were asked for, in this run or in one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from torchlurk.errors import LurkError
from torchlurk.graph import Layer
from torchlurk.pipeline.stages.context import RunContext, replace
from torchlurk.store import schema
from torchlurk.store.partial import PartialResults, digest_records
from torchlurk.store.read import read_layer
from torchlurk.store.schema import Filter, LayerFile, Manifest
from torchlurk.store.write import write_json_with_checksum

LOOK = 0.5
"""Seconds between two looks at what the other processes have finished."""


@dataclass(frozen=True)
class Block:
    """Some filters of a layer that are computed together.

    Attributes:
        layer: theirs.
        number: of the block in the layer.
        filters: all of the block.
        wanted: the channels whose results are kept.
    """

    layer: Layer
    number: int
    filters: tuple[Filter, ...]
    wanted: tuple[int, ...]

    @property
    def piece(self) -> str:
        """The name of its finished piece; it says which filters were wanted."""
        asked = digest_records(self.wanted)[:12]
        return f"{schema.safe_name(self.layer.name)}/{self.number:05}-{asked}.json"


Advance = Callable[[int], object]
"""Moves a bar on by so many filters."""

Make = Callable[[Block, Advance], Iterator[Filter]]
"""Computes a block: gives the wanted filters with what is new in them, and advances by each."""


def cut(
    context: RunContext, files: Mapping[str, LayerFile], wanted: Mapping[str, Sequence[int]], size: int
) -> list[Block]:
    """The blocks that hold wanted filters.

    Args:
        context: whose layers they are.
        files: all layers, by name.
        wanted: channels, by layer.
        size: filters a block.
    """
    blocks = []
    for name, channels in wanted.items():
        for start in range(0, len(files[name].filters), size):
            here = tuple(c for c in channels if start <= c < start + size)
            if here:
                filters = tuple(files[name].filters[start : start + size])
                blocks.append(Block(context.graph.layer(name), start // size, filters, here))
    return blocks


def by_blocks(
    context: RunContext,
    manifest: Manifest,
    work: str,
    config: object,
    wanted: Callable[[Mapping[str, LayerFile]], Mapping[str, Sequence[int]]],
    make: Make,
    *,
    size: int,
) -> dict[str, LayerFile]:
    """Compute what some filters lack, and put it into the layers' files.

    Args:
        context: for which run.
        manifest: of the store.
        work: what the pieces are called, and the bar.
        config: what decides the results beside the run's identity.
        wanted: which channels lack it, by layer.
        make: computes a block.
        size: filters a block.

    Returns:
        The layers as they are then, by name.

    Raises:
        LurkError: something cannot be computed, read or written; finished blocks are kept.
    """
    files = {layer.name: read_layer(context.out, layer) for layer in manifest.layers}
    asked = context.group.broadcast(lambda: {name: tuple(found) for name, found in wanted(files).items()})
    blocks = cut(context, files, asked, size)
    if not blocks:
        return files
    pieces = PartialResults(context.out, work, digest_records(context.identity, work, config, size))
    finished = context.group.broadcast(
        lambda: sorted(pieces.collect_valid((b.piece for b in blocks), context.reporter.report))
    )
    todo = [block for block in blocks if block.piece not in finished]
    mine = context.group.local_share(todo)
    weight = {block.piece: len(block.wanted) for block in blocks}
    awaited = {block.piece: weight[block.piece] for block in todo} if context.group.is_main else {}
    merging = _Merging(context, manifest, pieces, files, blocks) if context.group.is_main else None
    with context.reporter.bar(work, sum(weight.values()), "filter") as advance:
        advance(sum(weight[piece] for piece in finished))
        if merging:
            merging.merge(finished)
        for block in mine:
            found = list(make(block, advance))
            context.writers.finish()
            pieces.write(block.piece, msgspec.json.encode(found))
            awaited.pop(block.piece, None)
            if merging:
                merging.merge([block.piece, *see(context, pieces, awaited, advance)])
        while merging and awaited:
            context.sleep(LOOK)
            merging.merge(see(context, pieces, awaited, advance))
    context.group.barrier()
    if context.group.is_main:
        pieces.remove_all()
        return files
    return {layer.name: read_layer(context.out, layer) for layer in manifest.layers}


def see(context: RunContext, pieces: PartialResults, awaited: dict[str, int], advance: Advance) -> list[str]:
    """The pieces that other processes have finished since; `awaited` loses them, and the bar advances."""
    if context.group.size == 1:
        return []
    new = sorted(pieces.names() & awaited.keys())
    for piece in new:
        advance(awaited.pop(piece))
    return new


@dataclass(frozen=True)
class _Merging:
    """Puts finished blocks into the file of a layer, when all of the layer are finished.

    Attributes:
        files: the layers, which change.
        blocks: those that are not merged yet, by piece, likewise.
    """

    context: RunContext
    manifest: Manifest
    pieces: PartialResults
    files: dict[str, LayerFile]
    blocks: Sequence[Block]

    def merge(self, finished: Sequence[str]) -> None:
        """Merge the layers that these pieces complete."""
        of = {block.piece: block.layer.name for block in self.blocks}
        for name in dict.fromkeys(of[piece] for piece in finished):
            own = [piece for piece, layer in of.items() if layer == name]
            if all(self.pieces.has(piece) for piece in own):
                self._merge_layer(name, own)

    def _merge_layer(self, name: str, own: Sequence[str]) -> None:
        changed: dict[int, Filter] = {}
        for piece in own:
            for entry in msgspec.json.decode(self.pieces.read(piece), type=list[Filter]):
                changed[entry.channel] = entry
                for kind in entry.pictures:
                    path = self.context.out / schema.picture_path(kind, name, entry.channel)
                    if not path.is_file():
                        raise LurkError(f"{str(path)!r} was taken away while the run wrote: start it again")
        file = replace(self.files[name], changed)
        write_json_with_checksum(self.context.out, schema.layer_path(name), file)
        layer = next(layer for layer in self.manifest.layers if layer.name == name)
        # The pieces go only when what they gave has been read again.
        if read_layer(self.context.out, layer) != file:
            raise LurkError(
                f"{str(self.context.out / layer.data)!r} differs from what was written: check the disk, then "
                "start the same command again"
            )
        self.files[name] = file
        self.pieces.remove(own)
