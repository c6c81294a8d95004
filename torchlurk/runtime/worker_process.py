"""Worker programs of the package, which run in processes of their own and answer requests through pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

_PACKAGE_ROOT: Final = str(Path(__file__).parents[2])
"""The folder that holds the package."""


class WorkerProcess:
    """A running worker program.

    It ends with its pipe, so that it never outlives the caller, even if that is killed.

    Attributes:
        process: The process.
        requests: What the program reads.
        replies: What it writes.
    """

    def __init__(self, program: str, stderr: IO[bytes] | None = None) -> None:
        """Start a program.

        Args:
            program: Path of its file, which calls `run_worker`.
            stderr: Receives what it prints; by default the caller's standard error.
        """
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-P", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            # The packages of the caller, wherever they come from, and this very package.
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGE_ROOT, *filter(None, sys.path)])},
        )
        self.requests: IO[bytes] = cast("IO[bytes]", self.process.stdin)
        self.replies: IO[bytes] = cast("IO[bytes]", self.process.stdout)

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # from a request that it never read
            self.requests.close()
        self.replies.close()


def run_worker(answer: Callable[[BinaryIO, BinaryIO], None]) -> None:
    """Run the main loop of a worker program.

    Args:
        answer: Takes what the program reads and what it writes, and returns when the first ends.
    """
    # Ctrl-C reaches the whole process group; the parent closes the pipe, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        sys.stderr.close()  # the parent is gone: say nothing about unflushed output
