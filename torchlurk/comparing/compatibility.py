"""Check that stores can be compared: the same architecture, the same images. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchlurk.datasets.images import NOT_READ
from torchlurk.errors import LurkError, Option
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.schema import LayerFile, LayerRecord, Manifest, SkippedFile
from torchlurk.store.selection import Selection, selected_channels

_CHOOSE_LAYERS = (
    "compare stores of one architecture, or choose the layers that they share with ",
    Option("layers"),
)


@dataclass(frozen=True)
class Store:
    """A store that takes part in a comparison.

    Attributes:
        path: The store's folder.
        manifest: The contents of `network.json`.
        layers: The layers to compare, in execution order.
    """

    path: Path
    manifest: Manifest
    layers: tuple[LayerRecord, ...]

    @property
    def name(self) -> str:
        """The store's name."""
        return self.manifest.name

    def file(self, layer: str) -> LayerFile:
        """Read the file of a layer.

        Args:
            layer: The layer's name.

        Raises:
            LurkError: The file is missing or damaged.
        """
        return read_layer(self.path, next(entry for entry in self.layers if entry.name == layer))


def open_stores(paths: Sequence[Path], patterns: Sequence[str] | None = None) -> tuple[Store, ...]:
    """Open the stores to compare and check that they are compatible.

    Args:
        paths: The folders of two or more stores, in chronological order.
        patterns: The layers to compare, see `Selection.layers`; `None` for all.

    Raises:
        LurkError: A store cannot be read, has a newer format or an incomplete scan, or differs from the first
            store in its architecture, input, data set or k.
    """
    if len(paths) < 2:
        raise LurkError(f"{len(paths)} store to compare", "name two or more stores, in chronological order")
    stores = [_open(path, patterns) for path in paths]
    for second in stores[1:]:
        _check_compatible(stores[0], second)
    return tuple(stores)


def _open(path: Path, patterns: Sequence[str] | None) -> Store:
    manifest = read_manifest(path)
    if not manifest.stages.scan.complete:
        raise LurkError(
            f"the scan of {str(path)!r} is incomplete", "run the same torchlurk precompute again to resume it"
        )
    selection = Selection(None if patterns is None else tuple(patterns))
    try:
        names = selected_channels(selection, manifest.layers)
    except LurkError as error:
        message = [error.message] if isinstance(error.message, str | Option) else error.message
        raise LurkError((f"{str(path)!r}: ", *message), error.hint, error.option) from error
    return Store(path, manifest, tuple(layer for layer in manifest.layers if layer.name in names))


def _check_compatible(first: Store, second: Store) -> None:
    """Refuse two stores that are not of one architecture over the same images."""
    _check_layers(first, second)
    _check_inputs(first, second)
    _check_datasets(first, second)
    k, second_k = first.manifest.k, second.manifest.k
    if k != second_k:
        raise LurkError(
            f"{str(second.path)!r} has k = {second_k} images per list, {str(first.path)!r} has {k}",
            ("compute both with the same ", Option("top")),
        )


def _check_layers(first: Store, second: Store) -> None:
    one, two = str(first.path), str(second.path)
    layers = {layer.name: layer for layer in first.layers}
    second_layers = {layer.name: layer for layer in second.layers}
    for name in [*layers, *second_layers]:
        if name not in layers or name not in second_layers:
            lacks, has = (one, two) if name not in layers else (two, one)
            raise LurkError(f"{lacks!r} has no layer {name!r}, but {has!r} does", _CHOOSE_LAYERS)
        layer, other = layers[name], second_layers[name]
        if layer.channels != other.channels:
            raise LurkError(
                f"layer {name!r} has {layer.channels} filters in {one!r} and {other.channels} in {two!r}",
                _CHOOSE_LAYERS,
            )
        if layer != other:
            raise LurkError(
                f"layer {name!r} is a {layer.kind} of shape {list(layer.shape)} in {one!r} and a "
                f"{other.kind} of shape {list(other.shape)} in {two!r}, or has another receptive field",
                _CHOOSE_LAYERS,
            )
    if list(layers) != list(second_layers):
        raise LurkError(f"{two!r} runs its layers in another order than {one!r}", _CHOOSE_LAYERS)


def _check_inputs(first: Store, second: Store) -> None:
    one, two = str(first.path), str(second.path)
    here, there = first.manifest.input, second.manifest.input
    if here.shape != there.shape:
        raise LurkError(
            f"{two!r} was computed from inputs of {_size(there.shape)}, {one!r} from {_size(here.shape)}",
            ("compute both with the same ", Option("size")),
        )
    if here != there:
        raise LurkError(
            f"{two!r} was computed from images normalised with mean {there.mean} and std {there.std}, "
            f"{one!r} with {here.mean} and {here.std}",
            "compute both with the same transform",
        )


def _check_datasets(first: Store, second: Store) -> None:
    one, two = str(first.path), str(second.path)
    here, there = first.manifest.dataset, second.manifest.dataset
    if here.digest != there.digest:
        raise LurkError(
            f"{two!r} was computed from other images ({there.images} of {there.name!r}) than {one!r} "
            f"({here.images} of {here.name!r})",
            "compute both from the same images",
        )
    unreadable, other_unreadable = _unreadable(first.manifest), _unreadable(second.manifest)
    if unreadable != other_unreadable:
        raise LurkError(
            f"{two!r} skipped {len(other_unreadable)} unreadable images and {one!r} {len(unreadable)}, and "
            "they are not the same",
            "compute the store that skipped more images again",
        )
    if here.classes != there.classes:
        raise LurkError(
            f"{two!r} has other class names than {one!r}", ("compute both with the same ", Option("words"))
        )


def _unreadable(manifest: Manifest) -> list[SkippedFile]:
    """Return the images that the scan could not read, without files of unsupported formats."""
    return [entry for entry in manifest.dataset.skipped if not entry.reason.startswith(NOT_READ)]


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
