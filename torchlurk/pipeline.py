"""The order of the stages: scan, gradients, ascent; each leaves the store complete up to itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import msgspec
import torch

from torchlurk.config import RunConfig, alike, recorded
from torchlurk.datasets.folder import load_pixels
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.inputs import Decoded
from torchlurk.devices import exact
from torchlurk.errors import LurkError
from torchlurk.graph import select
from torchlurk.hooks import at_rest, lent
from torchlurk.models.network import Network
from torchlurk.portraits import Source
from torchlurk.progress import telling
from torchlurk.stages import ascent, gradients, scan
from torchlurk.stages.job import Job, Terminal, chosen, forget, layer_files, made, mark
from torchlurk.stages.scan import new_manifest
from torchlurk.stages.writers import writing
from torchlurk.store import schema
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import Manifest, Stage
from torchlurk.store.write import alone, check_writable, write_index

PIXELS_KEPT = 2048
"""Decoded images kept in memory while pictures are made: 300 MB at 224 px."""


def precompute(
    network: Network,
    folder: ImageSet,
    out: Path,
    config: RunConfig,
    device: torch.device,
    terminal: Terminal,
    clock: Callable[[], float] = time.monotonic,
) -> Manifest:
    """Run the stages that are asked for and not yet done, and write the store.

    Args:
        network: what to look into; it comes back as it was.
        folder: the images to show it.
        out: the store's folder.
        config: what to do.
        device: where to compute.
        terminal: how to tell.
        clock: seconds, from any beginning: how often `progress.json` is written.

    Returns:
        The manifest as it stands at the end.

    Raises:
        LurkError: the input cannot be used, or another run writes there; nothing that was computed before
            is lost.
    """
    check_writable(out)
    model = network.module
    with (
        alone(out),
        telling(terminal, out, clock) as terminal,
        lent(model, device),
        exact(device),
        at_rest(model),
        writing(config.workers) as writers,
    ):
        graph = select(model, network.shape, config.scan.layers)
        source = _source(network, folder, device)
        job = Job(network, folder, graph, source, out, config, terminal, writers)
        chosen(job)  # what cannot be had is refused before anything is computed or lost
        manifest = _earlier(job, device)
        if "scan" in config.stages and not (manifest and manifest.stages.scan.complete):
            manifest = scan.run(job, device)
        if manifest is None:
            raise LurkError(
                f"{str(out)!r} holds no scan to go on from: add scan to --stages (there are "
                f"{', '.join(config.stages)})"
            )
        if "gradients" in config.stages:
            manifest = _extend(job, manifest, "gradients", gradients.complete, gradients.run)
        if "ascent" in config.stages:
            manifest = _extend(job, manifest, "ascent", ascent.complete, ascent.run)
    write_index(out.parent)
    return manifest


def _extend(
    job: Job,
    manifest: Manifest,
    name: str,
    complete: Callable[[Job, Manifest], bool],
    run: Callable[[Job, Manifest], Manifest],
) -> Manifest:
    """Do what a stage is asked for and has not done yet; what it has done otherwise is forgotten."""
    wanted = recorded(getattr(job.config, name))
    done: Stage = getattr(manifest.stages, name)
    if done.complete and alike(done.config, wanted) and complete(job, manifest):
        job.terminal.say(f"{name}: complete already")
        return manifest
    if done.config is not None and not alike(done.config, wanted):
        job.terminal.say(f"{name}: made anew, as what there is was made with {_change(done.config, wanted)}")
        manifest = forget(job, manifest, name)
    have = made(layer_files(job, manifest), name)
    manifest = mark(job, manifest, name, Stage(complete=False, config=wanted, made=have))
    manifest = run(job, manifest)
    have = made(layer_files(job, manifest), name)
    return mark(job, manifest, name, Stage(complete=True, config=wanted, made=have))


def _change(old: schema.Config, new: schema.Config) -> str:
    """In which way a configuration was another."""
    changed = [f"{key} {old[key]}" for key in old.keys() & new.keys() if old[key] != new[key]]
    return ", ".join(sorted(changed)) or "other options"


def _source(network: Network, folder: ImageSet, device: torch.device) -> Source:
    # float32, which only this process makes, takes four times the room of bytes
    @lru_cache(maxsize=PIXELS_KEPT if network.preprocess.cut else PIXELS_KEPT // 4)
    def pixels(image: int) -> Decoded:
        kept: Decoded = load_pixels(folder, network.preprocess, [image])[0].numpy()
        return kept

    preprocess = network.preprocess
    return Source(pixels, preprocess.normalise, network.shape, device, preprocess.display, preprocess.shown)


def _earlier(job: Job, device: torch.device) -> Manifest | None:
    """The manifest of an earlier run to go on from; `None` to begin anew.

    Raises:
        LurkError: the folder holds the result of something else.
    """
    if not (job.out / "network.json").exists():
        _refuse_foreign(job.out)
        return None
    if job.config.overwrite:
        _clear(job.out)
        return None
    found = read_manifest(job.out)
    if not found.stages.scan.complete:
        _clear(job.out)
        return None
    wanted = new_manifest(job, device, [])
    for what in ("model", "input", "layers", "k", "device"):
        old, new = getattr(found, what), getattr(wanted, what)
        if old != new:
            raise LurkError(_differs(job, what, old, new))
    if found.dataset.digest != wanted.dataset.digest:
        raise LurkError(_differs(job, "images", found.dataset.name, wanted.dataset.name))
    if found.stages.scan.config != wanted.stages.scan.config:
        old, new = found.stages.scan.config, wanted.stages.scan.config
        raise LurkError(_differs(job, "scan", old, new))
    if "scan" in job.config.stages:
        job.terminal.say("scan: complete already")
    return found


def _differs(job: Job, what: str, old: object, new: object) -> str:
    def brief(value: object) -> str:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return text if len(text) <= 80 else f"{text[:79]}…"

    return (
        f"{str(job.out)!r} was computed from other {what} ({brief(old)}, not {brief(new)}): "
        "choose another --out, or give --overwrite to lose it"
    )


def _refuse_foreign(out: Path) -> None:
    strange = sorted(path.name for path in out.iterdir())
    if strange:
        raise LurkError(
            f"{str(out)!r} is no store and holds other files ({strange[0]!r}): choose another --out"
        )


def _clear(out: Path) -> None:
    """Remove what a store consists of, and nothing else that may lie in the folder."""
    for name in ("images", "layers", *schema.PICTURE_KINDS):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("network.json", "images.json", "classes.json", schema.SUMS, schema.PROGRESS):
        (out / name).unlink(missing_ok=True)
