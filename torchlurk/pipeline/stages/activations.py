"""The activations of all images: whether a run keeps them, and a pass that adds them to a scanned store."""

from __future__ import annotations

import msgspec
import torch

from torchlurk.pipeline.stages.context import RunContext, read_layer_files
from torchlurk.pipeline.stages.referenced_images import write_referenced_images
from torchlurk.pipeline.stages.scan_shards import scan_images
from torchlurk.pipeline.stages.spectrum import spectrum_image_ids, write_spectra
from torchlurk.store.activations import ActivationWriter, activation_bytes
from torchlurk.store.partial import PartialResults
from torchlurk.store.schema import Manifest
from torchlurk.store.write import write_checksums, write_json

ACTIVATIONS_TASK = "activations"
"""Name of the pass that adds them, of its partial results and of its progress bar."""

_AUTOMATIC_BYTES = 2_000_000_000
"""Largest size of the activations that are kept by default."""


def keeps_activations(context: RunContext) -> bool:
    """Return whether the scan keeps the activations of all images."""
    choice = context.config.keep_activations
    if choice == "auto":
        shapes = [layer.shape for layer in context.graph.layers]
        return activation_bytes(shapes, len(context.images.paths)) <= _AUTOMATIC_BYTES
    return choice == "yes"


def activation_writer(context: RunContext) -> ActivationWriter:
    """Return what writes the activations into the store."""
    images = context.images
    rows = list(zip(images.paths, images.labels, strict=True))
    return ActivationWriter(context.out, {layer.name: layer.shape for layer in context.graph.layers}, rows)


def lacks_activations(context: RunContext, manifest: Manifest) -> bool:
    """Return whether the run asks for activations that a scanned store does not have."""
    return context.config.keep_activations == "yes" and not manifest.activations


def add_activations(context: RunContext, manifest: Manifest, device: torch.device) -> Manifest:
    """Run all images again, and add their activations and the spectra to a scanned store.

    Returns:
        The manifest that was written.
    """
    scan_images(
        context,
        device,
        ACTIVATIONS_TASK,
        range(len(context.images.paths)),
        context.config.scan.k,
        bfloat16=context.config.scan.precision == "bfloat16",
        writer=activation_writer(context),
    )
    context.group.barrier()  # the main process has written them
    manifest = write_spectra(context, msgspec.structs.replace(manifest, activations=True))
    write_referenced_images(
        context, read_layer_files(context, manifest), spectrum_image_ids(context, manifest)
    )
    if context.group.is_main:
        write_json(context.out / "network.json", manifest)
        write_checksums(context.out)
        PartialResults(context.out, ACTIVATIONS_TASK, "").remove_all()
    context.group.barrier()
    return manifest
