"""Snapshots of stores and comparisons as they are now, for a page that follows them. Reads, never writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from torchlurk.errors import LurkError
from torchlurk.store.comparison import COMPARISON, ComparisonEntry, Comparisons
from torchlurk.store.comparisons import check_comparison
from torchlurk.store.previews import UNREADABLE, choose_previews, read_preview_layer
from torchlurk.store.read import read_manifest, read_progress
from torchlurk.store.schema import (
    FORMAT,
    PICTURE_KINDS,
    STAGES,
    Index,
    LayerRecord,
    Manifest,
    NetworkEntry,
    Preview,
    Progress,
    circuit_path,
    expanded_path,
    spectrum_path,
)

STORE_FILES = ("network.json", "images.json", "classes.json")
"""JSON files of a store, without those of single layers."""


class LiveLayer(msgspec.Struct, frozen=True):
    """A layer whose file exists.

    Attributes:
        data: Path of its file.
        stamp: Changes whenever the file does.
        made: Channels that have a picture, by kind, as half-open ranges.
        best: A few of its filters, as in `previews.json` of a site.
    """

    data: str
    stamp: str
    made: dict[str, list[tuple[int, int]]]
    best: list[Preview]


class LiveNetwork(msgspec.Struct, frozen=True):
    """A store that has a manifest.

    Attributes:
        name: Name of the network.
        path: Name of its folder.
        files: Stamps of those of `STORE_FILES` that exist, and of its layers' circuits and expanded weights.
        layers: Layers whose file exists, by name.
        stages: Whether each stage is complete.
        progress: Progress of the active run; `None` if there is none.
    """

    name: str
    path: str
    files: dict[str, str]
    layers: dict[str, LiveLayer]
    stages: dict[str, bool]
    progress: Progress | None


class LiveComparison(msgspec.Struct, frozen=True):
    """A comparison whose stores exist.

    Attributes:
        name: Name of the comparison.
        path: Name of its folder.
        files: Stamps of those of its files that exist.
    """

    name: str
    path: str
    files: dict[str, str]


class Live(msgspec.Struct, frozen=True):
    """`live.json` of a live server.

    Attributes:
        format: Number of the stores' format.
        networks: Stores that have a manifest.
        comparisons: Comparisons of these stores.
        waiting: Folders that contain neither yet.
    """

    format: int
    networks: list[LiveNetwork]
    comparisons: list[LiveComparison]
    waiting: list[str]


@dataclass(frozen=True)
class StoreWatcher:
    """Takes snapshots of stores and of comparisons of them.

    Attributes:
        stores: Their folders, by their names in URLs.
        seen: Cache of layers by path, valid while the stamp is the same: the files are large, and most do not
            change between two snapshots.
    """

    stores: dict[str, Path]
    seen: dict[Path, LiveLayer] = field(default_factory=dict)

    def live(self) -> Live:
        """Return what the stores contain now; those that cannot be read yet are `waiting`."""
        networks: list[LiveNetwork] = []
        comparisons: list[LiveComparison] = []
        waiting: list[str] = []
        manifests = self._manifests()
        for path, folder in self.stores.items():
            if (folder / COMPARISON).is_file():
                comparison = _snapshot_comparison(path, folder, manifests)
                comparisons += [comparison] if comparison else []
                waiting += [] if comparison else [path]
                continue
            network = self._snapshot_network(path, folder)
            if network is None or any(network.name == other.name for other in networks):
                waiting.append(path)
            else:
                networks.append(network)
        # In the order of the index, so that both have the same first network.
        networks.sort(key=lambda network: network.name)
        comparisons.sort(key=lambda comparison: comparison.name)
        return Live(FORMAT, networks, comparisons, waiting)

    def index(self) -> Index:
        """Return `index.json` of the stores that have a manifest."""
        networks: dict[str, NetworkEntry] = {}
        for path, folder in self.stores.items():
            try:
                manifest = read_manifest(folder)
            except LurkError:
                continue
            entry = NetworkEntry(name=manifest.name, title=manifest.title, path=path)
            networks.setdefault(manifest.name, entry)
        return Index(format=FORMAT, networks=sorted(networks.values(), key=lambda entry: entry.name))

    def comparisons(self) -> Comparisons:
        """Return `comparisons.json` of the comparisons whose stores exist."""
        manifests = self._manifests()
        entries: list[ComparisonEntry] = []
        for path, folder in self.stores.items():
            if (folder / COMPARISON).is_file():
                try:
                    record = check_comparison(folder, manifests)
                except LurkError:
                    continue
                entries.append(ComparisonEntry(name=record.name, title=record.title, path=path))
        return Comparisons(format=FORMAT, comparisons=sorted(entries, key=lambda entry: entry.name))

    def _manifests(self) -> dict[str, Manifest]:
        """Return the manifests of the stores by name; empty if there is no comparison that needs them."""
        folders = self.stores.values()
        if not any((folder / COMPARISON).is_file() for folder in folders):
            return {}
        manifests: dict[str, Manifest] = {}
        for folder in folders:
            try:
                manifest = read_manifest(folder)
            except LurkError:
                continue
            manifests.setdefault(manifest.name, manifest)
        return manifests

    def _snapshot_network(self, path: str, folder: Path) -> LiveNetwork | None:
        # Stamps are taken before the files are read, so the next snapshot shows what changes in between.
        stamps = {name: stamp for name in STORE_FILES if (stamp := file_stamp(folder / name))}
        try:
            manifest = read_manifest(folder)
        except LurkError:
            return None
        circuits = [circuit_path(layer.name) for layer in manifest.layers]
        expanded = [expanded_path(layer) for layer in manifest.expanded]
        spectra = [spectrum_path(layer.name) for layer in manifest.layers] if manifest.spectra else []
        stamps |= {
            name: stamp for name in (*circuits, *expanded, *spectra) if (stamp := file_stamp(folder / name))
        }
        layers = {
            record.name: layer
            for record in manifest.layers
            if (layer := self._snapshot_layer(folder, record))
        }
        stages = {name: getattr(manifest.stages, name).complete for name in STAGES}
        return LiveNetwork(manifest.name, path, stamps, layers, stages, read_progress(folder))

    def _snapshot_layer(self, folder: Path, record: LayerRecord) -> LiveLayer | None:
        path = folder / record.data
        stamp = file_stamp(path)
        if stamp is None:
            return None
        layer = self.seen.get(path)
        if layer is None or layer.stamp != stamp:
            try:
                preview = read_preview_layer(path)
            except UNREADABLE:
                return None
            made = {
                kind: to_ranges(entry.channel for entry in preview.filters if kind in entry.pictures)
                for kind in PICTURE_KINDS
            }
            nonempty = {kind: to_ranges for kind, to_ranges in made.items() if to_ranges}
            layer = LiveLayer(record.data, stamp, nonempty, choose_previews(preview))
            self.seen[path] = layer
        return layer


def _snapshot_comparison(path: str, folder: Path, manifests: dict[str, Manifest]) -> LiveComparison | None:
    stamp = file_stamp(folder / COMPARISON)
    try:
        record = check_comparison(folder, manifests)
    except LurkError:
        return None
    stamps = {COMPARISON: stamp, **{layer.data: file_stamp(folder / layer.data) for layer in record.layers}}
    return LiveComparison(record.name, path, {name: stamp for name, stamp in stamps.items() if stamp})


def watch_stores(stores: Sequence[Path]) -> StoreWatcher:
    """Return a watcher of stores and comparisons, which need not exist yet.

    Args:
        stores: Their folders.

    Raises:
        LurkError: No folder is given, two have the same name, or one cannot be a store.
    """
    named: dict[str, Path] = {}
    for path in stores:
        folder = Path(path).resolve()
        if folder.name in named:
            raise LurkError(
                f"{str(path)!r} and {str(named[folder.name])!r} have the same folder name, which is their "
                "address in the page",
                "rename one of them",
            )
        if folder.exists() and not folder.is_dir():
            raise LurkError(f"{str(path)!r} is not a folder", "give the folder of a store")
        if not (folder / "network.json").exists() and any(folder.glob("*/network.json")):
            raise LurkError(f"{str(path)!r} is a folder of stores", f"give the stores in it: {path}/*")
        if not folder.name or folder.name.startswith("."):
            raise LurkError(f"{str(path)!r} has a name that cannot be served", "give the folder of a store")
        named[folder.name] = folder
    if not named:
        raise LurkError("no store given", "give the folder of at least one, even if it does not exist yet")
    return StoreWatcher(named)


def file_stamp(path: Path) -> str | None:
    """Return a text that changes whenever a file is replaced; `None` if the file does not exist."""
    try:
        status = os.stat(path)  # noqa: PTH116, one call, and an exception only in the rare case
    except OSError:
        return None
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def to_ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending numbers as half-open ranges.

    >>> to_ranges([0, 1, 2, 7, 8])
    [(0, 3), (7, 9)]
    """
    to_ranges: list[tuple[int, int]] = []
    for number in numbers:
        if to_ranges and to_ranges[-1][1] == number:
            to_ranges[-1] = (to_ranges[-1][0], number + 1)
        else:
            to_ranges.append((number, number + 1))
    return to_ranges
