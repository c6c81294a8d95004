"""The scan: lists, profiles and statistics of all layers, with crops and the images they refer to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

import torch

from torchlurk import pictures, portraits, records, scan
from torchlurk.config import recorded
from torchlurk.datasets.folder import batches
from torchlurk.devices import send
from torchlurk.errors import LurkError
from torchlurk.graph import Layer
from torchlurk.stages.job import Job, having, mark, replace, write_picture
from torchlurk.store import schema
from torchlurk.store.schema import Manifest, Stage
from torchlurk.store.write import write_bytes, write_json

SPARE = 2
"""A rough scan keeps so many times k candidates a list: its ranks are right up to near neighbours."""


def new_manifest(job: Job, device: torch.device, skipped: list[schema.Skipped]) -> Manifest:
    """The manifest after a scan that could not read the `skipped` files."""
    network, folder = job.network, job.folder
    sizes = {layer.name: portraits.tiles(layer, job.source) for layer in job.graph.layers}
    waiting = Stage(complete=False, config=None)
    return Manifest(
        format=schema.FORMAT,
        name=job.out.name,
        title=network.title,
        model=schema.Model(
            source=network.source, weights=network.weights, weights_sha256=network.weights_sha256
        ),
        input=schema.Input(
            shape=network.shape,
            mean=[schema.number(m) for m in network.preprocess.mean],
            std=[schema.number(s) for s in network.preprocess.std],
        ),
        dataset=schema.Dataset(
            name=folder.name,
            images=len(folder.paths) - len(skipped),
            classes=list(folder.classes),
            digest=folder.digest,
            skipped=skipped,
        ),
        k=job.config.scan.k,
        device="cuda" if device.type == "cuda" else "cpu",
        layers=[records.manifest_layer(layer) for layer in job.graph.layers],
        edges=list(job.graph.edges),
        tiles=schema.Tiles(
            **{
                kind: {
                    layer.name: sizes[layer.name][kind]
                    for layer in job.graph.layers
                    if not (layer.sees_all and kind in ("cropped", "cropped_grad"))
                }
                for kind in schema.PICTURE_KINDS
            }
        ),
        activation_edges=[schema.number(edge) for edge in scan.ACTIVATION_EDGES],
        stages=schema.Stages(
            scan=Stage(complete=True, config=recorded(job.config.scan)),
            gradients=waiting,
            ascent=waiting,
        ),
    )


def run(job: Job, device: torch.device) -> Manifest:
    """Scan all images and write what was found.

    Raises:
        LurkError: not one image could be read.
    """
    config = job.config.scan
    skipped: list[schema.Skipped] = []
    total = len(job.folder.paths)
    # From here on the folder is a store, if only a beginning: the next run may clear it.
    begun = new_manifest(job, device, [])
    mark(job, begun, "scan", Stage(complete=False, config=None))
    if config.precision == "bfloat16":
        rough = _pass(job, device, range(total), config.k * SPARE, skipped, bfloat16=True)
        again = scan.candidates(rough)
        state = scan.with_lists(rough, _pass(job, device, again, config.k, [], bfloat16=False))
    else:
        state = _pass(job, device, range(total), config.k, skipped, bfloat16=False)
    if not int(state.images.sum()):
        first = skipped[0]
        raise LurkError(
            f"none of the {total} images of {job.folder.name!r} could be read "
            f"({first.path!r}: {first.reason}): give a folder of photographs"
        )
    manifest = new_manifest(job, device, skipped)
    files = {
        layer.name: records.layer_file(
            layer, state.layers[layer.name], state.images, job.folder.labels, _names(job, layer)
        )
        for layer in job.graph.layers
    }
    _write_crops(job, files)
    _write_images(job, files)
    for layer in manifest.layers:
        write_json(job.out / layer.data, files[layer.name])
    in_order = [files[layer.name] for layer in manifest.layers]
    write_json(job.out / "classes.json", records.classes_file(in_order, len(job.folder.classes)))
    return mark(job, manifest, "scan", manifest.stages.scan)


def _names(job: Job, layer: Layer) -> tuple[str, ...] | None:
    """What the filters of a layer stand for: the network's classes, if it gives the network's output."""
    classes = job.network.classes
    return classes if layer.name == job.graph.logits and len(classes) == layer.shape[0] else None


def _pass(
    job: Job,
    device: torch.device,
    images: Sequence[int],
    k: int,
    skipped: list[schema.Skipped],
    *,
    bfloat16: bool,
) -> scan.ScanState:
    """Scan the images of these ids; what cannot be read is added to `skipped`."""
    channels = {layer.name: layer.shape[0] for layer in job.graph.layers}
    state = scan.empty(channels, len(job.folder.classes), k, device)
    label = "scan" if len(images) == len(job.folder.paths) else "again"
    with (
        job.terminal.bar(label, len(images), "image") as advance,
        closing(_feed(job, device, images, skipped, advance)) as feed,
    ):
        try:
            for current in scan.scan(job.model, state, feed, bfloat16=bfloat16):
                state = current
        except scan.NotFinite as problem:
            raise LurkError(
                f"layer {problem.layer!r}, and none before it, gives NaN or infinity for image "
                f"{job.folder.paths[problem.image]!r}: look at its weights, and at that image"
            ) from problem
    return scan.to(state, torch.device("cpu"))


def _feed(
    job: Job,
    device: torch.device,
    images: Sequence[int],
    skipped: list[schema.Skipped],
    advance: Callable[[int], object],
) -> Generator[scan.ScanBatch, None, None]:
    config, folder = job.config, job.folder
    source = batches(
        folder.take(images),
        job.network.preprocess,
        batch_size=config.scan.batch_size,
        shard_size=config.scan.shard_size,
        workers=config.workers,
    )
    for batch in source:
        skipped.extend(schema.Skipped(path=s.path, reason=s.reason) for s in batch.skipped)
        if batch.indices:
            ids = torch.tensor([images[index] for index in batch.indices])
            yield scan.ScanBatch(
                send(ids, device),
                send(torch.tensor(batch.labels), device),
                job.network.preprocess.normalise(send(batch.pixels, device)),
            )
        advance(len(batch.indices) + len(batch.skipped))


def _write_crops(job: Job, files: dict[str, schema.LayerFile]) -> None:
    total = sum(file.channels for file in files.values())
    with job.terminal.bar("crops", total, "filter") as advance:
        for layer in job.graph.layers:
            file = files[layer.name]
            if layer.sees_all:  # a crop would be the image itself
                advance(file.channels)
                continue
            for channel, pixels in portraits.crops(layer, file.filters, job.source):
                write_picture(job, "cropped", layer.name, channel, pixels)
                advance(1)
            files[layer.name] = replace(file, {f.channel: having(f, "cropped") for f in file.filters})
    job.writers.finish()


def _write_image(job: Job, image: int) -> None:
    pixels = job.source.picture(image)
    path = job.out / schema.image_path(image)
    # Of a small image a page shows each pixel.
    small = max(pixels.shape[:2]) <= pictures.LARGE
    job.writers.put(lambda: write_bytes(path, pictures.jpeg(pixels, 95 if small else 88, sharp_colour=small)))


def _write_images(job: Job, files: dict[str, schema.LayerFile]) -> None:
    used = sorted({image for file in files.values() for f in file.filters for image in schema.referred(f)})
    with job.terminal.bar("images", len(used), "image") as advance:
        for image in used:
            _write_image(job, image)
            advance(1)
    job.writers.finish()
    listed = {
        str(image): schema.ImageEntry(path=job.folder.paths[image], label=job.folder.labels[image])
        for image in used
    }
    write_json(job.out / "images.json", listed)
