"""A process that encodes pictures: the caller's end of `encoding_worker`.

Half of the work for a small picture holds the interpreter lock. In a thread, it delays the thread that starts
the kernels of a GPU: with encoding threads, a run of all stages on an H200 waited for the lock for a third of
its time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from torchlurk.runtime import encoding_worker
from torchlurk.runtime.jpeg import JpegJob, encode_jpegs
from torchlurk.runtime.worker_process import WorkerProcess


class EncodingProcess:
    """A process that encodes the pictures of one request at a time.

    If it dies, pictures are encoded in this process.
    """

    def __init__(self) -> None:
        """Start the process."""
        self._worker = WorkerProcess(encoding_worker.__file__)

    def encode(self, jobs: Sequence[JpegJob]) -> list[bytes]:
        """Encode pictures; the process answers one request before it gets the next."""
        header = json.dumps([(job.pixels.shape, asdict(job.options)) for job in jobs])
        try:
            self._worker.requests.write(header.encode() + b"\n")
            self._worker.requests.writelines(np.ascontiguousarray(job.pixels).data for job in jobs)
            self._worker.requests.flush()
            line = self._worker.replies.readline()
            lengths: list[int] = json.loads(line) if line.endswith(b"\n") else []
            files = [self._worker.replies.read(length) for length in lengths]
        except BrokenPipeError:
            files = []
        if len(files) < len(jobs) or not all(files):
            return encode_jpegs(jobs)
        return files

    def close(self) -> None:
        """Kill the process."""
        self._worker.close()
