"""The program of an encoding process: it reads pictures and writes JPEG files; see `encoding_process`."""

from __future__ import annotations

import json
from typing import BinaryIO

import numpy as np

from torchlurk.runtime.jpeg import JpegJob, JpegOptions, encode_jpegs
from torchlurk.runtime.worker_process import run_worker


def answer_jobs(requests: BinaryIO, replies: BinaryIO) -> None:
    """Encode the pictures of each request until `requests` ends.

    Args:
        requests: Lines of JSON, for each picture its shape and the fields of its `JpegOptions`; each line is
            followed by the pixels of the pictures, `(H, W, C)`, one byte for each channel.
        replies: For each request a line of JSON, the lengths of the files, then the files.
    """
    for line in requests:
        jobs = []
        for shape, fields in json.loads(line):
            data = requests.read(shape[0] * shape[1] * shape[2])
            jobs.append(JpegJob(np.frombuffer(data, np.uint8).reshape(shape), JpegOptions(**fields)))
        files = encode_jpegs(jobs)
        replies.write(json.dumps([len(file) for file in files]).encode() + b"\n")
        replies.writelines(files)
        replies.flush()


if __name__ == "__main__":
    run_worker(answer_jobs)
