"""The stages in their order: scan, circuits, gradients, ascent.

Each leaves the store complete up to itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from torchlurk.datasets.batches import probe_inputs
from torchlurk.datasets.images import ImageSet
from torchlurk.errors import LurkError, Option
from torchlurk.graph import PROBE_IMAGES, check_differentiable, prepare
from torchlurk.models.exceptions import short_message
from torchlurk.models.isolation import isolated
from torchlurk.models.network import Network
from torchlurk.models.runner import ForwardError, Runner, original_exception
from torchlurk.pipeline.config import RunConfig, config_to_record
from torchlurk.pipeline.image_source import open_source
from torchlurk.pipeline.preload import images_without_pictures, preload_images
from torchlurk.pipeline.progress import report_progress
from torchlurk.pipeline.resume import open_existing, report_interruption, scan_identity
from torchlurk.pipeline.stages import ascent, circuits, gradients, scan
from torchlurk.pipeline.stages.activations import add_activations, lacks_activations
from torchlurk.pipeline.stages.context import (
    RunContext,
    completed_runs,
    read_layer_files,
    requested_channels,
    reset_stage,
    update_stage,
)
from torchlurk.pipeline.stages.encoders import encoder_pool, picture_encoders
from torchlurk.pipeline.stages.manifest import new_manifest
from torchlurk.runtime.devices import BatchLimiter, cpu_threads, deterministic_float32
from torchlurk.runtime.distributed import ProcessGroup
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.packs import remove_all_unnamed_packs
from torchlurk.store.partial import PartialResults
from torchlurk.store.schema import Manifest, Stage
from torchlurk.store.write import (
    check_writable,
    exclusive_lock,
    remove_temporary_files,
    write_checksums,
    write_index,
)


def precompute(
    network: Network,
    images: ImageSet,
    out: Path,
    config: RunConfig,
    device: torch.device,
    reporter: Reporter,
    group: ProcessGroup | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Manifest:
    """Run the requested stages that are not complete, and write the store.

    An interrupted run resumes: shards and blocks that it finished are not computed again, and the store is
    the same as that of an uninterrupted run.

    Args:
        network: The network to examine. Its state is restored afterwards.
        images: The images to show to it.
        out: Folder of the store.
        config: Options of the run.
        device: Device to compute on.
        reporter: Receives messages and progress.
        group: Processes that share the run. Each calls this function with the same arguments. By default,
            this process alone.
        clock: Returns seconds since any fixed time; it decides how often `progress.json` is written.
        sleep: Waits for a number of seconds while other processes compute.

    Returns:
        The manifest of the store.

    Raises:
        LurkError: The input cannot be used, or another run writes to the folder. Results of earlier runs
            are kept.
    """
    group = group or ProcessGroup()
    with ExitStack() as stack:
        if group.is_main:
            check_writable(out)
            stack.enter_context(exclusive_lock(out))
            remove_temporary_files(out)
            stack.enter_context(report_interruption(out, reporter))
            reporter = stack.enter_context(report_progress(reporter, out, clock))
        group.barrier()
        stack.enter_context(isolated(network.module, device, network.shape))
        stack.enter_context(deterministic_float32(device))
        stack.enter_context(cpu_threads(config.threads))
        encoders = stack.enter_context(picture_encoders(encoder_pool(config.workers)))
        probes = probe_inputs(images, network.preprocess, PROBE_IMAGES).to(device)
        runner, graph = prepare(network.module, network.shape, config.scan.layers, probes)
        if set(config.stages) - {"scan"}:
            check_differentiable(runner, graph, probes[:1])
        stack.enter_context(runner.in_memory_format())
        if "ascent" in config.stages and config.ascent.precision == "bfloat16":
            report = reporter.report if group.is_main else None
            config = _with_supported_precision(config, runner, probes[:1], report)
        source = open_source(network, images, device)
        limiter = BatchLimiter(reporter.report)
        context = RunContext(
            network, images, graph, runner, source, out, config, reporter, encoders, group, limiter, sleep
        )
        new = new_manifest(context, device, [])
        context = replace(context, identity=scan_identity(new))
        requested_channels(context)  # refuses an impossible selection before anything is computed or deleted
        manifest = _run_scan(context, group.broadcast(lambda: open_existing(context, new)), new, device)
        for name, stage in _LATER_STAGES.items():
            if name in config.stages:
                manifest = _run_stage(context, manifest, name, stage)
        if group.is_main:
            _finish(context, manifest)
            write_index(out.parent)
    return manifest


def _with_supported_precision(
    config: RunConfig, runner: Runner, image: torch.Tensor, report: Callable[[str], None] | None
) -> RunConfig:
    """Return the options with an ascent in float32 if the network does not run in bfloat16."""
    try:
        with runner.without_gradients(), torch.autocast(image.device.type, torch.bfloat16):
            runner(image)
    except ForwardError as problem:
        if report is not None:
            line = short_message(original_exception(problem))
            report(f"filter images are made in float32: the network does not run in bfloat16 ({line})")
        return replace(config, ascent=replace(config.ascent, precision="float32"))
    return config


def _run_scan(
    context: RunContext, existing: Manifest | None, new: Manifest, device: torch.device
) -> Manifest:
    """Run the scan unless it is complete; return the manifest of the store."""
    if "scan" not in context.config.stages:
        if existing is None or not existing.stages.scan.complete:
            raise LurkError(
                f"{str(context.out)!r} holds no complete scan, which {', '.join(context.config.stages)} need",
                ("add scan to ", Option("stages")),
            )
        return existing
    if existing is not None and existing.stages.scan.complete:
        if lacks_activations(context, existing):
            return add_activations(context, existing, device)
        context.reporter.report("scan: complete already")
        return existing
    # From here on the folder is a store, although an incomplete one.
    manifest = existing or update_stage(context, new, "scan", new.stages.scan)
    return scan.run(context, manifest, device)


class _Stage(Protocol):
    """A stage that extends a scanned store: a module of `stages`."""

    TASKS: tuple[str, ...]

    def run(self, context: RunContext, manifest: Manifest) -> Manifest:
        """Compute what the requested filters lack."""

    def is_complete(self, context: RunContext, manifest: Manifest) -> bool:
        """Return whether the requested filters lack nothing."""

    def delete_results(self, context: RunContext, manifest: Manifest) -> None:
        """Delete what the stage has written."""


_LATER_STAGES: Mapping[str, _Stage] = {"circuits": circuits, "gradients": gradients, "ascent": ascent}
"""The stages after the scan, in order."""


def _run_stage(context: RunContext, manifest: Manifest, name: str, stage: _Stage) -> Manifest:
    """Run a stage unless it is complete; return the manifest of the store."""
    config = config_to_record(getattr(context.config, name))
    before: Stage = getattr(manifest.stages, name)
    if before.config is not None and context.config.overwrite and "scan" not in context.config.stages:
        manifest = reset_stage(context, manifest, name, stage.TASKS, stage.delete_results)
        before = getattr(manifest.stages, name)
    if context.group.broadcast(lambda: before.complete and stage.is_complete(context, manifest)):
        context.reporter.report(f"{name}: complete already")
        return manifest
    if name == "gradients":
        preload_images(context, images_without_pictures(context, manifest, name))
    runs = completed_runs(read_layer_files(context, manifest), name)
    running = Stage(complete=False, config=config, made=runs, fitted=before.fitted)
    manifest = stage.run(context, update_stage(context, manifest, name, running))
    runs = completed_runs(read_layer_files(context, manifest), name)
    fitted = context.limiter.limit if before.fitted is None else context.limiter.cap(before.fitted)
    return update_stage(
        context, manifest, name, Stage(complete=True, config=config, made=runs, fitted=fitted)
    )


def _finish(context: RunContext, manifest: Manifest) -> None:
    """Remove what is not needed any more and write all digests, in case a killed run did not."""
    tasks = {"scan": scan.TASKS} | {name: stage.TASKS for name, stage in _LATER_STAGES.items()}
    for name, names in tasks.items():
        if getattr(manifest.stages, name).complete:
            for task in names:
                PartialResults(context.out, task, "").remove_all()
    remove_all_unnamed_packs(context.out, manifest)
    write_checksums(context.out)
