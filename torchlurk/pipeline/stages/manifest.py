"""The manifest of a new store."""

from __future__ import annotations

import torch

from torchlurk.datasets.images import skipped_of
from torchlurk.pipeline import records, rendering
from torchlurk.pipeline.config import config_to_record
from torchlurk.pipeline.stages.context import RunContext
from torchlurk.scan.state import ACTIVATION_EDGES
from torchlurk.store import schema
from torchlurk.store.schema import Manifest, Stage


def new_manifest(context: RunContext, device: torch.device, skipped: list[schema.SkippedFile]) -> Manifest:
    """Return the manifest of a store without any complete stage.

    Args:
        context: The run.
        device: Device of the network.
        skipped: Files that the scan could not read.
    """
    network, images = context.network, context.images
    tiles = {layer.name: rendering.tile_sizes(layer, context.source) for layer in context.graph.layers}
    not_run = Stage(complete=False, config=None)
    return Manifest(
        format=schema.FORMAT,
        name=context.out.name,
        title=network.title,
        model=schema.ModelRecord(
            source=network.source, weights=network.weights, weights_sha256=network.weights_sha256
        ),
        input=schema.InputRecord(
            shape=network.shape,
            mean=[schema.round_float32(m) for m in network.preprocess.mean],
            std=[schema.round_float32(s) for s in network.preprocess.std],
        ),
        dataset=schema.Dataset(
            name=images.name,
            images=len(images.paths) - len(skipped),  # images that could be read
            classes=list(images.classes),
            digest=images.digest,
            skipped=[
                *skipped,
                *(schema.SkippedFile(path=file.path, reason=file.reason) for file in skipped_of(images)),
            ],
        ),
        k=context.config.scan.k,
        device="cuda" if device.type == "cuda" else "cpu",
        threads=context.config.threads,
        layers=[records.layer_to_record(layer) for layer in context.graph.layers],
        edges=list(context.graph.edges),
        tiles=schema.Tiles(
            **{
                kind: {
                    layer.name: tiles[layer.name][kind]
                    for layer in context.graph.layers
                    if not (layer.sees_all and kind in ("cropped", "cropped_grad"))
                }
                for kind in schema.PICTURE_KINDS
            }
        ),
        activation_edges=[schema.round_float32(edge) for edge in ACTIVATION_EDGES],
        stages=schema.Stages(
            scan=Stage(complete=False, config=config_to_record(context.config.scan)),
            circuits=not_run,
            gradients=not_run,
            ascent=not_run,
        ),
        memory_format=context.runner.memory_format,
        layers_skipped=[
            schema.SkippedLayerRecord(name=layer.name, kind=layer.kind, reason=layer.reason)
            for layer in context.graph.skipped
        ],
    )
