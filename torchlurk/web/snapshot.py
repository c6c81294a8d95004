"""What stores, and comparisons of them, hold at this moment, for a page that follows them. Never writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from torchlurk.errors import LurkError
from torchlurk.store.comparison import COMPARISON, ComparisonEntry, Comparisons
from torchlurk.store.comparisons import check_comparison
from torchlurk.store.previews import choose_previews, read_preview_layer
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
)

STORE_FILES = ("network.json", "images.json", "classes.json")
"""The JSON files of a store beside those of its layers."""


class LiveLayer(msgspec.Struct, frozen=True):
    """A layer whose file is there.

    Attributes:
        data: the path of its file.
        stamp: changes when the file does.
        made: for each kind of picture the channels that have it, as half-open ranges.
        best: a few of its filters, as `previews.json` of a site has them.
    """

    data: str
    stamp: str
    made: dict[str, list[tuple[int, int]]]
    best: list[Preview]


class LiveNetwork(msgspec.Struct, frozen=True):
    """A store that has a manifest.

    Attributes:
        name: of the network.
        path: of its folder.
        files: for each of `STORE_FILES` that is there, a stamp.
        layers: by name, those whose file is there.
        stages: which are complete.
        progress: what a run is at; `None` where none is under way.
    """

    name: str
    path: str
    files: dict[str, str]
    layers: dict[str, LiveLayer]
    stages: dict[str, bool]
    progress: Progress | None


class LiveComparison(msgspec.Struct, frozen=True):
    """A comparison of stores that are there.

    Attributes:
        name: of the comparison.
        path: of its folder.
        files: for each of its files that is there, a stamp.
    """

    name: str
    path: str
    files: dict[str, str]


class Live(msgspec.Struct, frozen=True):
    """What a live server tells.

    Attributes:
        format: of the stores.
        networks: the stores that have begun.
        comparisons: those of them that are there.
        waiting: the folders that hold neither yet.
    """

    format: int
    networks: list[LiveNetwork]
    comparisons: list[LiveComparison]
    waiting: list[str]


@dataclass(frozen=True)
class StoreWatcher:
    """Looks at stores, and at comparisons of them, again and again.

    Attributes:
        stores: their folders, by the name that they have in URLs.
        seen: what was read of the layers' files, by path, with the stamp it had: they are large, and
            most have not changed since.
    """

    stores: dict[str, Path]
    seen: dict[Path, LiveLayer] = field(default_factory=dict)

    def live(self) -> Live:
        """What the stores hold now; one that cannot be read yet is waited for."""
        networks: list[LiveNetwork] = []
        comparisons: list[LiveComparison] = []
        waiting: list[str] = []
        manifests = self._manifests()
        for path, folder in self.stores.items():
            if (folder / COMPARISON).is_file():
                comparison = _comparison(path, folder, manifests)
                comparisons += [comparison] if comparison else []
                waiting += [] if comparison else [path]
                continue
            network = self._network(path, folder)
            if network is None or any(network.name == other.name for other in networks):
                waiting.append(path)
            else:
                networks.append(network)
        # In the order of the index, so that the first is the same network here and there.
        networks.sort(key=lambda network: network.name)
        return Live(FORMAT, networks, sorted(comparisons, key=lambda one: one.name), waiting)

    def index(self) -> Index:
        """`index.json` of the stores that have begun."""
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
        """`comparisons.json` of those whose stores are there."""
        manifests = self._manifests()
        entries: list[ComparisonEntry] = []
        for path, folder in self.stores.items():
            if (folder / COMPARISON).is_file():
                try:
                    found = check_comparison(folder, manifests)
                except LurkError:
                    continue
                entries.append(ComparisonEntry(name=found.name, title=found.title, path=path))
        return Comparisons(format=FORMAT, comparisons=sorted(entries, key=lambda entry: entry.name))

    def _manifests(self) -> dict[str, Manifest]:
        """Of the stores that have begun, by name, if there is a comparison that asks for them."""
        folders = self.stores.values()
        if not any((folder / COMPARISON).is_file() for folder in folders):
            return {}
        found: dict[str, Manifest] = {}
        for folder in folders:
            try:
                manifest = read_manifest(folder)
            except LurkError:
                continue
            found.setdefault(manifest.name, manifest)
        return found

    def _network(self, path: str, folder: Path) -> LiveNetwork | None:
        # Stamps before what they stand for: what changes in between is told the next time.
        stamps = {name: stamp for name in STORE_FILES if (stamp := file_stamp(folder / name))}
        try:
            manifest = read_manifest(folder)
        except LurkError:
            return None
        layers = {layer.name: found for layer in manifest.layers if (found := self._layer(folder, layer))}
        stages = {name: getattr(manifest.stages, name).complete for name in STAGES}
        return LiveNetwork(manifest.name, path, stamps, layers, stages, read_progress(folder))

    def _layer(self, folder: Path, layer: LayerRecord) -> LiveLayer | None:
        path = folder / layer.data
        stamp = file_stamp(path)
        if stamp is None:
            return None
        known = self.seen.get(path)
        if known is None or known.stamp != stamp:
            try:
                filters = read_preview_layer(path).filters
            except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None
            made = {
                kind: to_ranges(one.channel for one in filters if kind in one.pictures)
                for kind in PICTURE_KINDS
            }
            runs = {kind: found for kind, found in made.items() if found}
            known = LiveLayer(layer.data, stamp, runs, choose_previews(filters))
            self.seen[path] = known
        return known


def _comparison(path: str, folder: Path, manifests: dict[str, Manifest]) -> LiveComparison | None:
    stamp = file_stamp(folder / COMPARISON)
    try:
        found = check_comparison(folder, manifests)
    except LurkError:
        return None
    stamps = {layer.data: file_stamp(folder / layer.data) for layer in found.layers}
    files = {COMPARISON: stamp, **stamps}
    return LiveComparison(found.name, path, {name: one for name, one in files.items() if one})


def watch_stores(stores: Sequence[Path]) -> StoreWatcher:
    """Look at these stores and comparisons of them, which need not be there yet.

    Raises:
        LurkError: there is none, two share a name, or one can be no store.
    """
    named: dict[str, Path] = {}
    for given in stores:
        folder = Path(given).resolve()
        if folder.name in named:
            raise LurkError(
                f"{given}: {named[folder.name]} has the same folder name, which is its address in the page; "
                "rename one of them"
            )
        if folder.exists() and not folder.is_dir():
            raise LurkError(f"{given}: is no folder; name the folder of a store, as --out of precompute does")
        if not (folder / "network.json").exists() and any(folder.glob("*/network.json")):
            raise LurkError(f"{given}: is a folder of stores; name the stores: {given}/*")
        if not folder.name or folder.name.startswith("."):
            raise LurkError(f"{given}: cannot be served under such a name; name the folder of a store")
        named[folder.name] = folder
    if not named:
        raise LurkError("no store given: name at least one, even if it is only going to be written")
    return StoreWatcher(named)


def file_stamp(path: Path) -> str | None:
    """What changes when a file does, which is always replaced, never written into; `None` if it is gone."""
    try:
        found = os.stat(path)  # noqa: PTH116, one call and no exception for what is usual
    except OSError:
        return None
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def to_ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as half-open ranges.

    >>> ranges([0, 1, 2, 7, 8])
    [(0, 3), (7, 9)]
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found
