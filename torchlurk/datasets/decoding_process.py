"""A process that decodes images: the caller's end of `worker`.

It is a process and not a thread, so that Pillow's warnings are suppressed without touching the caller's
warning filters, and so that decoders never contend for the caller's interpreter lock.

It is a program of its own and not a worker of `torch.utils.data.DataLoader`, which decodes as fast (0.99 of
the processor time for 2,000 images with two workers), but was found to fail in four cases:

- A decoder that crashes. With fork and spawn, `DataLoader` raises a `RuntimeError` from a SIGCHLD handler
wherever
  the main thread is at that moment, usually in the network's forward or while a file is written. Here, the
  error comes when the batch is due, is one line, and names the images.
- Shared memory. `DataLoader` passes batches through /dev/shm. With the 64 MB that containers have by default,
  batches of 256 images of 224 pixels end with "No space left on device". Here, they go through a pipe.
- Starting. With spawn and forkserver, which leave threads and CUDA behind, the first batch took 2 to 8 s in
place of
  0.2 to 0.6 s, as each process, or their server, imports torch; a process takes 115 to 350 MB in place of 31
  MB, and both run the user's main module again, which a script without `if __name__ == "__main__"` does not
  survive. Fork has none of these costs, but copies locks that other threads hold, and Python 3.12 warns of
  it.
- Ctrl-C. Workers started with spawn print tracebacks, and with forkserver, the end takes 8 s.

tests/faults/test_decoding_processes.py checks these cases.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict

import torch

from torchlurk.datasets import worker
from torchlurk.datasets.resize_crop import ResizeCrop
from torchlurk.errors import LurkError, Option
from torchlurk.runtime.worker_process import WorkerProcess


class DecodingProcess:
    """A process that decodes one batch at a time."""

    def __init__(self, params: ResizeCrop) -> None:
        """Start the process.

        Args:
            params: How images are resized and cropped.
        """
        self._params = params
        self._paths: Sequence[str] = ()
        # Decoders written in C print a line for each bad file; it is read only if the process dies.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        self._worker = WorkerProcess(worker.__file__, self._stderr)

    def send(self, paths: Sequence[str]) -> None:
        """Request a batch.

        The previous batch must have been received, or both sides would wait for each other.

        Args:
            paths: The files of the images.
        """
        self._paths = paths
        request = {"paths": list(paths), "resize_crop": asdict(self._params)}
        with contextlib.suppress(BrokenPipeError):  # `receive` reports it
            self._worker.requests.write(json.dumps(request).encode() + b"\n")
            self._worker.requests.flush()

    def receive(self, pixels: torch.Tensor) -> list[str | None]:
        """Wait for the batch that was requested.

        Args:
            pixels: `(N, H, W, C)`, uint8, contiguous, with room for all images; the good ones are written
                to its start.

        Returns:
            `None` for each good image and a reason for each bad one.

        Raises:
            LurkError: The process has died, because a decoder crashed or memory ran out.
        """
        line = self._worker.replies.readline()
        reasons: list[str | None] = json.loads(line) if line.endswith(b"\n") else []
        good = pixels[: reasons.count(None)]
        view = memoryview(good.numpy().data).cast("B") if good.numel() else memoryview(b"")
        while view and (count := self._worker.replies.readinto(view)):  # type: ignore[attr-defined]
            view = view[count:]
        if view or len(reasons) != len(self._paths):
            raise self._death()
        return reasons

    def _death(self) -> LurkError:
        """Return the error for a process that has died."""
        code = self._worker.process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        return LurkError(
            f"a decoding process ended (code {code}{last and ': '}{last[:120]}) at {self._paths[0]!r} or "
            "soon after",
            ("try ", Option("workers", 0), " and remove the image at which that ends as well"),
        )

    def close(self) -> None:
        """Kill the process."""
        self._worker.close()
        self._stderr.close()
