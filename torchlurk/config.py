"""What a run was asked to do: one frozen dataclass a stage, and what of it decides the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from torchlurk.attribution.relu_rules import Rule
from torchlurk.store.schema import STAGES, Config


@dataclass(frozen=True)
class ScanConfig:
    """The scan.

    Attributes:
        layers: patterns, see `graph.select`.
        k: images a list keeps.
        batch_size: images a forward; it moves the last digits of scores.
        shard_size: images a shard; no batch crosses into the next.
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
        filters: the first so many filters of each layer; `None` for all.
        method: the ReLU rule.
        certify: which crops are proved to explain their scores: of the `chosen` filters, or of `all`.
        batch_size: images' worth of pixels a batch.
    """

    filters: int | None = None
    method: Rule = "deconv"
    certify: str = "chosen"
    batch_size: int = 16


@dataclass(frozen=True)
class AscentConfig:
    """The ascent.

    Attributes:
        filters: the first so many filters of each layer; `None` for all.
        way: `fourier`, or `naive` for plain pixels, whose figures are fixed.
        objective: what is maximised, a key of `objectives.OBJECTIVES`.
        steps: of the optimiser, in the Fourier way.
        seed: of all randomness.
        batch_size: filters a batch; it moves the last digits of scores.
        precision: of the steps, `float32` or `bfloat16`.
    """

    filters: int | None = None
    way: str = "fourier"
    objective: str = "mean"
    steps: int = 64
    seed: int = 0
    batch_size: int = 8
    precision: str = "float32"


@dataclass(frozen=True)
class RunConfig:
    """A whole run.

    Attributes:
        stages: which of `scan`, `gradients`, `ascent`.
        workers: processes that decode images, and threads that write pictures; they do not change the result.
        overwrite: begin anew in a folder that holds another result.
    """

    scan: ScanConfig
    gradients: GradientsConfig
    ascent: AscentConfig
    stages: tuple[str, ...] = STAGES
    workers: int = 1
    overwrite: bool = False


def recorded(config: ScanConfig | GradientsConfig | AscentConfig) -> Config:
    """A stage's configuration as the manifest keeps it; `filters` of `None` is `"all"`."""
    values = {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()
    }
    if "filters" in values and values["filters"] is None:
        values["filters"] = "all"
    return values
