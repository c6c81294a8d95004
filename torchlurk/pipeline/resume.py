"""What an earlier run has left in the folder of a store, and whether the next run can continue it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import msgspec
import torch

from torchlurk.errors import LurkError, Option
from torchlurk.pipeline.config import (
    FORMER_VALUES,
    AscentConfig,
    GradientsConfig,
    config_to_record,
    same_results,
)
from torchlurk.pipeline.stages.context import RunContext
from torchlurk.pipeline.upgrade import upgrade_store
from torchlurk.runtime.devices import fastest_precision, scan_batch_size
from torchlurk.runtime.reporting import Reporter
from torchlurk.store import schema
from torchlurk.store.activations import ACTIVATIONS, ACTIVATIONS_DRAFT
from torchlurk.store.partial import PARTIAL, count_partial_results, digest_records
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import Config, Manifest, Stage

_OUT = Option("out")
_OVERWRITE = Option("overwrite", True)


def default_threads(out: Path) -> int:
    """Return the CPU threads per operation that a store was started with, or torch's default."""
    try:
        return read_manifest(out).threads
    except LurkError:
        return torch.get_num_threads()


def default_scan_batch(
    out: Path, device: torch.device, input_size: tuple[int, int], *, overwrite: bool
) -> int:
    """Return the batch size that the scan of a store was started with, or the one for the device.

    Args:
        out: Folder of the store.
        device: Device of the run.
        input_size: `(H, W)` of the network's input, in pixels.
        overwrite: Whether the run replaces the scan, so that its batch size does not matter.
    """
    try:
        config = None if overwrite else read_manifest(out).stages.scan.config
    except LurkError:
        config = None
    batch_size = (config or {}).get("batch_size")
    return batch_size if isinstance(batch_size, int) else scan_batch_size(device, input_size)


def default_gradients_precision(out: Path, device: torch.device) -> str:
    """Return the precision of the gradients that a store has, or the one that the device is fastest at."""
    try:
        config = read_manifest(out).stages.gradients.config
    except LurkError:
        config = None
    if config is None:
        return fastest_precision(device)
    return str(config.get("precision", GradientsConfig.precision))


def default_ascent_config(out: Path, *, overwrite: bool) -> AscentConfig:
    """Return the defaults, with the steps and sizes that the filter images of a store were made with.

    Args:
        out: Folder of the store.
        overwrite: Whether the run replaces these images, so that they do not matter.
    """
    try:
        config = None if overwrite else read_manifest(out).stages.ascent.config
    except LurkError:
        config = None
    if config is None:
        return AscentConfig()
    steps = config.get("steps", AscentConfig.steps)
    resolutions = config.get("resolutions", FORMER_VALUES["resolutions"])
    return AscentConfig(steps=cast(int, steps), resolutions=cast(int, resolutions))


def scan_identity(manifest: Manifest) -> str:
    """Return the digest of everything that affects the result of a scan.

    Args:
        manifest: The manifest of a new store.
    """
    not_run = Stage(complete=False, config=None)
    scan_only = msgspec.structs.replace(manifest.stages, gradients=not_run, ascent=not_run)
    # Files that cannot be read do not affect the result.
    dataset = msgspec.structs.replace(manifest.dataset, skipped=[])
    # The format concerns the pictures: shards of a run that an older version began are still valid.
    record = msgspec.to_builtins(
        msgspec.structs.replace(manifest, format=1, name="", title="", dataset=dataset, stages=scan_only)
    )
    # So are those of a version without circuits, or without what they do not contain.
    del record["stages"]["circuits"], record["expanded"], record["activations"], record["spectra"]
    return digest_records(record)


def open_existing(context: RunContext, new: Manifest) -> Manifest | None:
    """Return the manifest of the store that the run continues; `None` for a new store.

    If the run overwrites the scan, this deletes the store. A store of an older format is upgraded.

    Args:
        context: The run.
        new: The manifest that a new store would have.

    Raises:
        LurkError: The folder holds other files, or a store computed with other options.
    """
    if not (context.out / "network.json").exists():
        _check_empty(context.out)
        return None
    if context.config.overwrite and "scan" in context.config.stages:
        _delete_store(context.out)
        return None
    existing = read_manifest(context.out)
    _check_scan(context, existing, new)
    for name in ("circuits", "gradients", "ascent"):
        if name in context.config.stages and not context.config.overwrite:
            _check_stage(context, existing, name)
    return upgrade_store(context.out, existing, context.reporter.report)


def _check_scan(context: RunContext, existing: Manifest, new: Manifest) -> None:
    """Check that the scan of the existing store is the one that the run would make.

    Raises:
        LurkError: It is not.
    """
    for field in ("model", "input", "layers", "k", "device", "threads"):
        old_value, new_value = getattr(existing, field), getattr(new, field)
        if old_value == new_value:
            continue
        if field == "layers":
            names = [", ".join(layer.name for layer in manifest.layers) for manifest in (existing, new)]
            if names[0] != names[1]:
                old_value, new_value = names
        raise _computed_from_other(context, field, old_value, new_value)
    if existing.dataset.digest != new.dataset.digest:
        raise _computed_from_other(context, "images", existing.dataset.name, new.dataset.name)
    old_config, new_config = existing.stages.scan.config, new.stages.scan.config
    if old_config != new_config:
        raise _computed_from_other(context, "scan options", old_config, new_config)


_RESULTS = {"circuits": "circuits", "gradients": "gradients", "ascent": "filter images"}
"""What each stage computes, for error messages."""


def _check_stage(context: RunContext, existing: Manifest, name: str) -> None:
    """Check that the results of a stage in the store were computed with the run's options.

    Raises:
        LurkError: They were not.
    """
    old: Config | None = getattr(existing.stages, name).config
    new = config_to_record(getattr(context.config, name))
    if old is None or same_results(old, new):
        return
    changed = sorted(f"{key}={old[key]}" for key in old.keys() & new.keys() if old[key] != new[key])
    recompute = Option("overwrite", True, flag=f"--stages {name} --overwrite")
    raise LurkError(
        f"the {_RESULTS[name]} in {str(context.out)!r} were computed with "
        f"{', '.join(changed) or 'other options'}",
        ("choose another ", _OUT, ", or set ", recompute, " to compute them again"),
    )


def _computed_from_other(context: RunContext, what: str, old: object, new: object) -> LurkError:
    return LurkError(
        f"{str(context.out)!r} was computed with other {what} ({_shorten(old)}, not {_shorten(new)})",
        ("choose another ", _OUT, ", or set ", _OVERWRITE, " to delete its contents"),
    )


def _shorten(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"


def _check_empty(out: Path) -> None:
    names = sorted(path.name for path in out.iterdir())
    if names:
        raise LurkError(
            f"{str(out)!r} is not a store, and it contains other files ({names[0]!r})",
            ("choose another ", _OUT),
        )


def _delete_store(out: Path) -> None:
    """Delete the files of a store, and nothing else in the folder."""
    # The manifest first: without it there is no store, and nobody reads the rest.
    for name in ("network.json", "classes.json", "images.json", schema.CHECKSUMS, schema.PROGRESS):
        (out / name).unlink(missing_ok=True)
    results = ("layers", ACTIVATIONS, ACTIVATIONS_DRAFT, schema.CIRCUITS, schema.EXPANDED, schema.SPECTRA)
    pictures = (schema.IMAGES, schema.PICTURES, schema.THUMBS, *schema.PICTURE_KINDS)
    for name in (PARTIAL, *results, *pictures):
        shutil.rmtree(out / name, ignore_errors=True)


@contextmanager
def report_interruption(out: Path, reporter: Reporter) -> Iterator[None]:
    """If the run is interrupted, report what is finished and how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        finished = ", ".join(f"{count} of {task}" for task, count in count_partial_results(out).items())
        parts = f", and these finished parts of the rest: {finished}" if finished else ""
        reporter.report(
            f"interrupted: {str(out)!r} keeps all complete stages{parts}; "
            "start the same command again to resume"
        )
        raise
