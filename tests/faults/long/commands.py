"""Run the command line in a separate process with limits; return its output, time and memory."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from click.testing import CliRunner

from tests.faults.long.harness import ROOT
from torchlurk.cli.main import main

LURK = (sys.executable, "-m", "torchlurk")
NO_RIGHTS = (
    "setpriv",
    "--inh-caps=-dac_override,-dac_read_search",
    "--bounding-set=-dac_override,-dac_read_search",
)
"""Command prefix that removes root's right to ignore file permissions."""


THREADS = {"OMP_NUM_THREADS": "1"}
"""The number of threads affects the last digits of sums."""


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    Attributes:
        code: the exit status; negative if a signal ended the process.
        out: stdout.
        err: stderr, including progress bars.
        seconds: the duration.
        megabytes: the peak memory of its largest process.
        private: the peak memory without the pages of libraries and other files, which vary by tens of
            megabytes; sampled every few milliseconds.
    """

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float
    private: float

    @property
    def line(self) -> str:
        """The last line of stderr."""
        return (self.err.strip().splitlines() or [""])[-1]

    @property
    def traceback(self) -> bool:
        """Whether the output has a traceback or an internal error."""
        return "Traceback" in self.out + self.err or "internal error" in self.err

    def refused(self, *words: str) -> str:
        """Return why this is not a refusal in one line with these words; "" if it is one."""
        if self.code != 1 or self.traceback or not self.line.startswith("torchlurk: "):
            return f"ended with {self.code}: {self.err[-500:]!r}"
        missing = [word for word in words if word not in self.line]
        return f"{missing} not in {self.line!r}" if missing else ""


def unprivileged() -> tuple[str, ...]:
    """Return the command prefix that makes file permissions effective."""
    return NO_RIGHTS if os.geteuid() == 0 else ()


def missing_setpriv() -> str:
    """Return why this machine cannot test permissions; "" if it can."""
    return "root without setpriv" if os.geteuid() == 0 and shutil.which("setpriv") is None else ""


def lurk(
    arguments: Sequence[str],
    folder: Path,
    *,
    before: Sequence[str] = (),
    file_bytes: int | None = None,
    timeout: float = 300,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run the command line in a process.

    Args:
        arguments: the arguments of `torchlurk`.
        folder: the working directory.
        before: a command prefix, such as `unprivileged()`.
        file_bytes: the largest allowed size of a file; `None` for no limit.
        timeout: seconds after which the process is killed.
        environment: additional environment variables.
    """

    def limit() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    start = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [*before, *LURK, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=folder,
            env={**os.environ, **THREADS, "PYTHONPATH": str(ROOT), **(environment or {})},
            preexec_fn=limit,
        )
        code, *memory = _wait(process, start + timeout)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Outcome(code, *texts, time.monotonic() - start, *memory)


def lurk_here(arguments: Sequence[str], folder: Path) -> Outcome:
    """Run the command line in this process, without limits, which saves loading torch again.

    Args:
        arguments: the arguments of `torchlurk`.
        folder: the working directory.
    """
    threads, start = torch.get_num_threads(), time.monotonic()
    torch.set_num_threads(1)
    try:
        with contextlib.chdir(folder):
            result = CliRunner().invoke(main, list(arguments))
    finally:
        torch.set_num_threads(threads)
    err = result.stderr
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        err += "".join(traceback.format_exception(result.exception))
    return Outcome(result.exit_code, result.stdout, err, time.monotonic() - start, 0, 0)


def _wait(process: subprocess.Popen[bytes], until: float) -> tuple[int, float, float]:
    """Return the exit status and the peaks of total and private memory in MB, children included."""
    peak = private = 0.0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid, "VmHWM"))
        private = max(private, peak_memory(process.pid, "RssAnon"))
        if time.monotonic() > until:
            process.kill()
        time.sleep(0.02)
    return process.returncode, peak, private


def peak_memory(pid: int, kind: str) -> float:
    """Return the largest memory in MB of a process and its descendants; 0 if the process has ended.

    Args:
        pid: the process.
        kind: a line of its status: `VmHWM` is the peak of all memory, `RssAnon` the current private memory.
    """
    # wait4 is not used: its peak includes the memory of the parent when it started the process.
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(kind)), 0.0)
    return max([own, *(peak_memory(int(child), kind) for child in children)])


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def difference(first: bytes, second: bytes) -> int:
    """Return the number of differing bytes, including the difference in length."""
    return abs(len(first) - len(second)) + sum(a != b for a, b in zip(first, second, strict=False))


def tree(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder by relative path."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
