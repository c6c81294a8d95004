"""A process that decodes images: the caller's end of `decode.serve`.

A process and not a thread, because Pillow's warnings can be held back in a process of their own
without touching the caller's, and because decoders then never contend for the caller's
interpreter lock. It is a plain program, neither forked (which carries threads and CUDA along) nor
spawned by multiprocessing (which runs the user's main module again), and ends with its pipe: no
death of the caller leaves it behind.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final, cast

import torch

from torchlurk.datasets import decode
from torchlurk.errors import LurkError

HOME: Final = str(Path(decode.__file__).parents[2])
"""Where the package lies."""


class Worker:
    """Works on one batch at a time."""

    def __init__(self, cut: decode.ResizeCrop) -> None:
        """Start the process.

        Args:
            cut: As for `decode.cut_image`.
        """
        self._cut = cut
        self._paths: Sequence[str] = ()
        # decoders written in C complain there of every bad file; it is read when the process dies
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        self._process = subprocess.Popen(
            [sys.executable, "-P", decode.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            # the caller's packages, however it came to them, and this very one
            env={**os.environ, "PYTHONPATH": os.pathsep.join([HOME, *filter(None, sys.path)])},
        )
        self._jobs = cast("IO[bytes]", self._process.stdin)
        self._results = cast("IO[bytes]", self._process.stdout)

    def send(self, paths: Sequence[str]) -> None:
        """Ask for a batch; the one before must have been received, so that neither side waits.

        Args:
            paths: The images' files.
        """
        self._paths = paths
        job = {"paths": list(paths), "cut": asdict(self._cut)}
        with contextlib.suppress(BrokenPipeError):  # `receive` says it better
            self._jobs.write(json.dumps(job).encode() + b"\n")
            self._jobs.flush()

    def receive(self) -> tuple[list[str | None], torch.Tensor]:
        """Wait for the batch that was asked for.

        Returns:
            For each path None or the reason why the image is bad, and the pixels of the good
            ones, (N, H, W, C), uint8.

        Raises:
            LurkError: The process has died, of a decoder's crash or for want of memory.
        """
        line = self._results.readline()
        reasons: list[str | None] = json.loads(line) if line.endswith(b"\n") else []
        shape = (reasons.count(None), *self._cut.size, self._cut.channels)
        pixels = torch.empty(shape, dtype=torch.uint8)
        view = memoryview(pixels.numpy().data).cast("B") if pixels.numel() else memoryview(b"")
        while view and (got := self._results.readinto(view)):  # type: ignore[attr-defined]
            view = view[got:]
        if view or len(reasons) != len(self._paths):
            code = self._process.wait()
            self._complaints.seek(0)
            last = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise LurkError(
                f"a decoding process ended (code {code}{last and ': '}{last[:120]}) at "
                f"{self._paths[0]!r} or soon after: try --workers 0, and take out the image "
                "where that ends too"
            )
        return reasons, pixels

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # of a job that it never read
            self._jobs.close()
        self._results.close()
        self._complaints.close()
