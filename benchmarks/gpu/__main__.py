"""`python -m benchmarks.gpu FILES OUT`: run all parts, each with a time limit, and write the results.

OUT gets `gpu.json` and `gpu.txt`, which are written again while the parts run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.gpu.parts import parts_of
from benchmarks.gpu.recorder import Recorder
from benchmarks.gpu.settings import Settings, full_settings, tiny_settings
from benchmarks.gpu.text import describe

_POLL = 0.1
_WRITE = 3.0
"""Seconds between two states of the results while a part runs."""

_MERCY = 5.0
"""Seconds that a part gets to end after its time is over."""


def start_part(name: str, settings: Settings, record: Path, log: Path) -> int:
    """Start a part in a process and a process group of its own; return its number.

    It is forked, so that torch is imported only once; CUDA is not used before.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("the time is over"))
        recorder = Recorder(record, torch.device(settings.device))
        with recorder.running():
            parts_of(settings)[name](settings, recorder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for_part(pid: int, deadline: float, while_waiting: Any) -> str:
    """Wait for a part, and end it at its deadline; return how it ended."""
    written, ended = time.monotonic(), ""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        now = time.monotonic()
        if done:
            with suppress(ProcessLookupError):  # what it has left behind
                os.killpg(pid, signal.SIGKILL)
            return ended or ("finished" if status == 0 else f"failed (status {status})")
        if now > deadline + _MERCY:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        elif now > deadline and not ended:
            ended = "stopped at its time limit"
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if now - written > _WRITE:
            while_waiting()
            written = now
        time.sleep(_POLL)


def measure(settings: Settings, out: Path, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Run the parts in order, and write the results while they run.

    Args:
        settings: The settings.
        out: Folder for the results.
        seconds: The share of time of each part; what a part leaves is for the next ones.

    Returns:
        The results.
    """
    begin = time.monotonic()
    results: dict[str, Any] = {"device": settings.device, "complete": False, "parts": {}}

    def write() -> None:
        results["seconds"] = round(time.monotonic() - begin, 1)
        (out / "gpu.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        (out / "gpu.txt").write_text(describe(results), encoding="utf-8")

    share = 0.0
    for name, own in seconds.items():
        share += own
        record, log = settings.work / f"{name}.json", settings.work / f"{name}.log"
        part: dict[str, Any] = {"ended": "running"}
        results["parts"][name] = part

        def update(part: dict[str, Any] = part, record: Path = record, log: Path = log) -> None:
            with suppress(OSError, ValueError):
                part["record"] = json.loads(record.read_text("utf-8"))
            with suppress(OSError):
                part["log"] = log.read_text("utf-8", errors="replace").splitlines()[-40:]
            write()

        started = time.monotonic()
        if started - begin > share:
            part["ended"] = "not started: no time was left"
        else:
            update()
            pid = start_part(name, settings, record, log)
            part["ended"] = wait_for_part(pid, begin + share, update)
            part["seconds"] = round(time.monotonic() - started, 1)
        update()
        click.echo(f"{name}: {part['ended']} after {part.get('seconds', 0)} s")
    results["complete"] = True
    write()
    return results


@click.command()
@click.argument("files", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", help="Device to measure.")
@click.option("--tiny", is_flag=True, help="A small network and a few images, to try the measurement.")
@click.option("--parts", default="", help="Parts to run, separated by commas; all by default.")
def run(files: Path, out: Path, device: str, tiny: bool, parts: str) -> None:
    """Measure Torchlurk with the files that prepare.sh has collected, and write the results to OUT."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="torchlurk-gpu-") as work:
        settings = (tiny_settings if tiny else full_settings)(device, files.resolve(), Path(work))
        chosen = parts.split(",") if parts else list(settings.seconds)
        results = measure(settings, out, {name: settings.seconds[name] for name in chosen})
    click.echo(describe(results))
    if any(part["ended"].startswith("failed") for part in results["parts"].values()):
        sys.exit(1)


if __name__ == "__main__":
    run()
