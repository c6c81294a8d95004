"""The golden run; `python -m tests.golden.run` writes its expected result again."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path

import torch

from tests.golden.network import golden_network, write_images
from torchlurk.attribution.relu_rules import ReluRule
from torchlurk.datasets.image_folder import list_images
from torchlurk.models.network import Network
from torchlurk.pipeline.config import (
    AscentConfig,
    CircuitsConfig,
    GradientsConfig,
    KeepActivations,
    RunConfig,
    ScanConfig,
)
from torchlurk.pipeline.pipeline import precompute
from torchlurk.runtime.distributed import ProcessGroup
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.schema import STAGES, CircuitImages
from torchlurk.store.selection import Selection

EXPECTED = Path(__file__).parent / "expected"
CPU = torch.device("cpu")
QUIET = Reporter(report=lambda line: None, bar=lambda label, total, unit: nullcontext(lambda n: None))


def golden_run(
    out: Path,
    *,
    batch_size: int = 4,
    workers: int = 0,
    filters: int | tuple[int, ...] | None = 2,
    layers: tuple[str, ...] | None = None,
    method: ReluRule = "deconv",
    stages: tuple[str, ...] = STAGES,
    overwrite: bool = False,
    shard_size: int = 256,
    reporter: Reporter = QUIET,
    network: Network | None = None,
    group: ProcessGroup | None = None,
    device: torch.device = CPU,
    resolutions: int = 3,
    circuits: CircuitImages = "top",
    keep_activations: KeepActivations = "auto",
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "waves"
        write_images(images)
        config = RunConfig(
            scan=ScanConfig(k=3, batch_size=batch_size, shard_size=shard_size),
            circuits=CircuitsConfig(circuits),
            gradients=GradientsConfig(method=method),
            ascent=AscentConfig(steps=8, resolutions=resolutions),
            selection=Selection(layers, filters),
            workers=workers,
            stages=stages,
            overwrite=overwrite,
            keep_activations=keep_activations,
        )
        network = network or golden_network()
        precompute(network, list_images(images), out, config, device, reporter, group)


if __name__ == "__main__":
    shutil.rmtree(EXPECTED, ignore_errors=True)
    golden_run(EXPECTED / "branching")
