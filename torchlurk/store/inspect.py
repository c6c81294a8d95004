"""Inspecting a store: what it contains, and whether all of its files are there and undamaged."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torchlurk.errors import LurkError
from torchlurk.store.activations import check_activations
from torchlurk.store.inspect_circuits import check_circuits, check_expanded
from torchlurk.store.inspect_pictures import check_layer_pictures, check_packs, check_picture
from torchlurk.store.pictures import IMAGE, stored_images
from torchlurk.store.read import (
    read_checksums,
    read_classes,
    read_images,
    read_layer,
    read_manifest,
)
from torchlurk.store.read_spectrum import read_spectrum
from torchlurk.store.schema import (
    CHECKSUMS,
    PICTURE_KINDS,
    PROGRESS,
    LayerFile,
    LayerRecord,
    Manifest,
    circuit_path,
    expanded_path,
    referenced_images,
    spectrum_path,
)

_RETRIES = 10
"""Attempts to match a digest while a run is writing."""

_RETRY_SECONDS = 0.05
"""Seconds between two attempts."""


@dataclass(frozen=True)
class StoreReport:
    """The contents of a store.

    Attributes:
        manifest: Its manifest.
        filters: Number of filters.
        full: Number of filters with `min(k, images)` entries in both lists.
        pictures: Number of pictures by kind.
        images: Number of images that filters refer to.
        worst_certificate: Largest certificate; `None` if there is none.
        problems: What is missing or damaged, a line each; empty for an undamaged store.
    """

    manifest: Manifest
    filters: int = 0
    full: int = 0
    pictures: dict[str, int] = field(default_factory=dict)
    images: int = 0
    worst_certificate: float | None = None
    problems: tuple[str, ...] = ()


def inspect(store: Path, *, sleep: Callable[[float], object] = time.sleep) -> StoreReport:
    """Read all of a store, and check that all pictures that the JSON names exist and decode.

    Args:
        store: Folder of the store.
        sleep: Waits for a number of seconds, while a run writes a file and its digest.

    Raises:
        LurkError: The manifest cannot be read.
    """
    manifest = read_manifest(store)
    problems = list(_check_checksums(store, manifest, sleep))
    pictures = dict.fromkeys(PICTURE_KINDS, 0)
    filters = full = 0
    expected = min(manifest.k, manifest.dataset.images)
    used: set[int] = set()
    certificates: list[float] = []
    for layer in manifest.layers:
        try:
            data, layer_problems = _read_checked(store, manifest, layer, sleep)
        except LurkError as problem:
            problems.append(problem.without_hint())
            continue
        reachable = expected if data.images is None else min(expected, data.images)
        for entry in data.filters:
            filters += 1
            full += len(entry.max) == reachable and len(entry.avg) == reachable
            certificates.extend(e.certificate for e in entry.max if e.certificate is not None)
            used.update(referenced_images(entry))
            for kind in entry.pictures:
                pictures[kind] += 1
        problems.extend(layer_problems)
    if full < filters:
        problems.append(f"{filters - full} filters have fewer than {expected} entries in a list")
    for layer in manifest.layers if manifest.spectra else ():
        try:
            spectra = read_spectrum(store, layer).filters
        except LurkError as problem:
            problems.append(problem.without_hint())
        else:
            used.update(entry.image for spectrum in spectra for pair in spectrum for entry in pair)
    problems.extend(_check_images(store, manifest, used))
    problems.extend(_check_classes(store, manifest))
    problems.extend(check_circuits(store, manifest))
    problems.extend(check_expanded(store, manifest))
    problems.extend(check_activations(store, manifest))
    worst = max(certificates, default=None)
    return StoreReport(manifest, filters, full, pictures, len(used), worst, tuple(problems))


def _read_checked(
    store: Path, manifest: Manifest, layer: LayerRecord, sleep: Callable[[float], object]
) -> tuple[LayerFile, list[str]]:
    """Return the file of a layer, and what is wrong with its pictures."""
    for _ in range(_RETRIES):
        data = read_layer(store, layer)
        problems = list(check_layer_pictures(store, manifest, data))
        # A run removes packs that it has replaced: the file must still be the one that names them.
        if not problems or read_layer(store, layer) == data:
            break
        sleep(_RETRY_SECONDS)
    return data, problems


def _check_checksums(store: Path, manifest: Manifest, sleep: Callable[[float], object]) -> Iterator[str]:
    if not (store / CHECKSUMS).is_file():
        yield f"{str(store / CHECKSUMS)!r} is missing"
        return
    names = ["network.json", "images.json", "classes.json", *(layer.data for layer in manifest.layers)]
    if manifest.stages.circuits.complete:
        names += [circuit_path(layer.name) for layer in manifest.layers]
        names += [expanded_path(layer) for layer in manifest.expanded]
    if manifest.spectra:
        names += [spectrum_path(layer.name) for layer in manifest.layers]
    for name in names:
        try:
            same = _matches_checksum(store, name, sleep)
        except OSError as problem:
            yield f"cannot read {str(store / name)!r} ({problem.strerror or problem})"
            continue
        if not same:
            yield f"{str(store / name)!r} is not what was written: its digest differs from {CHECKSUMS}"


def _matches_checksum(store: Path, name: str, sleep: Callable[[float], object]) -> bool:
    for _ in range(_RETRIES):
        digest = hashlib.sha256((store / name).read_bytes()).hexdigest()
        if read_checksums(store).get(name) == digest:
            return True
        # A run writes a file before its digest, so between the two they differ for a moment.
        if not (store / PROGRESS).exists():
            return False
        sleep(_RETRY_SECONDS)
    return False


def _check_images(store: Path, manifest: Manifest, used: set[int]) -> Iterator[str]:
    try:
        file = read_images(store)
    except LurkError as problem:
        yield problem.without_hint()
        return
    listed = {int(image) for image in file.images}
    for image in sorted(used - listed):
        yield f"a filter refers to image {image}, which is not in images.json"
    height, width = manifest.input.shape[1:]
    yield from check_packs(store, file.packs or ())
    images = stored_images(store, file)
    for image in sorted(listed):
        if (image, IMAGE) in images:
            yield from check_picture(images[image, IMAGE], (width, height))
        else:
            yield f"images.json lists image {image}, and no pack has it"


def _check_classes(store: Path, manifest: Manifest) -> Iterator[str]:
    try:
        classes = read_classes(store)
    except LurkError as problem:
        yield problem.without_hint()
        return
    rows = [row for rows in classes.filters for row in rows]
    if len(classes.filters) != len(manifest.dataset.classes) or any(
        layer >= len(manifest.layers) or channel >= manifest.layers[layer].channels
        for layer, channel, _ in rows
    ):
        yield f"{str(store / 'classes.json')!r} names classes or filters that do not exist"
