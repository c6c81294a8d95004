"""The program of a decoding process: it reads requests and writes pixels; see `decoding_process`.

It imports Pillow and numpy, but not torch, and so starts in a tenth of a second with 30 MB of memory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

from torchlurk.datasets.decode import decode_image
from torchlurk.datasets.limits import BadImage
from torchlurk.datasets.resize_crop import ResizeCrop, resize_and_crop
from torchlurk.runtime.worker_process import run_worker


def answer_requests(requests: BinaryIO, replies: BinaryIO) -> None:
    """Decode the images of each request until `requests` ends.

    Args:
        requests: Lines of JSON, `{"paths": [...], "resize_crop": the fields of a ResizeCrop}`.
        replies: For each request a line of JSON, a list of `null` for each good image and the reason for each
            bad one, then the pixels of the good images, `(N, H, W, C)`, one byte for each channel.
    """
    for line in requests:
        request = json.loads(line)
        params = _params(request["resize_crop"])
        reasons: list[str | None] = []
        arrays = []
        for path in request["paths"]:
            try:
                arrays.append(resize_and_crop(decode_image(Path(path)), params))
                reasons.append(None)
            except BadImage as error:
                reasons.append(str(error))
        replies.write(json.dumps(reasons).encode() + b"\n")
        for array in arrays:
            replies.write(array.data)
        replies.flush()


def _params(fields: dict[str, Any]) -> ResizeCrop:
    """Build a `ResizeCrop` from JSON, where pairs are lists."""
    pairs: dict[str, Any] = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    return ResizeCrop(**(fields | pairs))


if __name__ == "__main__":
    run_worker(answer_requests)
