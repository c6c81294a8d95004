"""The order of the stages: scan, gradients, ascent; each leaves the store complete up to itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import msgspec
import torch

from torchlurk.datasets.batches import load_pixels, probe_inputs
from torchlurk.datasets.images import ImageSet
from torchlurk.datasets.inputs import Decoded
from torchlurk.errors import LurkError
from torchlurk.graph import PROBE_IMAGES, check_differentiable, prepare
from torchlurk.models.checkpoint import brief
from torchlurk.models.isolation import isolated
from torchlurk.models.network import Network
from torchlurk.models.runner import ForwardError, Runner, cause_of
from torchlurk.pipeline.config import RunConfig, config_to_record, same_results
from torchlurk.pipeline.progress import report_progress
from torchlurk.pipeline.rendering import Source
from torchlurk.pipeline.stages import ascent, gradients, scan
from torchlurk.pipeline.stages.context import RunContext, chosen, forget, layer_files, made, mark
from torchlurk.pipeline.stages.manifest import new_manifest
from torchlurk.pipeline.stages.writers import writing
from torchlurk.runtime.devices import BatchLimiter, cpu_threads, deterministic_float32
from torchlurk.runtime.distributed import ProcessGroup
from torchlurk.runtime.reporting import Reporter
from torchlurk.store import schema
from torchlurk.store.partial import PARTIAL, PartialResults, count_partial_results, digest_records
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import Manifest, Stage
from torchlurk.store.write import (
    check_writable,
    exclusive_lock,
    remove_temporary_files,
    write_checksums,
    write_index,
)

PIXELS_KEPT = 2048
"""Decoded images kept in memory while pictures are made: 300 MB at 224 px."""


def precompute(
    network: Network,
    folder: ImageSet,
    out: Path,
    config: RunConfig,
    device: torch.device,
    reporter: Reporter,
    group: ProcessGroup | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Manifest:
    """Run the stages that are asked for and not yet done, and write the store.

    A run that was stopped, whatever by, is gone on with: of the work that it had cut into pieces, those
    that are finished are not computed again, and the store comes out the same.

    Args:
        network: what to look into; it comes back as it was.
        folder: the images to show it.
        out: the store's folder.
        config: what to do.
        device: where to compute.
        reporter: how to tell.
        group: the processes that share the run, each of which calls this with the same; alone by default.
        clock: seconds, from any beginning: how often `progress.json` is written.
        sleep: waits for some seconds, while others compute.

    Returns:
        The manifest as it stands at the end.

    Raises:
        LurkError: the input cannot be used, or another run writes there; nothing that was computed before
            is lost.
    """
    group = group or ProcessGroup()
    model = network.module
    with ExitStack() as stack:
        if group.is_main:
            check_writable(out)
            stack.enter_context(exclusive_lock(out))
            remove_temporary_files(out)
            stack.enter_context(_saying_what_is_kept(out, reporter))
            reporter = stack.enter_context(report_progress(reporter, out, clock))
        group.barrier()
        stack.enter_context(isolated(model, device, network.shape))
        stack.enter_context(deterministic_float32(device))
        stack.enter_context(cpu_threads(config.threads))
        writers = stack.enter_context(writing(config.workers))
        images = probe_inputs(folder, network.preprocess, PROBE_IMAGES).to(device)
        runner, graph = prepare(model, network.shape, config.scan.layers, images)
        if "gradients" in config.stages or "ascent" in config.stages:
            check_differentiable(runner, graph, images[:1])
        stack.enter_context(runner.laid_out())
        if "ascent" in config.stages and config.ascent.precision == "bfloat16":
            config = _precise_enough(config, runner, images[:1], reporter.report if group.is_main else None)
        source = _source(network, folder, device)
        limiter = BatchLimiter(reporter.report)
        context = RunContext(
            network, folder, graph, runner, source, out, config, reporter, writers, group, limiter, sleep
        )
        wanted = new_manifest(context, device, [])
        context = replace(context, identity=_identity(wanted))
        chosen(context)  # what cannot be had is refused before anything is computed or lost
        manifest = group.broadcast(lambda: _earlier(context, wanted))
        manifest = _scanned(context, manifest, wanted, device)
        if "gradients" in config.stages:
            manifest = _extend(context, manifest, "gradients", gradients)
        if "ascent" in config.stages:
            manifest = _extend(context, manifest, "ascent", ascent)
        if group.is_main:
            _tidy(context, manifest)
            write_index(out.parent)
    return manifest


def _precise_enough(
    config: RunConfig, runner: Runner, image: torch.Tensor, report: Callable[[str], None] | None
) -> RunConfig:
    """The same configuration, with an ascent in float32 if the network does not run in bfloat16."""
    try:
        with runner.without_gradients(), torch.autocast(image.device.type, torch.bfloat16):
            runner(image)
    except ForwardError as problem:
        if report is not None:
            line = brief(cause_of(problem))
            report(f"filter images are made in float32: the network does not run in bfloat16 ({line})")
        return replace(config, ascent=replace(config.ascent, precision="float32"))
    return config


def _tidy(context: RunContext, manifest: Manifest) -> None:
    """Put in order what a run killed at its very end has left: merged pieces, a digest not written."""
    works = {"scan": scan.WORKS, "gradients": gradients.WORKS, "ascent": ascent.WORKS}
    for name, pieces in works.items():
        if getattr(manifest.stages, name).complete:
            for work in pieces:
                PartialResults(context.out, work, "").remove_all()
    write_checksums(context.out)


@contextmanager
def _saying_what_is_kept(out: Path, reporter: Reporter) -> Iterator[None]:
    """Say, if the run is stopped, what is done and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        finished = [f"{count} of the {work}" for work, count in count_partial_results(out).items()]
        pieces = f", and of what is not, these finished pieces: {', '.join(finished)}" if finished else ""
        reporter.report(
            f"what is complete is kept in {str(out)!r}{pieces}; start the same command again to go on"
        )
        raise


def default_threads(out: Path) -> int:
    """Threads of the processor for one operation: as a store was begun with, else what torch takes."""
    try:
        return read_manifest(out).threads
    except LurkError:
        return torch.get_num_threads()


def _identity(wanted: Manifest) -> str:
    """The digest of all that decides what a scan gives."""
    scan_only = msgspec.structs.replace(
        wanted.stages, gradients=Stage(complete=False, config=None), ascent=Stage(complete=False, config=None)
    )
    # what is not read takes no part in it
    dataset = msgspec.structs.replace(wanted.dataset, skipped=[])
    return digest_records(
        msgspec.structs.replace(wanted, name="", title="", dataset=dataset, stages=scan_only)
    )


def _scanned(
    context: RunContext, manifest: Manifest | None, wanted: Manifest, device: torch.device
) -> Manifest:
    """The store's manifest when its scan is complete."""
    if "scan" not in context.config.stages:
        if manifest is None or not manifest.stages.scan.complete:
            raise LurkError(
                f"{str(context.out)!r} holds no scan to go on from: add scan to --stages (there are "
                f"{', '.join(context.config.stages)})"
            )
        return manifest
    if manifest is not None and manifest.stages.scan.complete:
        context.reporter.report("scan: complete already")
        return manifest
    # From here on the folder is a store, if only a beginning.
    begun = manifest or mark(context, wanted, "scan", wanted.stages.scan)
    return scan.run(context, begun, device)


class _Stage(Protocol):
    """A stage that extends a store: a module of `stages`."""

    WORKS: tuple[str, ...]

    def run(self, context: RunContext, manifest: Manifest) -> Manifest:
        """Make what is lacking."""

    def complete(self, context: RunContext, manifest: Manifest) -> bool:
        """Whether nothing is."""


def _extend(context: RunContext, manifest: Manifest, name: str, stage: _Stage) -> Manifest:
    """Do what a stage is asked for and has not done yet."""
    wanted = config_to_record(getattr(context.config, name))
    done: Stage = getattr(manifest.stages, name)
    if done.config is not None and context.config.overwrite and "scan" not in context.config.stages:
        manifest = done_nothing(context, forget(context, manifest, name), name, stage.WORKS)
        done = getattr(manifest.stages, name)
    lacks = context.group.broadcast(lambda: not (done.complete and stage.complete(context, manifest)))
    if not lacks:
        context.reporter.report(f"{name}: complete already")
        return manifest
    have = made(layer_files(context, manifest), name)
    manifest = mark(
        context, manifest, name, Stage(complete=False, config=wanted, made=have, fitted=done.fitted)
    )
    manifest = stage.run(context, manifest)
    have = made(layer_files(context, manifest), name)
    fitted = context.limiter.limit if done.fitted is None else context.limiter.cap(done.fitted)
    return mark(context, manifest, name, Stage(complete=True, config=wanted, made=have, fitted=fitted))


def done_nothing(context: RunContext, manifest: Manifest, name: str, works: tuple[str, ...]) -> Manifest:
    """The manifest of a store whose stage is forgotten, with its finished pieces."""
    if context.group.is_main:
        for work in works:
            PartialResults(context.out, work, "").remove_all()
    return mark(context, manifest, name, Stage(complete=False, config=None))


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


def _earlier(context: RunContext, wanted: Manifest) -> Manifest | None:
    """The manifest of an earlier run to go on from; `None` to begin anew.

    Raises:
        LurkError: the folder holds the result of something else.
    """
    if not (context.out / "network.json").exists():
        _refuse_foreign(context.out)
        return None
    if context.config.overwrite and "scan" in context.config.stages:
        _clear(context.out)
        return None
    found = read_manifest(context.out)
    names = [", ".join(layer.name for layer in manifest.layers) for manifest in (found, wanted)]
    for what in ("model", "input", "layers", "k", "device", "threads"):
        old, new = getattr(found, what), getattr(wanted, what)
        if old != new:
            old, new = names if what == "layers" and names[0] != names[1] else (old, new)
            raise LurkError(_differs(context, what, old, new))
    if found.dataset.digest != wanted.dataset.digest:
        raise LurkError(_differs(context, "images", found.dataset.name, wanted.dataset.name))
    if found.stages.scan.config != wanted.stages.scan.config:
        old, new = found.stages.scan.config, wanted.stages.scan.config
        raise LurkError(_differs(context, "scan", old, new))
    for name in ("gradients", "ascent"):
        done, asked = getattr(found.stages, name).config, config_to_record(getattr(context.config, name))
        if (
            name in context.config.stages
            and done
            and not same_results(done, asked)
            and not context.config.overwrite
        ):
            raise LurkError(
                f"{str(context.out)!r} has {name} made with {_change(done, asked)}: choose another --out, or "
                f"give --stages {name} --overwrite to make them anew"
            )
    return found


def _differs(context: RunContext, what: str, old: object, new: object) -> str:
    def brief(value: object) -> str:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return text if len(text) <= 80 else f"{text[:79]}…"

    return (
        f"{str(context.out)!r} was computed from other {what} ({brief(old)}, not {brief(new)}): "
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
    # The manifest first: without it there is no store, and nobody reads what is left of one.
    for name in ("network.json", "classes.json", "images.json", schema.CHECKSUMS, schema.PROGRESS):
        (out / name).unlink(missing_ok=True)
    for name in (PARTIAL, "images", "layers", *schema.PICTURE_KINDS):
        shutil.rmtree(out / name, ignore_errors=True)
