"""Read the spectra of a store, and check what they refer to."""

from __future__ import annotations

from pathlib import Path

from torchlurk.errors import LurkError
from torchlurk.store.read import RECOMPUTE, check_owner, read_json
from torchlurk.store.schema import LayerRecord, SpectrumFile, spectrum_path

_IMAGES_OF_A_QUANTILE = 2


def read_spectrum(store: Path, layer: LayerRecord) -> SpectrumFile:
    """Read the spectra of the filters of a layer.

    Args:
        store: Folder of the store.
        layer: The layer in the manifest.

    Raises:
        LurkError: The file is missing or damaged, has a newer format, or is not that of the layer.
    """
    path = store / spectrum_path(layer.name)
    file = read_json(path, SpectrumFile)
    check_owner(path, file.layer, len(file.filters), layer, "spectra")
    if problem := _wrong_entry(file, layer):
        raise LurkError(f"{str(path)!r} is damaged ({problem})", RECOMPUTE)
    return file


def _wrong_entry(file: SpectrumFile, layer: LayerRecord) -> str:
    """Return which spectrum is not one; empty if all are."""
    _, height, width = layer.shape
    if file.quantiles != sorted(set(file.quantiles)):
        return "its quantiles do not ascend"
    for channel, spectrum in enumerate(file.filters):
        if len(spectrum) != len(file.quantiles):
            return f"filter {channel} does not have images for each quantile"
        if any(len(pair) > _IMAGES_OF_A_QUANTILE for pair in spectrum):
            return f"filter {channel} has more than {_IMAGES_OF_A_QUANTILE} images at a quantile"
        if any(
            entry.position[0] >= height or entry.position[1] >= width for pair in spectrum for entry in pair
        ):
            return f"filter {channel} has a position outside its map"
        scores = [pair[0].score for pair in spectrum if pair]
        if scores != sorted(scores):
            return f"the scores of filter {channel} do not ascend"
    return ""
