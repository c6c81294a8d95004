"""Timing with interleaved repeats and medians, and a description of the machine."""

from __future__ import annotations

import gc
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        work: The task that is measured.
        baseline: The method that Torchlurk is compared with.
        ours: Median seconds of Torchlurk.
        theirs: Median seconds of the baseline.
        ratio: The ratio that `goal` refers to.
        goal: A description of the goal.
        reached: Whether the goal is reached.
        note: Other measurements.
    """

    work: str
    baseline: str
    ours: float
    theirs: float
    ratio: float
    goal: str
    reached: bool
    note: str = ""


def interleaved(contestants: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each contestant; they run in turn, so that drift affects all of them equally."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            gc.collect()
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy within the context, by a process that computes nothing of use."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine() -> dict[str, str | int]:
    """Return the processor, the thread count and the torch version."""
    model = platform.processor()
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
                break
    return {
        "processor": model,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def ceilings() -> dict[str, float]:
    """Measure the peak arithmetic of the machine in GFLOP/s per dtype, and its memory copy rate in GB/s."""
    rates = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = torch.randn(2048, 2048, dtype=dtype), torch.randn(2048, 2048, dtype=dtype)
        best = min(_seconds(lambda a=a, b=b: a @ b) for _ in range(6))
        rates[f"{name} GFLOP/s"] = 2 * 2048**3 / best / 1e9
    source = torch.randn(64 * 1024 * 1024)
    target = torch.empty_like(source)
    best = min(_seconds(lambda: target.copy_(source)) for _ in range(5))
    rates["copy GB/s"] = 2 * source.numel() * 4 / best / 1e9
    return rates


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
