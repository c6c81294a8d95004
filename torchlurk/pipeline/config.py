"""Options of a run: one frozen dataclass per stage, with the defaults.

To add an option of `torchlurk precompute`, add a field to the dataclass of its stage, add the command-line
option in `cli/precompute.py`, and read `context.config` in the stage.

This module does not import torch, so that the command line and `Lurk` can show the defaults without loading
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from torchlurk.ascent.objectives import ObjectiveName
from torchlurk.attribution.relu_rules import ReluRule
from torchlurk.store.schema import STAGES, CircuitImages, Config
from torchlurk.store.selection import Selection

Strategy = Literal["fourier", "naive"]
"""How filter images are parametrised, see `AscentConfig`."""

KeepActivations = Literal["auto", "yes", "no"]
"""Whether a scan keeps the activations of all images; `auto` if they take at most 2 GB."""

Certify = Literal["chosen", "all"]
"""Which crops get a certificate, see `GradientsConfig`."""


@dataclass(frozen=True)
class ScanConfig:
    """Options of the scan.

    Attributes:
        layers: Patterns of layers to scan, see `graph.selection`.
        k: Number of images in each top list.
        batch_size: Images per forward pass; it affects the last digits of scores.
        shard_size: Images per shard, the unit of work that is saved. An interrupted run loses at most one
            shard per process. No batch spans two shards.
        precision: `float32`, or `bfloat16` for a first pass whose candidates are then scored again in
            float32.
    """

    layers: tuple[str, ...] = ("kind:Conv2d",)
    k: int = 4
    batch_size: int = 8
    shard_size: int = 256
    precision: str = "float32"


@dataclass(frozen=True)
class CircuitsConfig:
    """Options of the circuits.

    Attributes:
        images: The units whose contributions are averaged: those of the filters' `max` lists (`top`), or the
            strongest unit of every filter in every image (`all`).
    """

    images: CircuitImages = "top"


@dataclass(frozen=True)
class GradientsConfig:
    """Options of the gradients.

    Attributes:
        method: Rule for the backward pass of ReLUs.
        certify: Which crops are scored again alone, to certify that they explain their scores: those of the
            `chosen` filters, or those of `all` filters of the chosen layers.
        batch_size: Number of pixels per batch, as a multiple of the pixels of one input image.
        precision: `float32` or `bfloat16`, of the backward pass of large convolutions. Scores and
            certificates are computed in float32. Stores record it only if it is not `float32`.
    """

    method: ReluRule = "deconv"
    certify: Certify = "chosen"
    batch_size: int = 16
    precision: str = "float32"


@dataclass(frozen=True)
class AscentConfig:
    """Options of the gradient ascent.

    Attributes:
        strategy: `fourier` (Olah et al. 2017, https://distill.pub/2017/feature-visualization/), or `naive`
            for plain pixels (Erhan et al. 2009), whose hyperparameters are fixed. Stores record it as `way`.
        objective: What is maximised, a key of `objectives.OBJECTIVES`.
        steps: Optimiser steps of the `fourier` strategy, half as many for an image of several sizes.
        resolutions: Number of sizes of the image during the `fourier` strategy, see `AscentParams`.
        seed: Seed of all random numbers.
        batch_size: Number of filters that are optimised together. It affects the last digits of scores.
        precision: `float32` or `bfloat16`, of the optimiser steps.
    """

    strategy: Strategy = "fourier"
    objective: ObjectiveName = "mean"
    steps: int = 42
    resolutions: int = 3
    seed: int = 0
    batch_size: int = 4
    precision: str = "float32"


@dataclass(frozen=True)
class RunConfig:
    """Options of a whole run.

    Attributes:
        scan: Options of the scan.
        gradients: Options of the gradients.
        ascent: Options of the gradient ascent.
        circuits: Options of the circuits.
        stages: Which of `scan`, `circuits`, `gradients` and `ascent` to run.
        selection: Filters that gradients and ascent are computed for. It decides which filters a store has
            pictures of, never what the pictures look like; pictures of filters that were selected earlier
            stay.
        workers: Processes that decode images, and threads that encode pictures; the result does not depend on
            it.
        threads: CPU threads per operation; it affects the last digits of scores.
        overwrite: Recompute the requested stages even if the store has them.
        keep_activations: Whether to keep the maxima, means and positions of all images. `yes` also adds them
            to a store without them.
    """

    scan: ScanConfig
    gradients: GradientsConfig
    ascent: AscentConfig
    circuits: CircuitsConfig = field(default_factory=CircuitsConfig)
    stages: tuple[str, ...] = STAGES
    selection: Selection = field(default_factory=Selection)
    workers: int = 1
    threads: int = 1
    overwrite: bool = False
    keep_activations: KeepActivations = "auto"


@dataclass(frozen=True)
class SessionOptions:
    """Options of a `Lurk` other than network, images and folder; see `Lurk` for their meaning."""

    top: int = ScanConfig.k
    layers: tuple[str, ...] = ScanConfig.layers
    names: tuple[str, ...] | None = None
    source: str | None = None
    weights: str | None = None
    size: int | tuple[int, int] | None = None
    words: Path | None = None
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    threads: int | None = None
    seed: int = AscentConfig.seed
    progress: bool | None = None


_RECORDED_NAMES: Mapping[str, str] = MappingProxyType({"strategy": "way"})
"""Names in the store of options that are named otherwise in the code."""

FORMER_VALUES: Mapping[str, object] = MappingProxyType({"resolutions": 1})
"""What stores without an option were computed with."""

_SELECTION_KEYS = ("certify", "filters")
"""Options that select filters and do not affect their results; stores written by early versions recorded
them."""


def config_to_record(config: ScanConfig | CircuitsConfig | GradientsConfig | AscentConfig) -> Config:
    """Return a stage's options as the manifest records them: those that affect the results of a filter."""
    record = {
        _RECORDED_NAMES.get(name, name): list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
        if name not in _SELECTION_KEYS
    }
    if isinstance(config, GradientsConfig) and config.precision == GradientsConfig.precision:
        # Stores written by early versions have no precision, and are to be equal.
        del record["precision"]
    return record


def same_results(first: Config | None, second: Config | None) -> bool:
    """Return whether two recorded configurations give the same results for a filter."""
    if first is None or second is None:
        return first is second
    names = (first.keys() | second.keys()) - set(_SELECTION_KEYS)
    former = FORMER_VALUES
    return all(first.get(name, former.get(name)) == second.get(name, former.get(name)) for name in names)
