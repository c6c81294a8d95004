"""Comparisons and the stores that they refer to: whether these exist and are still what was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torchlurk.errors import LurkError, Option
from torchlurk.store.comparison import COMPARISON, ComparisonRecord
from torchlurk.store.read_comparison import read_comparison, read_layer_comparison
from torchlurk.store.schema import Manifest


def sort_folders(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split folders into stores and comparisons; a comparison has a file `comparison.json`."""
    comparisons = [folder for folder in folders if (folder / COMPARISON).is_file()]
    return [folder for folder in folders if folder not in comparisons], comparisons


def open_comparison(folder: Path, manifests: Mapping[str, Manifest]) -> ComparisonRecord:
    """Read all files of a comparison, and check it against the stores.

    Args:
        folder: Folder of the comparison.
        manifests: Manifests of the stores, by name.

    Raises:
        LurkError: A file is missing or damaged, or `check_comparison` fails.
    """
    comparison = check_comparison(folder, manifests)
    for layer in comparison.layers:
        read_layer_comparison(folder, comparison, layer)
    return comparison


def check_comparison(folder: Path, manifests: Mapping[str, Manifest]) -> ComparisonRecord:
    """Read `comparison.json`, and check it against the stores; the files of its layers are not read.

    Args:
        folder: Folder of the comparison.
        manifests: Manifests of the stores, by name.

    Raises:
        LurkError: The file is missing or damaged, a store that it compares is not among the stores, or one
            has other weights, images or layers now.
    """
    comparison = read_comparison(folder)
    _check_name(folder, comparison.name, manifests)
    for store in comparison.stores:
        manifest = manifests.get(store.name)
        if manifest is None:
            raise LurkError(
                f"{str(folder)!r} compares {store.name!r}, which is not among the stores",
                "give the folder of that store too",
            )
        change = _find_change(comparison, manifest)
        if manifest.model.weights_sha256 != store.model.weights_sha256:
            change = "has other weights"
        if change:
            raise LurkError(
                f"{str(folder)!r} compares {store.name!r}, which {change} now", "run torchlurk compare again"
            )
    return comparison


def open_matching(
    folders: Sequence[Path], manifests: Mapping[str, Manifest]
) -> tuple[dict[Path, ComparisonRecord], list[LurkError]]:
    """Open the comparisons that match the stores, and return the errors of the others.

    Args:
        folders: Folders of comparisons.
        manifests: Manifests of the stores, by name.
    """
    comparisons: dict[Path, ComparisonRecord] = {}
    errors: list[LurkError] = []
    for folder in folders:
        try:
            comparisons[folder] = open_comparison(folder, manifests)
        except LurkError as problem:
            errors.append(problem)
    return comparisons, errors


def _check_name(folder: Path, name: str, manifests: Mapping[str, Manifest]) -> None:
    if name != folder.resolve().name:
        raise LurkError(
            f"{str(folder)!r} contains the comparison {name!r}",
            "rename the folder back to the name of the comparison, which a site uses",
        )
    if name in manifests:
        raise LurkError(
            f"{str(folder)!r}: a store is named {name!r} too",
            ("run compare with another ", Option("out")),
        )


def _find_change(comparison: ComparisonRecord, manifest: Manifest) -> str | None:
    """Return what differs between a store and the store that was compared; `None` if nothing does."""
    if manifest.dataset.digest != comparison.dataset.digest:
        return "has other images"
    if manifest.k != comparison.k:
        return f"keeps {manifest.k} images per list"
    channels = {layer.name: layer.channels for layer in manifest.layers}
    for layer in comparison.layers:
        if channels.get(layer.name) != layer.channels:
            return f"has no layer {layer.name!r} with {layer.channels} filters"
    return None
