"""The state of a run: `RunContext`, and the functions that change the store in `RunContext.out`.

- `update_stage` writes the manifest with a stage's new state.
- `reset_stage` deletes the results of a stage.

All other functions compute something from their arguments and change nothing.
"""

from __future__ import annotations

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
from torchlurk.pipeline.image_source import ImageSource
from torchlurk.pipeline.stages.encoders import PictureEncoders
from torchlurk.runtime.devices import BatchLimiter
from torchlurk.runtime.distributed import ProcessGroup
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.packs import write_layer
from torchlurk.store.partial import PartialResults
from torchlurk.store.pictures import layer_pictures, layer_thumbs
from torchlurk.store.read import read_layer
from torchlurk.store.schema import Filter, LayerFile, Manifest, Stage
from torchlurk.store.selection import selected_channels
from torchlurk.store.write import write_checksums, write_json


@dataclass(frozen=True)
class RunContext:
    """What all stages of a run share.

    Attributes:
        network: The network that is examined.
        images: The images that are shown to it.
        graph: Its layers and the edges between them.
        runner: Runs its forward pass.
        source: Loads single images and renders tensors as pictures.
        out: Folder of the store.
        config: Options of the run.
        reporter: Receives messages and progress.
        encoders: Threads or processes that encode pictures.
        group: Processes that share the run.
        limiter: Batch size that fits into memory.
        sleep: Waits for a number of seconds.
        identity: Digest of everything that affects the result of the scan.
    """

    network: Network
    images: ImageSet
    graph: Graph
    runner: Runner
    source: ImageSource
    out: Path
    config: RunConfig
    reporter: Reporter
    encoders: PictureEncoders
    group: ProcessGroup
    limiter: BatchLimiter
    sleep: Callable[[float], object]
    identity: str = ""


PICTURES_OF_STAGE: Mapping[str, tuple[str, ...]] = {
    "gradients": ("max_grads", "cropped_grad", "avg_grads"),
    "ascent": ("max_activ",),
}
"""Kinds of pictures that a stage writes."""

REQUIRED_PICTURES: Mapping[str, tuple[str, ...]] = {
    "gradients": ("max_grads", "avg_grads"),
    "ascent": ("max_activ",),
}
"""Kinds of pictures that a stage writes for every filter; units that see the whole input have no crop."""


def update_stage(context: RunContext, manifest: Manifest, name: str, stage: Stage) -> Manifest:
    """Write the manifest with a stage's new state, and the digests of all JSON files.

    All processes of the run call this; the main one writes.

    Returns:
        The manifest that was written.
    """
    stages = msgspec.structs.replace(manifest.stages, **{name: stage})
    manifest = msgspec.structs.replace(manifest, stages=stages)
    if context.group.is_main:
        write_json(context.out / "network.json", manifest)
        # All digests: a run that was killed between writing a file and its digest has left a digest out.
        write_checksums(context.out)
    context.group.barrier()
    return manifest


def reset_stage(
    context: RunContext,
    manifest: Manifest,
    name: str,
    tasks: Sequence[str],
    delete: Callable[[RunContext, Manifest], None],
) -> Manifest:
    """Delete what a stage wrote, so that results of two configurations never mix in one store.

    Args:
        context: The run.
        manifest: The manifest of the store.
        name: The stage.
        tasks: Names of its partial results.
        delete: Deletes its results; the main process calls it.

    Returns:
        The manifest that was written, in which the stage has no configuration.
    """
    # The old configuration stays until everything is deleted: if this is interrupted, the next run with
    # another configuration deletes the rest.
    config = getattr(manifest.stages, name).config
    manifest = update_stage(context, manifest, name, Stage(complete=False, config=config))
    if context.group.is_main:
        delete(context, manifest)
        for task in tasks:
            PartialResults(context.out, task, "").remove_all()
    return update_stage(context, manifest, name, Stage(complete=False, config=None))


def delete_pictures(context: RunContext, manifest: Manifest, name: str) -> None:
    """Delete the pictures that a stage wrote, and its other results of filters.

    Args:
        context: The run.
        manifest: The manifest of the store.
        name: The stage, `gradients` or `ascent`.
    """
    for file in read_layer_files(context, manifest).values():
        filters = [_without_stage(entry, name) for entry in file.filters]
        pictures, thumbs = layer_pictures(context.out, file), layer_thumbs(context.out, file)
        write_layer(context.out, msgspec.structs.replace(file, filters=filters), pictures, thumbs)


def _without_stage(entry: Filter, name: str) -> Filter:
    """Return the filter without the results of a stage."""
    pictures_left = [kind for kind in entry.pictures if kind not in PICTURES_OF_STAGE[name]]
    entry = msgspec.structs.replace(entry, pictures=pictures_left)
    if name == "ascent":
        return msgspec.structs.replace(entry, ascent=None)
    uncertified = [msgspec.structs.replace(e, certificate=None) for e in entry.max]
    return msgspec.structs.replace(entry, max=uncertified)


def read_layer_files(context: RunContext, manifest: Manifest) -> dict[str, LayerFile]:
    """Return all layers of the store by name."""
    return {layer.name: read_layer(context.out, layer) for layer in manifest.layers}


def requested_channels(context: RunContext) -> dict[str, tuple[int, ...]]:
    """Return the channels that gradients and ascent are computed for, by layer.

    Raises:
        LurkError: A selected layer or filter is not scanned.
    """
    layers = [records.layer_to_record(layer) for layer in context.graph.layers]
    return selected_channels(context.config.selection, layers, context.graph.logits)


def with_filters(file: LayerFile, changed: Mapping[int, Filter]) -> LayerFile:
    """Return the layer with some of its filters, by channel, replaced."""
    filters = [changed.get(entry.channel, entry) for entry in file.filters]
    return msgspec.structs.replace(file, filters=filters)


def missing(
    channels: Mapping[str, Sequence[int]], files: Mapping[str, LayerFile], kind: str
) -> dict[str, list[int]]:
    """Return those of some channels, by layer, that have no picture of a kind; omit complete layers."""
    without = {
        layer: [c for c in numbers if kind not in files[layer].filters[c].pictures]
        for layer, numbers in channels.items()
    }
    return {layer: numbers for layer, numbers in without.items() if numbers}


def has_requested_pictures(context: RunContext, files: Mapping[str, LayerFile], name: str) -> bool:
    """Return whether all selected filters have the pictures of a stage."""
    return not any(missing(requested_channels(context), files, kind) for kind in REQUIRED_PICTURES[name])


def completed_runs(files: Mapping[str, LayerFile], name: str) -> dict[str, list[tuple[int, int]]]:
    """Return the channels that have the pictures of a stage, as runs `[start, stop)`, by layer.

    Layers without such channels are left out; a stage without pictures has none.
    """
    runs_by_layer: dict[str, list[tuple[int, int]]] = {}
    if name not in REQUIRED_PICTURES:
        return runs_by_layer
    for layer, file in files.items():
        for entry in file.filters:
            if all(kind in entry.pictures for kind in REQUIRED_PICTURES[name]):
                runs = runs_by_layer.setdefault(layer, [])
                adjacent = bool(runs) and runs[-1][1] == entry.channel
                start = runs.pop()[0] if adjacent else entry.channel
                runs.append((start, entry.channel + 1))
    return runs_by_layer
