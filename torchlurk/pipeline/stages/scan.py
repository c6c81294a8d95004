"""The scan: lists, profiles and statistics of all layers, with crops and the images they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import torch

from torchlurk.errors import LurkError
from torchlurk.graph import Layer, describe_skipped
from torchlurk.pipeline import records, rendering
from torchlurk.pipeline.stages.blocks import Block, by_blocks
from torchlurk.pipeline.stages.context import Job, having, lacking, mark, write_picture
from torchlurk.pipeline.stages.manifest import new_manifest
from torchlurk.pipeline.stages.scan_shards import scan_images
from torchlurk.runtime import pictures
from torchlurk.scan import scan
from torchlurk.scan.shards import Shard
from torchlurk.store import schema
from torchlurk.store.partial import Pieces
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import Manifest
from torchlurk.store.write import write_bytes, write_listed

SPARE = 2
"""A rough scan keeps so many times k candidates a list: its ranks are right up to near neighbours."""


def run(job: Job, manifest: Manifest, device: torch.device) -> Manifest:
    """Scan the images that are not scanned yet, and write what was found.

    Args:
        job: for which run.
        manifest: of the store that this run, or one before it, has begun.
        device: where to compute.

    Raises:
        LurkError: not one image could be read.
    """
    if not job.team.share(lambda: _merged(job)):
        for line in describe_skipped(job.graph.skipped):
            job.terminal.say(line)
        if job.runner.one_by_one:
            job.terminal.say(f"each image is run alone: {job.runner.alone}")
        _scan(job, device)
    manifest = read_manifest(job.out)
    files = _make_crops(job, manifest)
    _write_images(job, files)
    if job.team.first:
        # What there is of the shards is in the layers' files now, and those were read again for the crops.
        for work in SHARDS:
            Pieces(job.out, work, "").drop()
    done = msgspec.structs.replace(manifest.stages.scan, complete=True)
    return mark(job, manifest, "scan", done)


SHARDS = ("scan", "rough", "again")
"""What the shards of a scan are called: of a plain one; of one in bfloat16, and of its candidates again."""

WORKS = (*SHARDS, "crops")
"""What the pieces of the stage are called."""


def _merged(job: Job) -> bool:
    """Whether all shards are merged: the file that is written last is there."""
    return (job.out / "classes.json").exists()


def _scan(job: Job, device: torch.device) -> None:
    """Scan all images, and write the layers' files; the pictures are still to come."""
    config = job.config.scan
    total = len(job.folder.paths)
    if config.precision == "bfloat16":
        rough = scan_images(job, device, "rough", range(total), config.k * SPARE, bfloat16=True)
        again = job.team.share(lambda: scan.candidates(rough.state) if rough else [])
        exact = scan_images(job, device, "again", again, config.k, bfloat16=False)
        whole = rough and exact and replace_lists(rough, exact)
    else:
        whole = scan_images(job, device, "scan", range(total), config.k, bfloat16=False)
    if whole is not None:
        _write(job, device, whole)
    job.team.wait()


def replace_lists(rough: Shard, exact: Shard) -> Shard:
    """A rough scan with the lists of an exact one."""
    state = scan.with_lists(rough.state, exact.state)
    return Shard(state, rough.skipped, min(rough.batch, exact.batch))


def _write(job: Job, device: torch.device, whole: Shard) -> None:
    """Write what a scan found; `classes.json` comes last, and says that all the rest is there."""
    state = whole.state
    if not int(state.images.sum()):
        first = whole.skipped[0]
        raise LurkError(
            f"none of the {len(job.folder.paths)} images of {job.folder.name!r} could be read "
            f"({first.path!r}: {first.reason}): give a folder of photographs"
        )
    manifest = new_manifest(job, device, list(whole.skipped))
    fitted = whole.batch if whole.batch < job.config.scan.batch_size else None
    stage = msgspec.structs.replace(manifest.stages.scan, fitted=fitted)
    stages = msgspec.structs.replace(manifest.stages, scan=stage)
    files = {
        layer.name: records.layer_file(
            layer,
            state.layers[layer.name],
            job.folder.labels,
            _names(job, layer),
            scanned=int(state.images.sum()),
        )
        for layer in job.graph.layers
    }
    for layer in manifest.layers:
        write_listed(job.out, layer.data, files[layer.name])
    write_listed(job.out, "network.json", msgspec.structs.replace(manifest, stages=stages))
    in_order = [files[layer.name] for layer in manifest.layers]
    classes = records.classes_file(in_order, len(job.folder.classes))
    write_listed(job.out, "classes.json", classes)


def _names(job: Job, layer: Layer) -> tuple[str, ...] | None:
    """What the filters of a layer stand for: the network's classes, if it gives the network's output."""
    classes = job.network.classes
    return classes if layer.name == job.graph.logits and len(classes) == layer.shape[0] else None


CROPS_AT_ONCE = 64
"""Filters a block of crops: pictures that need no network, so a block takes a second or two."""


def _make_crops(job: Job, manifest: Manifest) -> dict[str, schema.LayerFile]:
    """Write the crops of all filters that lack them; returns the layers, which now name them."""
    # Of a unit that sees all, the crop would be the image itself.
    every = {layer.name: range(layer.shape[0]) for layer in job.graph.layers if not layer.sees_all}

    def make(block: Block, advance: Callable[[int], object]) -> Iterator[schema.Filter]:
        entries = [entry for entry in block.filters if entry.channel in block.wanted]
        made = rendering.crops(block.layer, entries, job.source)
        for entry, (channel, pixels) in zip(entries, made, strict=True):
            write_picture(job, "cropped", block.layer.name, channel, pixels)
            advance(1)
            yield having(entry, "cropped")

    return by_blocks(
        job, manifest, "crops", None, lambda files: lacking(every, files, "cropped"), make, size=CROPS_AT_ONCE
    )


def _write_image(job: Job, image: int) -> None:
    pixels = job.source.picture(image)
    path = job.out / schema.image_path(image)
    # Of a small image a page shows each pixel.
    small = max(pixels.shape[:2]) <= pictures.LARGE
    job.writers.put(lambda: write_bytes(path, pictures.jpeg(pixels, 95 if small else 88, sharp_colour=small)))


def _write_images(job: Job, files: dict[str, schema.LayerFile]) -> None:
    """Write the images that some filter refers to, and their list; those that there are stay."""
    used = sorted({image for file in files.values() for f in file.filters for image in schema.referred(f)})
    lacking = job.team.share(lambda: [i for i in used if not (job.out / schema.image_path(i)).exists()])
    mine = job.team.mine(lacking)
    with job.terminal.bar("images", len(mine), "image") as advance:
        for image in mine:
            _write_image(job, image)
            advance(1)
        job.writers.finish()
    job.team.wait()
    if job.team.first:
        listed = {
            str(image): schema.ImageEntry(path=job.folder.paths[image], label=job.folder.labels[image])
            for image in used
        }
        write_listed(job.out, "images.json", listed)
