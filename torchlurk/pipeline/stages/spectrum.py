"""The spectra of all filters: images at quantiles of their maxima, from the activations of all images."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from torchlurk.pipeline.stages.context import RunContext
from torchlurk.scan.spectrum import QUANTILES, spectrum_images
from torchlurk.store.activations import read_array
from torchlurk.store.read_spectrum import read_spectrum
from torchlurk.store.schema import (
    FORMAT,
    LayerRecord,
    Manifest,
    SpectrumEntry,
    SpectrumFile,
    round_float32,
    spectrum_path,
)
from torchlurk.store.write import write_json

_NUMBERS_IN_MEMORY = 16_000_000
"""Maxima and positions of some filters that are read together."""


def write_spectra(context: RunContext, manifest: Manifest) -> Manifest:
    """Write the spectra of all filters. The processes of a run share the layers.

    Returns:
        The manifest, which says that they exist; it is not written yet.
    """
    labels = np.asarray(context.images.labels)
    for layer in context.group.local_share(manifest.layers):
        write_json(context.out / spectrum_path(layer.name), _layer_spectra(context, layer, labels))
    context.group.barrier()
    return msgspec.structs.replace(manifest, spectra=True)


def spectrum_image_ids(context: RunContext, manifest: Manifest) -> set[int]:
    """Return the ids of the images in the spectra of a store; none if it has no spectra."""
    if not manifest.spectra:
        return set()
    files = (read_spectrum(context.out, layer) for layer in manifest.layers)
    return {entry.image for file in files for spectrum in file.filters for pair in spectrum for entry in pair}


def _layer_spectra(context: RunContext, layer: LayerRecord, labels: NDArray[np.int64]) -> SpectrumFile:
    field = context.graph.layer(layer.name).field
    maxima, positions = (read_array(context.out, layer, kind) for kind in ("max", "position"))
    step = max(1, _NUMBERS_IN_MEMORY // len(maxima))
    filters = []
    for start in range(0, layer.channels, step):
        columns = slice(start, start + step)
        # Copies by column: the rows of the files are images.
        of_filters = np.ascontiguousarray(maxima[:, columns].T), np.ascontiguousarray(positions[:, columns].T)
        for scores, places in zip(*of_filters, strict=True):

            def entry(
                image: int, scores: NDArray[Any] = scores, places: NDArray[Any] = places
            ) -> SpectrumEntry:
                y, x = divmod(int(places[image]), layer.shape[2])
                score = round_float32(float(scores[image]))
                return SpectrumEntry(image, score, (y, x), field.box(y, x))

            filters.append([[entry(image) for image in pair] for pair in spectrum_images(scores, labels)])
    return SpectrumFile(format=FORMAT, layer=layer.name, quantiles=list(QUANTILES), filters=filters)
