"""Whether stores can be compared at all: one architecture, the same images. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchlurk.datasets.images import NOT_READ
from torchlurk.errors import LurkError
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.schema import LayerFile, LayerRecord, Manifest, SkippedFile
from torchlurk.store.selection import Selection, selected_channels


@dataclass(frozen=True)
class Store:
    """A store that takes part in a comparison.

    Attributes:
        path: its folder.
        manifest: what `network.json` says.
        layers: those of its layers that are compared, in execution order.
    """

    path: Path
    manifest: Manifest
    layers: tuple[LayerRecord, ...]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.manifest.name

    def file(self, layer: str) -> LayerFile:
        """What is known of a layer. Raises `LurkError` if its file is missing or damaged."""
        return read_layer(self.path, next(one for one in self.layers if one.name == layer))


def open_stores(paths: Sequence[Path], patterns: Sequence[str] | None = None) -> tuple[Store, ...]:
    """Open stores that are to be compared.

    Args:
        paths: their folders, two or more, in the order of time.
        patterns: which layers, see `Selection.layers`; `None` for all.

    Raises:
        LurkError: one cannot be read, is of a newer format, has no complete scan, or is of another
            architecture, input, data set or k than the first.
    """
    if len(paths) < 2:
        raise LurkError(f"{len(paths)} store to compare: name two or more, in the order of time")
    stores = [_open(path, patterns) for path in paths]
    for other in stores[1:]:
        _check_alike(stores[0], other)
    return tuple(stores)


def _open(path: Path, patterns: Sequence[str] | None) -> Store:
    manifest = read_manifest(path)
    if not manifest.stages.scan.complete:
        raise LurkError(
            f"{str(path)!r} is half computed, its scan was stopped: run the same torchlurk precompute again"
        )
    wanted = Selection(None if patterns is None else tuple(patterns))
    try:
        names = selected_channels(wanted, manifest.layers)
    except LurkError as problem:
        raise LurkError(f"{str(path)!r}: {problem}") from problem
    return Store(path, manifest, tuple(layer for layer in manifest.layers if layer.name in names))


def _check_alike(first: Store, other: Store) -> None:
    """Refuse two stores of which one is not the other, trained further."""
    one, two = str(first.path), str(other.path)
    here, there = first.manifest, other.manifest
    _check_layers(first, other)
    if here.input.shape != there.input.shape:
        raise LurkError(f"{two!r} was fed inputs of {_size(there)}, {one!r} of {_size(here)}: use one --size")
    if here.input != there.input:
        raise LurkError(
            f"{two!r} was fed images normalised by mean {there.input.mean} and std {there.input.std}, "
            f"{one!r} by {here.input.mean} and {here.input.std}: compute both with one transform"
        )
    if here.dataset.digest != there.dataset.digest:
        raise LurkError(
            f"{two!r} was computed from other images ({there.dataset.images} of {there.dataset.name!r}) than "
            f"{one!r} ({here.dataset.images} of {here.dataset.name!r}): compute both from the same"
        )
    ours, theirs = _damaged(here), _damaged(there)
    if ours != theirs:
        raise LurkError(
            f"{two!r} left out {len(theirs)} images that could not be read, {one!r} "
            f"{len(ours)}, and not the same: compute the one with more of them again"
        )
    if here.dataset.classes != there.dataset.classes:
        raise LurkError(f"{two!r} calls the classes of the images otherwise than {one!r}: use one --words")
    if here.k != there.k:
        raise LurkError(f"{two!r} keeps k = {there.k} images a list, {one!r} {here.k}: use one --top")


def _damaged(manifest: Manifest) -> list[SkippedFile]:
    """The images that the scan tried to read in vain, without those of formats that are not read."""
    return [one for one in manifest.dataset.skipped if not one.reason.startswith(NOT_READ)]


def _check_layers(first: Store, other: Store) -> None:
    one, two = str(first.path), str(other.path)
    way = "compare stores of one architecture, or choose the layers that they share by --layers"
    here = {layer.name: layer for layer in first.layers}
    there = {layer.name: layer for layer in other.layers}
    for name in [*here, *there]:
        if name not in here or name not in there:
            lacks, has = (one, two) if name not in here else (two, one)
            raise LurkError(f"{lacks!r} has no layer {name!r}, and {has!r} has: {way}")
        mine, own = here[name], there[name]
        if mine.channels != own.channels:
            raise LurkError(
                f"layer {name!r} has {mine.channels} filters in {one!r} and {own.channels} in {two!r}: {way}"
            )
        if mine != own:
            raise LurkError(
                f"layer {name!r} is a {mine.kind} of {list(mine.shape)} in {one!r} and a {own.kind} of "
                f"{list(own.shape)} in {two!r}, or sees otherwise: {way}"
            )
    if list(here) != list(there):
        raise LurkError(f"{two!r} runs its layers in another order than {one!r}: {way}")


def _size(manifest: Manifest) -> str:
    return " x ".join(map(str, manifest.input.shape))
