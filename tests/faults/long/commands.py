"""The command line in a process of its own, with limits; what it said, and what it cost."""

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
"""Before a command of root's: files that may not be read may then not be read by root either."""


THREADS = {"OMP_NUM_THREADS": "1"}
"""How many threads add up moves the last digits of a sum."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit status; negative where a signal ended it.
        out: what it wrote to stdout.
        err: and to stderr, progress bars included.
        seconds: how long it took.
        megabytes: the most memory that one of its processes held.
        own: the same without the pages of libraries and other files, of which the system keeps more or fewer
            in memory as it likes, by tens of megabytes; looked at every few milliseconds.
    """

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float
    own: float

    @property
    def line(self) -> str:
        """The last line of stderr: what a user is left with."""
        return (self.err.strip().splitlines() or [""])[-1]

    @property
    def traceback(self) -> bool:
        """Whether Python's own words came out, or Torchlurk's excuse for an error of its own."""
        return "Traceback" in self.out + self.err or "internal error" in self.err

    def refused(self, *words: str) -> str:
        """What is wrong with it as a refusal in one line that has these words; "" if nothing is."""
        if self.code != 1 or self.traceback or not self.line.startswith("torchlurk: "):
            return f"ended with {self.code}: {self.err[-500:]!r}"
        missing = [word for word in words if word not in self.line]
        return f"{missing} not in {self.line!r}" if missing else ""


def unprivileged() -> tuple[str, ...]:
    """What to put before a command so that permissions hold for it."""
    return NO_RIGHTS if os.geteuid() == 0 else ()


def wants_setpriv() -> str:
    """Why permissions cannot be tried here; "" where they can."""
    return "root without setpriv" if os.geteuid() == 0 and shutil.which("setpriv") is None else ""


def lurk(
    arguments: Sequence[str],
    folder: Path,
    *,
    before: Sequence[str] = (),
    file_bytes: int | None = None,
    patience: float = 300,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run the command line.

    Args:
        arguments: of `torchlurk`.
        folder: where it runs.
        before: a command that runs it, such as `unprivileged()`.
        file_bytes: no file may grow beyond; `None` for no limit.
        patience: seconds after which it is killed.
        environment: what to add to this process's own.
    """

    def limit() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    begun = time.monotonic()
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
        code, *memory = _wait(process, begun + patience)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Outcome(code, *texts, time.monotonic() - begun, *memory)


def lurk_here(arguments: Sequence[str], folder: Path) -> Outcome:
    """Run the command line in this process, which has loaded torch already; it must be told of no limits.

    Args:
        arguments: of `torchlurk`.
        folder: where it runs.
    """
    threads, begun = torch.get_num_threads(), time.monotonic()
    torch.set_num_threads(1)
    try:
        with contextlib.chdir(folder):
            done = CliRunner().invoke(main, list(arguments))
    finally:
        torch.set_num_threads(threads)
    err = done.stderr
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        err += "".join(traceback.format_exception(done.exception))
    return Outcome(done.exit_code, done.stdout, err, time.monotonic() - begun, 0, 0)


def _wait(process: subprocess.Popen[bytes], until: float) -> tuple[int, float, float]:
    """Its exit status, and the megabytes, all and own, that it or one that it started has held at most."""
    most = own = 0.0
    while process.poll() is None:
        most = max(most, held(process.pid, "VmHWM"))
        own = max(own, held(process.pid, "RssAnon"))
        if time.monotonic() > until:
            process.kill()
        time.sleep(0.02)
    return process.returncode, most, own


def held(pid: int, kind: str) -> float:
    """The megabytes of a kind of a process, or of that below it which has most; 0 for those that are gone.

    Args:
        pid: which process.
        kind: a line of its status: `VmHWM` is all memory at its peak so far, `RssAnon` what is its own now.
    """
    # What wait4 tells begins with what the parent held when it started the process.
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    found = next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(kind)), 0.0)
    return max([found, *(held(int(child), kind) for child in below)])


def used(pid: int) -> float:
    """Seconds that a process has had of a processor, whatever else the machine was at."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def difference(one: bytes, other: bytes) -> int:
    """How many bytes differ, those that one has more included."""
    return abs(len(one) - len(other)) + sum(a != b for a, b in zip(one, other, strict=False))


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by their paths in it."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
