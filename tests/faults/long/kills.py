"""Runs that are killed at random moments and then resumed to the end."""

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
    "a run killed (SIGKILL) at a random moment, then resumed",
    "one of two processes of a shared run killed, then the run resumed",
)
MOMENTS = ("at the beginning", *(f"in {name}" for name in STAGES), "at the end")
"""The moments at which a run can be killed."""

TIMEOUT = 120
"""Seconds after which a run counts as hanging."""


def kill(trial: Trial) -> Iterator[Row]:
    """Kill runs of one process, then runs of two processes."""
    yield _kill_one(trial)
    yield _kill_one_of_two(trial)


def _run(out: str, workers: int) -> None:
    """Run all stages on a small network, in many small pieces."""
    torch.set_num_threads(1)
    golden_run(Path(out), shard_size=2, batch_size=2, filters=None, workers=workers)


def _start(context: ForkServerContext, out: Path, workers: int) -> multiprocessing.process.BaseProcess:
    process = context.Process(target=_run, args=(str(out), workers))
    process.start()
    return process


def _kill_one(trial: Trial) -> Row:
    # Runs are forked from a server that has imported torch: they start in milliseconds, not seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.long.kills"])
    began = time.monotonic()
    _start(context, trial.folder / "warm/branching", 0).join(TIMEOUT)
    began = time.monotonic()
    _start(context, trial.folder / "expected/branching", 0).join(TIMEOUT)
    duration = time.monotonic() - began
    expected = tree(trial.folder / "expected")
    kills = survived = differing = number = 0
    wrong: list[str] = []
    moments_hit: Counter[str] = Counter()
    while kills < trial.count:
        number += 1
        root = trial.folder / f"{number}"
        kills_here = 0
        for _ in range(trial.random.randint(1, 6)):
            process = _start(context, root / "branching", number % 2)
            process.join(trial.random.uniform(0.02, duration))
            if process.is_alive():
                kills_here += 1
                process.kill()
                process.join()
                moments_hit[_current_moment(root / "branching")] += 1
            process.join()
        process = _start(context, root / "branching", number % 2)
        process.join(TIMEOUT)
        wrong_bytes = differences(expected, tree(root)) if process.exitcode == 0 else 0
        kills += kills_here
        differing += wrong_bytes
        if process.exitcode == 0 and not wrong_bytes:
            survived += kills_here
        else:
            wrong.append(
                f"run {number}, killed {kills_here} times: exit {process.exitcode},"
                f" {wrong_bytes} bytes differ"
            )
        shutil.rmtree(root)
    moments = ", ".join(f"{moments_hit[when]} {when}" for when in MOMENTS)
    return Row(
        FAULTS[0],
        kills,
        survived,
        differing,
        measured=f"in {number} runs of {duration:.1f} s: {moments}",
        wrong=tuple(wrong),
    )


def _current_moment(store: Path) -> str:
    """Return the moment at which a run was killed, one of `MOMENTS`, from the state of its store."""
    if not (store / "network.json").exists():
        return MOMENTS[0]
    stages = read_manifest(store).stages
    return next((f"in {name}" for name in STAGES if not getattr(stages, name).complete), MOMENTS[-1])


KILLS_PER_GROUP = 20
"""Kills of single processes for each kill in a run of two processes, which takes much longer."""


def _kill_one_of_two(trial: Trial) -> Row:
    began = time.monotonic()
    _torchrun(trial.folder / "two/branching").wait(TIMEOUT)
    duration = time.monotonic() - began
    expected = tree(trial.folder / "two")
    tried = max(1, trial.count // KILLS_PER_GROUP)
    survived = differing = 0
    wrong: list[str] = []
    for number in range(tried):
        root = trial.folder / f"group-{number}"
        agent = _torchrun(root / "branching")
        # Kill at a random moment after both processes have started to compute.
        while not (root / "branching/network.json").exists() and agent.poll() is None:
            time.sleep(0.01)
        time.sleep(trial.random.uniform(0, duration / 4))
        ranks = [int(pid) for pid in _children(agent.pid)]
        if ranks:
            os.kill(trial.random.choice(ranks), 9)
        code = agent.wait(TIMEOUT)
        again = _torchrun(root / "branching").wait(TIMEOUT)
        wrong_bytes = differences(expected, tree(root))
        differing += wrong_bytes
        if again == 0 and not wrong_bytes:
            survived += 1
        else:
            wrong.append(f"{number}: exit {code}, then {again}, {wrong_bytes} bytes differ")
        shutil.rmtree(root)
    return Row(
        FAULTS[1], tried, survived, differing, measured=f"runs of {duration:.1f} s", wrong=tuple(wrong)
    )


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


def differences(first: dict[str, bytes], second: dict[str, bytes]) -> int:
    """Return the number of differing bytes of two folders, including files that only one of them has."""
    return sum(
        difference(first.get(name, b""), second.get(name, b"")) for name in first.keys() | second.keys()
    )


KIND = Kind("kills", FAULTS, kill, long=200, short=6)
