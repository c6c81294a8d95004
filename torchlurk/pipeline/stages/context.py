"""What the stages share: the context, and how it writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from torchlurk.datasets.images import ImageSet
from torchlurk.graph import Graph
from torchlurk.models.network import Network
from torchlurk.models.runner import Runner
from torchlurk.pipeline import records
from torchlurk.pipeline.config import RunConfig
from torchlurk.pipeline.rendering import Source
from torchlurk.pipeline.stages.writers import Writers
from torchlurk.runtime import pictures
from torchlurk.runtime.devices import BatchLimiter
from torchlurk.runtime.distributed import ProcessGroup
from torchlurk.runtime.pictures import Pixels
from torchlurk.runtime.reporting import Reporter
from torchlurk.store import schema
from torchlurk.store.read import read_layer
from torchlurk.store.schema import Filter, LayerFile, Manifest, Stage
from torchlurk.store.selection import selected_channels
from torchlurk.store.write import write_bytes, write_checksums, write_json, write_json_with_checksum


@dataclass(frozen=True)
class RunContext:
    """All that the stages share.

    Attributes:
        network: what is looked into.
        folder: the images that it is shown.
        graph: its layers and edges.
        runner: how it is run.
        source: where pixels come from.
        out: the store's folder.
        config: what to do.
        reporter: how to tell.
        writers: who encodes pictures.
        group: the processes that share the run.
        limiter: how much fits into the memory at once.
        sleep: waits for some seconds.
        identity: the digest of all that decides what the scan gives.
    """

    network: Network
    folder: ImageSet
    graph: Graph
    runner: Runner
    source: Source
    out: Path
    config: RunConfig
    reporter: Reporter
    writers: Writers
    group: ProcessGroup
    limiter: BatchLimiter
    sleep: Callable[[float], object]
    identity: str = ""


def write_picture(context: RunContext, kind: str, layer: str, channel: int, pixels: Pixels) -> None:
    """Encode a picture of a filter and write it to its path in the store, in one of `context.writers`."""
    sharp = kind in ("cropped", "cropped_grad", "max_activ")
    path = context.out / schema.picture_path(kind, layer, channel)

    def write() -> None:
        write_bytes(path, pictures.jpeg(pixels, 88 if sharp else 82, sharp_colour=sharp))

    context.writers.put(write)


def having(entry: Filter, *kinds: str) -> Filter:
    """The filter with pictures of these kinds added to those it has."""
    have = [kind for kind in schema.PICTURE_KINDS if kind in entry.pictures or kind in kinds]
    return msgspec.structs.replace(entry, pictures=have)


def replace(file: LayerFile, changed: dict[int, Filter]) -> LayerFile:
    """The layer with some of its filters, by channel, replaced."""
    filters = [changed.get(entry.channel, entry) for entry in file.filters]
    return msgspec.structs.replace(file, filters=filters)


def chosen(context: RunContext) -> dict[str, tuple[int, ...]]:
    """The channels that the run is asked for, by layer.

    Raises:
        LurkError: a layer or a filter that is asked for is none that is scanned.
    """
    layers = [records.layer_to_record(layer) for layer in context.graph.layers]
    return selected_channels(context.config.selection, layers, context.graph.logits)


def lacking(
    wanted: Mapping[str, Sequence[int]], files: Mapping[str, LayerFile], kind: str
) -> dict[str, list[int]]:
    """Those of some channels, by layer, that lack a kind of picture."""
    found = {
        layer: [c for c in channels if kind not in files[layer].filters[c].pictures]
        for layer, channels in wanted.items()
    }
    return {layer: channels for layer, channels in found.items() if channels}


def all_made(context: RunContext, files: Mapping[str, LayerFile], name: str) -> bool:
    """Whether the chosen filters have all that a stage makes."""
    return not any(lacking(chosen(context), files, kind) for kind in MARKS[name])


def has(entry: Filter, name: str) -> bool:
    """Whether a filter has what a stage makes."""
    return all(kind in entry.pictures for kind in MARKS[name])


def made(files: Mapping[str, LayerFile], name: str) -> dict[str, list[tuple[int, int]]]:
    """By layer, where there are any, the runs of channels `[from, to)` that have what a stage makes."""
    found: dict[str, list[tuple[int, int]]] = {}
    for layer, file in files.items():
        for entry in file.filters:
            if has(entry, name):
                runs = found.setdefault(layer, [])
                follows = bool(runs) and runs[-1][1] == entry.channel
                start = runs.pop()[0] if follows else entry.channel
                runs.append((start, entry.channel + 1))
    return found


def layer_files(context: RunContext, manifest: Manifest) -> dict[str, LayerFile]:
    """All layers of the store, by name."""
    return {layer.name: read_layer(context.out, layer) for layer in manifest.layers}


def mark(context: RunContext, manifest: Manifest, name: str, stage: Stage) -> Manifest:
    """Write the manifest with a stage's new state, and the digests of all JSON; returns it."""
    stages = msgspec.structs.replace(manifest.stages, **{name: stage})
    manifest = msgspec.structs.replace(manifest, stages=stages)
    if context.group.is_main:
        write_json(context.out / "network.json", manifest)
        # Of all files: a run that ended between a file and its digest has left a digest out.
        write_checksums(context.out)
    context.group.barrier()
    return manifest


PICTURES_OF = {
    "gradients": ("max_grads", "cropped_grad", "avg_grads"),
    "ascent": ("max_activ",),
}
"""Which pictures a stage makes."""

MARKS = {"gradients": ("max_grads", "avg_grads"), "ascent": ("max_activ",)}
"""Those that every filter has of which the stage is done; a unit that sees the whole input has no crop."""


def forget(context: RunContext, manifest: Manifest, name: str) -> Manifest:
    """Take back what a stage wrote with another configuration, so that two never mix in one store."""
    # With its own configuration still: until all is gone, a run with the new one has to forget again.
    config = getattr(manifest.stages, name).config
    manifest = mark(context, manifest, name, Stage(complete=False, config=config))
    kinds = PICTURES_OF[name]
    for layer, file in layer_files(context, manifest).items():
        filters = []
        for entry in file.filters:
            kept = [kind for kind in entry.pictures if kind not in kinds]
            entry = msgspec.structs.replace(entry, pictures=kept)
            if name == "ascent":
                entry = msgspec.structs.replace(entry, ascent=None)
            else:
                bare = [msgspec.structs.replace(e, certificate=None) for e in entry.max]
                entry = msgspec.structs.replace(entry, max=bare)
            filters.append(entry)
        if context.group.is_main:
            record = msgspec.structs.replace(file, filters=filters)
            write_json_with_checksum(context.out, schema.layer_path(layer), record)
    # After the JSON, which so never names a picture that is gone.
    if context.group.is_main:
        for kind in kinds:
            shutil.rmtree(context.out / kind, ignore_errors=True)
    context.group.barrier()
    return manifest
