"""A process that encodes pictures: the caller's end of `encoding_worker`.

Half of the work for a small picture holds the interpreter lock. In a thread, it delays the thread that starts
the kernels of a GPU: with encoding threads, a run of all stages on an H200 waited for the lock for a third of
its time.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final, cast

from torchlurk.runtime import encoding_worker
from torchlurk.runtime.jpeg import JpegJob, encode_jpegs

_PACKAGE_ROOT: Final = str(Path(encoding_worker.__file__).parents[2])
"""The folder that holds the package."""


class EncodingProcess:
    """A process that encodes the pictures of one request at a time.

    It ends with its pipe, so that it never outlives the caller, even if that is killed. If it dies, pictures
    are encoded in this process.
    """

    def __init__(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", encoding_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The packages of the caller, wherever they come from, and this very package.
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGE_ROOT, *filter(None, sys.path)])},
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._replies = cast("IO[bytes]", self._process.stdout)

    def encode(self, jobs: Sequence[JpegJob]) -> list[bytes]:
        """Encode pictures; the process answers one request before it gets the next."""
        header = json.dumps([(job.pixels.shape, asdict(job.options)) for job in jobs])
        try:
            self._requests.write(header.encode() + b"\n")
            self._requests.writelines(job.pixels.data for job in jobs)
            self._requests.flush()
            line = self._replies.readline()
            lengths: list[int] = json.loads(line) if line.endswith(b"\n") else []
            files = [self._replies.read(length) for length in lengths]
        except BrokenPipeError:
            files = []
        if len(files) < len(jobs) or not all(files):
            return encode_jpegs(jobs)
        return files

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # from a request that it never read
            self._requests.close()
        self._replies.close()
