"""Record the stages of a part while they run: seconds, progress, memory and utilisation of the device.

The record is a file that is written again every second, so that a part that is killed leaves what it has
measured.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from torchlurk.runtime.reporting import Reporter

_INTERVAL = 1.0
"""Seconds between two states of the file."""

_QUERY = ("--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-lms", "250")


class Recorder:
    """A record of named stages, and of other facts."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Begin a record.

        Args:
            path: The file.
            device: The device whose memory is measured.
        """
        self.facts: dict[str, Any] = {"complete": False, "stages": [], "lines": []}
        self._path = path
        self._device = device
        self._lock = threading.Lock()
        self._samples: list[tuple[float, float]] = []
        self._stop = threading.Event()

    def write(self) -> None:
        """Write the file, as a whole or not at all."""
        with self._lock:
            text = json.dumps(self.facts, indent=1)
            draft = self._path.with_suffix(".draft")
            draft.write_text(text, encoding="utf-8")
            draft.replace(self._path)

    @contextmanager
    def running(self) -> Iterator[Recorder]:
        """Write the file and sample the device every second; at the end the record is complete."""
        smi = _start_smi() if self._device.type == "cuda" else None
        threads = [threading.Thread(target=self._write_often, daemon=True)]
        if smi is not None:
            threads.append(threading.Thread(target=self._sample, args=(smi,), daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield self
            self.facts["complete"] = True
        except BaseException as problem:
            self.facts["error"] = f"{type(problem).__name__}: {problem}"[:2000]
            raise
        finally:
            self._stop.set()
            if smi is not None:
                smi.kill()
                smi.wait()
            self.write()

    def _write_often(self) -> None:
        while not self._stop.wait(_INTERVAL):
            with suppress(RuntimeError):  # the part has added to a dict meanwhile
                self.write()

    def _sample(self, smi: subprocess.Popen[str]) -> None:
        """Append what nvidia-smi prints; it may print anything, or end."""
        assert smi.stdout is not None
        for line in smi.stdout:
            try:
                utilisation, memory = (float(part) for part in line.split(","))
            except ValueError:
                continue
            self._samples.append((utilisation, memory))

    @contextmanager
    def stage(self, name: str, total: int = 0, unit: str = "") -> Iterator[Callable[[int], object]]:
        """Record a stage.

        Args:
            name: Its name.
            total: Number of items.
            unit: What an item is.

        Yields:
            A function that counts finished items.
        """
        entry: dict[str, Any] = {"name": name, "total": total, "unit": unit, "done": 0, "seconds": 0.0}
        self.facts["stages"].append(entry)
        cuda = self._device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats(self._device)
        first_sample, begin = len(self._samples), time.perf_counter()

        def advance(count: int) -> None:
            entry["done"] += count
            entry["seconds"] = round(time.perf_counter() - begin, 3)

        try:
            yield advance
        finally:
            if cuda:
                torch.cuda.synchronize(self._device)
                entry["peak_allocated_mib"] = round(torch.cuda.max_memory_allocated(self._device) / 2**20)
                entry["peak_reserved_mib"] = round(torch.cuda.max_memory_reserved(self._device) / 2**20)
            entry["seconds"] = round(time.perf_counter() - begin, 3)
            samples = self._samples[first_sample:]
            if samples:
                entry["utilisation_percent"] = round(sum(s[0] for s in samples) / len(samples), 1)
                entry["used_mib"] = round(max(s[1] for s in samples))
            self.write()

    def reporter(self) -> Reporter:
        """Return a reporter whose progress bars are stages."""
        return Reporter(report=self.facts["lines"].append, bar=self.stage)


def _start_smi() -> subprocess.Popen[str] | None:
    """Start nvidia-smi, which prints a line several times a second; `None` where it is absent."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        return subprocess.Popen(
            [program, *_QUERY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    except OSError:
        return None
