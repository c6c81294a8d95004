"""Runs killed at random moments, again and again, each then gone on with to the end."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import torch

from tests.faults.long.commands import difference, tree
from tests.faults.long.harness import ROOT, Kind, Row, Trial
from tests.golden.run import golden_run
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import STAGES

FAULTS = (
    "a run killed (SIGKILL) at a random moment, and gone on with",
    "one of two processes that share a run killed, and the run started again",
)
MOMENTS = ("at the beginning", *(f"in {name}" for name in STAGES), "at the end")
"""When a run is killed."""

ENDS_IN = 120
"""Seconds after which a run that should end is taken to hang."""


def kill(trial: Trial) -> Iterator[Row]:
    """Kill runs of one process, then of two."""
    yield _kill_one(trial)
    yield _kill_of_two(trial)


def _run(out: str, workers: int) -> None:
    """What is killed: all stages on a small network, in many small pieces."""
    torch.set_num_threads(1)
    golden_run(Path(out), shard_size=2, batch_size=2, filters=None, workers=workers)


def _start(context: ForkServerContext, out: Path, workers: int) -> multiprocessing.process.BaseProcess:
    process = context.Process(target=_run, args=(str(out), workers))
    process.start()
    return process


def _kill_one(trial: Trial) -> Row:
    # A server that has torch already, from which runs are forked: starting costs milliseconds, not seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.long.kills"])
    began = time.monotonic()
    _start(context, trial.folder / "warm/branching", 0).join(ENDS_IN)
    began = time.monotonic()
    _start(context, trial.folder / "whole/branching", 0).join(ENDS_IN)
    lasts = time.monotonic() - began
    whole = tree(trial.folder / "whole")
    kills = survived = differing = number = 0
    wrong: list[str] = []
    fell: Counter[str] = Counter()
    while kills < trial.count:
        number += 1
        root = trial.folder / f"{number}"
        here = 0
        for _ in range(trial.random.randint(1, 6)):
            process = _start(context, root / "branching", number % 2)
            process.join(trial.random.uniform(0.02, lasts))
            if process.is_alive():
                here += 1
                process.kill()
                process.join()
                fell[_under_way(root / "branching")] += 1
            process.join()
        process = _start(context, root / "branching", number % 2)
        process.join(ENDS_IN)
        wrong_bytes = differences(whole, tree(root)) if process.exitcode == 0 else 0
        kills += here
        differing += wrong_bytes
        if process.exitcode == 0 and not wrong_bytes:
            survived += here
        else:
            wrong.append(
                f"run {number}, killed {here} times: exit {process.exitcode}, {wrong_bytes} bytes differ"
            )
        shutil.rmtree(root)
    moments = ", ".join(f"{fell[when]} {when}" for when in MOMENTS)
    return Row(
        FAULTS[0],
        kills,
        survived,
        differing,
        measured=f"in {number} runs of {lasts:.1f} s: {moments}",
        wrong=tuple(wrong),
    )


def _under_way(store: Path) -> str:
    """When a run was killed, one of `MOMENTS`, by what the store holds."""
    if not (store / "network.json").exists():
        return MOMENTS[0]
    stages = read_manifest(store).stages
    return next((f"in {name}" for name in STAGES if not getattr(stages, name).complete), MOMENTS[-1])


TEAM_SHARE = 20
"""Kills of one process for each of one of two, which take so much longer."""


def _kill_of_two(trial: Trial) -> Row:
    began = time.monotonic()
    _torchrun(trial.folder / "two/branching").wait(ENDS_IN)
    lasts = time.monotonic() - began
    whole = tree(trial.folder / "two")
    tried = max(1, trial.count // TEAM_SHARE)
    survived = differing = 0
    wrong: list[str] = []
    for number in range(tried):
        root = trial.folder / f"team-{number}"
        agent = _torchrun(root / "branching")
        # Anywhere from where both have begun to compute to the end.
        while not (root / "branching/network.json").exists() and agent.poll() is None:
            time.sleep(0.01)
        time.sleep(trial.random.uniform(0, lasts / 4))
        ranks = [int(pid) for pid in _children(agent.pid)]
        if ranks:
            os.kill(trial.random.choice(ranks), 9)
        code = agent.wait(ENDS_IN)
        again = _torchrun(root / "branching").wait(ENDS_IN)
        wrong_bytes = differences(whole, tree(root))
        differing += wrong_bytes
        if again == 0 and not wrong_bytes:
            survived += 1
        else:
            wrong.append(f"{number}: exit {code}, then {again}, {wrong_bytes} bytes differ")
        shutil.rmtree(root)
    return Row(FAULTS[1], tried, survived, differing, measured=f"runs of {lasts:.1f} s", wrong=tuple(wrong))


def _torchrun(out: Path) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    return subprocess.Popen(
        [*command, "-m", "tests.golden.team", str(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _children(pid: int) -> list[str]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return path.read_text().split() if path.exists() else []


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> int:
    """How many bytes of two folders are not the same; all of a file that only one has."""
    return sum(difference(one.get(name, b""), other.get(name, b"")) for name in one.keys() | other.keys())


KIND = Kind("kills", FAULTS, kill, long=200, short=6)
