"""What a run was asked to do: one frozen dataclass a stage, and what of it decides the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from torchlurk.store.schema import STAGES, Config
from torchlurk.store.selection import Selection

if TYPE_CHECKING:
    from torchlurk.attribution.relu_rules import Rule


@dataclass(frozen=True)
class ScanConfig:
    """The scan.

    Attributes:
        layers: patterns, see `graph.select`.
        k: images a list keeps.
        batch_size: images a forward; it moves the last digits of scores.
        shard_size: images a shard, which is what a stop can lose; no batch crosses into the next.
        precision: of the forward, `float32`, or `bfloat16` with the candidates scored again in float32.
    """

    layers: tuple[str, ...] = ("kind:Conv2d",)
    k: int = 4
    batch_size: int = 8
    shard_size: int = 256
    precision: str = "float32"


@dataclass(frozen=True)
class GradientsConfig:
    """The gradients.

    Attributes:
        method: the ReLU rule.
        certify: which crops are proved to explain their scores: of the `chosen` filters, or of `all` of their
            layers.
        batch_size: images' worth of pixels a batch.
    """

    method: Rule = "deconv"
    certify: str = "chosen"
    batch_size: int = 16


@dataclass(frozen=True)
class AscentConfig:
    """The ascent.

    Attributes:
        way: `fourier`, or `naive` for plain pixels, whose figures are fixed.
        objective: what is maximised, a key of `objectives.OBJECTIVES`.
        steps: of the optimiser, in the Fourier way.
        seed: of all randomness.
        batch_size: filters a block, see `rendering.ascent_pictures`; it moves the last digits of scores.
        precision: of the steps, `float32` or `bfloat16`.
    """

    way: str = "fourier"
    objective: str = "mean"
    steps: int = 64
    seed: int = 0
    batch_size: int = 4
    precision: str = "float32"


@dataclass(frozen=True)
class RunConfig:
    """A whole run.

    Attributes:
        stages: which of `scan`, `gradients`, `ascent`.
        chosen: the filters that gradients and ascent are wanted of. It decides how much there is in a store,
            never what: filters that were asked for earlier stay.
        workers: processes that decode images, and threads that write pictures; they do not change the result.
        threads: of the processor, for one operation; they may move the last digits.
        overwrite: make the stages that are asked for anew, whatever the folder holds of them.
    """

    scan: ScanConfig
    gradients: GradientsConfig
    ascent: AscentConfig
    stages: tuple[str, ...] = STAGES
    chosen: Selection = field(default_factory=Selection)
    workers: int = 1
    threads: int = 1
    overwrite: bool = False


WHICH = ("certify", "filters")
"""Keys that say which filters a stage is for, not how it is done; stores of before may have them recorded."""


def recorded(config: ScanConfig | GradientsConfig | AscentConfig) -> Config:
    """A stage's configuration as the manifest keeps it: what decides the bytes of each filter."""
    values = asdict(config).items()
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in values if key not in WHICH
    }


def alike(one: Config | None, other: Config | None) -> bool:
    """Whether two recorded configurations make the same of a filter."""
    if one is None or other is None:
        return one is other
    plain = [{key: value for key, value in config.items() if key not in WHICH} for config in (one, other)]
    return plain[0] == plain[1]
