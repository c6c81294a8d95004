"""Timing that can be trusted: interleaved repeats, medians, and the setting they were taken in."""

from __future__ import annotations

import gc
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        work: what was done.
        beside: what it is compared with.
        ours: median seconds.
        theirs: median seconds.
        ratio: the figure of the row; `goal` says of which two.
        goal: what to reach, in words.
        reached: whether it was.
        note: anything else that was measured.
    """

    work: str
    beside: str
    ours: float
    theirs: float
    ratio: float
    goal: str
    reached: bool
    note: str = ""


def interleaved(contestants: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each contestant, run in turn, so that a drift of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            gc.collect()
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


def peak_memory() -> int:
    """Most bytes of memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine() -> dict[str, str | int]:
    """What the figures were taken on."""
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
    """What the machine does at most: arithmetic in GFLOP/s by type, and memory in GB/s."""
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = torch.randn(2048, 2048, dtype=dtype), torch.randn(2048, 2048, dtype=dtype)
        best = min(_seconds(lambda a=a, b=b: a @ b) for _ in range(6))
        found[f"{name} GFLOP/s"] = 2 * 2048**3 / best / 1e9
    source = torch.randn(64 * 1024 * 1024)
    target = torch.empty_like(source)
    best = min(_seconds(lambda: target.copy_(source)) for _ in range(5))
    found["copy GB/s"] = 2 * source.numel() * 4 / best / 1e9
    return found


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
