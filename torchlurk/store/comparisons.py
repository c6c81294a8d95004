"""Comparisons beside the stores they refer to: whether those are at hand, and still what was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torchlurk.errors import LurkError
from torchlurk.store.comparison import COMPARISON, ComparisonRecord
from torchlurk.store.read_comparison import read_comparison, read_layer_comparison
from torchlurk.store.schema import Manifest


def sort_folders(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Folders of stores and of comparisons, told apart by the file that makes them one."""
    comparisons = [folder for folder in folders if (folder / COMPARISON).is_file()]
    return [folder for folder in folders if folder not in comparisons], comparisons


def open_comparison(folder: Path, manifests: Mapping[str, Manifest]) -> ComparisonRecord:
    """A comparison that a page can show beside these stores, all of whose files are read.

    Args:
        folder: of the comparison.
        manifests: those of the stores, by name.

    Raises:
        LurkError: a file of it is missing or damaged; or a store that it compares is not among these,
            or holds other weights, images or layers by now.
    """
    found = check_comparison(folder, manifests)
    for layer in found.layers:
        read_layer_comparison(folder, found, layer)
    return found


def check_comparison(folder: Path, manifests: Mapping[str, Manifest]) -> ComparisonRecord:
    """The same, but the files of its layers are not looked at. Raises `LurkError` likewise."""
    found = read_comparison(folder)
    _check_name(folder, found.name, manifests)
    for store in found.stores:
        manifest = manifests.get(store.name)
        if manifest is None:
            raise LurkError(
                f"{str(folder)!r} compares {store.name!r}, which is not among the stores: name its folder too"
            )
        changed = _what_changed(found, manifest)
        if manifest.model.weights_sha256 != store.model.weights_sha256:
            changed = "has other weights"
        if changed:
            raise LurkError(
                f"{str(folder)!r} compares {store.name!r}, which {changed} by now: "
                "run torchlurk compare again"
            )
    return found


def _check_name(folder: Path, name: str, manifests: Mapping[str, Manifest]) -> None:
    if name != folder.resolve().name:
        raise LurkError(
            f"{str(folder)!r} holds the comparison {name!r}: give the folder that name again, by which a "
            "site knows it"
        )
    if name in manifests:
        raise LurkError(f"{str(folder)!r}: a store is named {name!r} too; give compare another --out")


def _what_changed(comparison: ComparisonRecord, manifest: Manifest) -> str | None:
    """What a store does not have as it was when it was compared."""
    if manifest.dataset.digest != comparison.dataset.digest:
        return "is of other images"
    if manifest.k != comparison.k:
        return f"keeps {manifest.k} images a list"
    channels = {layer.name: layer.channels for layer in manifest.layers}
    for layer in comparison.layers:
        if channels.get(layer.name) != layer.channels:
            return f"has no layer {layer.name!r} of {layer.channels} filters"
    return None


def open_matching(
    folders: Sequence[Path], manifests: Mapping[str, Manifest]
) -> tuple[dict[Path, ComparisonRecord], list[str]]:
    """Of comparisons those that a page can show, and for each of the others why it cannot."""
    kept: dict[Path, ComparisonRecord] = {}
    reasons: list[str] = []
    for folder in folders:
        try:
            kept[folder] = open_comparison(folder, manifests)
        except LurkError as problem:
            reasons.append(str(problem))
    return kept, reasons
