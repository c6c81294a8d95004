"""The values of the options of `torchlurk precompute`, and the options of a run that they stand for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchlurk.pipeline.config import CircuitsConfig, GradientsConfig, RunConfig, ScanConfig

if TYPE_CHECKING:
    import torch

    from torchlurk.runtime.distributed import ProcessGroup


@dataclass(frozen=True)
class PrecomputeArguments:
    """The values of the options."""

    model: str
    weights: str
    allow_unsafe_pickle: bool
    images: str
    data_root: Path | None
    out: Path
    words: Path | None
    layers: tuple[str, ...]
    filters: int | str
    top: int
    size: int | tuple[int, int] | None
    show_channels: tuple[int, ...] | None
    stages: tuple[str, ...]
    circuits: Any
    method: Any
    certify: Any
    device: str
    ascent: Any
    objective: Any
    precision: Any
    scan_precision: Any
    batch_size: int | None
    workers: int | None
    threads: int | None
    shard_size: int | None
    seed: int
    strict: bool
    overwrite: bool
    keep_activations: Any


def run_config(
    group: ProcessGroup,
    arguments: PrecomputeArguments,
    device: torch.device,
    input_size: tuple[int, int],
) -> RunConfig:
    """Return the options of a run.

    Args:
        group: The processes that share it; the main one reads the store that they continue.
        arguments: Values of the command's options.
        device: Device to compute on, which decides the defaults of some.
        input_size: `(H, W)` of the network's input, in pixels.
    """
    from torchlurk.pipeline import resume
    from torchlurk.runtime import devices
    from torchlurk.store.selection import Selection

    out, precision = arguments.out, arguments.precision
    replaced = arguments.overwrite and "scan" in arguments.stages
    scan_batch = group.broadcast(
        lambda: resume.default_scan_batch(out, device, input_size, overwrite=replaced)
    )
    batch_size = arguments.batch_size or devices.default_batch_size(device)
    return RunConfig(
        scan=ScanConfig(
            layers=arguments.layers,
            k=arguments.top,
            batch_size=arguments.batch_size or scan_batch,
            shard_size=arguments.shard_size or devices.default_shard_size(device),
            precision=arguments.scan_precision,
        ),
        circuits=CircuitsConfig(arguments.circuits),
        gradients=GradientsConfig(
            method=arguments.method,
            certify=arguments.certify,
            batch_size=devices.default_gradient_batch(device, batch_size),
            precision=group.broadcast(lambda: resume.default_gradients_precision(out, device)),
        ),
        ascent=replace(
            group.broadcast(lambda: resume.default_ascent_config(out, overwrite=arguments.overwrite)),
            strategy=arguments.ascent,
            objective=arguments.objective,
            seed=arguments.seed,
            batch_size=devices.default_ascent_batch(device, batch_size),
            precision=devices.fastest_precision(device) if precision == "auto" else precision,
        ),
        stages=arguments.stages,
        selection=Selection(filters=None if arguments.filters == "all" else int(arguments.filters)),
        workers=devices.default_workers(device) if arguments.workers is None else arguments.workers,
        threads=arguments.threads or group.broadcast(lambda: resume.default_threads(out)),
        overwrite=arguments.overwrite,
        keep_activations=arguments.keep_activations,
    )
