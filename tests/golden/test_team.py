"""Tests of runs that processes share, and of runs that do not fit into memory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.golden.network import Branching, golden_network
from tests.golden.run import QUIET, golden_run
from tests.golden.test_golden import files
from torchlurk.errors import LurkError
from torchlurk.runtime.distributed import init_from_env
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import STAGES

ROOT = Path(__file__).parents[2]


def test_processes_that_share_a_run_write_the_bytes_of_one(tmp_path: Path) -> None:
    golden_run(tmp_path / "one/branching", shard_size=2, batch_size=2, filters=None)
    golden_run(tmp_path / "one/all", shard_size=2, batch_size=2, stages=("scan", "circuits"), circuits="all")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3",
        "-m", "tests.golden.team", str(tmp_path / "three/branching"), str(tmp_path / "three/all"),
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert files(tmp_path / "three") == files(tmp_path / "one")


def test_a_process_without_the_others_is_refused() -> None:
    alone = {"RANK": "0", "WORLD_SIZE": "2"}
    with pytest.raises(LurkError, match="process 0 of 2 cannot reach the others"), init_from_env(alone):
        pass


class Hungry(nn.Module):
    """The golden network, which runs out of memory above a batch size."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.inner = Branching()
        self.inner.load_state_dict(golden_network().module.state_dict())
        self.room = room
        self.refused = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.room:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.inner(x)


def test_batches_are_halved_until_they_fit_into_memory(tmp_path: Path) -> None:
    said: list[str] = []
    model = Hungry(1)
    network = replace(golden_network(), module=model.eval())
    golden_run(tmp_path / "branching", network=network, reporter=replace(QUIET, report=said.append))
    assert len([line for line in said if "does not fit" in line]) == 1
    assert model.refused == 0  # the count is restored after each forward pass
    stages = read_manifest(tmp_path / "branching").stages
    assert [getattr(stages, name).fitted for name in STAGES] == [1, 1, 1, 1]
    assert inspect(tmp_path / "branching").problems == ()
