"""Decode a data set batch by batch: in a fixed order, with fixed shards, and with bad images recorded."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Final

import torch
from PIL import Image

from torchlurk.datasets.decoding_process import DecodingProcess
from torchlurk.datasets.images import ImageSet, SkippedImage
from torchlurk.datasets.inputs import ImageArray, Input
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError

SHARD_SIZE: Final = 256

_SMALLEST_REQUEST: Final = 32
"""Images that a process decodes at once, if a batch has that many."""

_Planned = tuple[int, range]
"""A batch that is to be decoded: its shard, and the indices of its images."""


@dataclass(frozen=True)
class Batch:
    """Consecutive images of one shard, without the bad ones.

    Attributes:
        indices: Their indices in `ImageSet.paths`.
        labels: Their classes.
        pixels: `(N, H, W, C)`, the arrays of `Input.to_array`, on the CPU; N is 0 if every image is bad.
        skipped: The bad images of the batch.
        shard: Number of the shard: `shard_size` consecutive images of the data set.
    """

    indices: tuple[int, ...]
    labels: tuple[int, ...]
    pixels: torch.Tensor
    skipped: tuple[SkippedImage, ...]
    shard: int


def batches(
    folder: ImageSet,
    preprocess: Input,
    *,
    batch_size: int = 32,
    shard_size: int = SHARD_SIZE,
    workers: int = 2,
    shards: Sequence[int] | None = None,
    pin_memory: bool = False,
) -> Generator[Batch, None, None]:
    """Decode a data set batch by batch, in its order.

    The data set is divided into shards and each shard into batches before anything is decoded. Which images
    share a batch therefore depends on the data set and the two sizes alone; a bad image makes its batch
    smaller. Each worker is a process that decodes ahead: a whole batch, or a part of at least 32 images, so
    that all workers decode one batch. At most `workers` batches wait. The processes end when the iterator is
    closed or dropped. Images that are not files, and inputs that only this process can compute, are decoded
    in this process.

    Args:
        folder: The images.
        preprocess: How they are resized and cropped.
        batch_size: Largest number of images in a batch.
        shard_size: Number of images in a shard; no batch crosses into the next shard.
        workers: Decoding processes; 0 decodes in this process, between the batches.
        shards: Numbers of the shards to decode, in this order; `None` for all.
        pin_memory: Put what workers decode into pinned memory, for copies to a CUDA device that do not wait.

    Yields:
        The batches.

    Raises:
        LurkError: A size is below 1, a shard does not exist, or a decoding process died.
    """
    if min(batch_size, shard_size) < 1 or workers < 0:
        raise LurkError(
            f"batch size {batch_size}, shard size {shard_size} and {workers} workers: sizes must be at least "
            "1, workers at least 0"
        )
    count = -(-len(folder.paths) // shard_size)
    plan: list[_Planned] = []
    for shard in range(count) if shards is None else shards:
        if not 0 <= shard < count:
            raise LurkError(f"shard {shard} of {folder.name!r} does not exist", f"choose 0 to {count - 1}")
        start, stop = shard * shard_size, min((shard + 1) * shard_size, len(folder.paths))
        plan += [
            (shard, range(first, min(first + batch_size, stop))) for first in range(start, stop, batch_size)
        ]
    indices = (index for _, batch in plan for index in batch)
    if not workers or preprocess.resize_crop is None or any(folder.file(index) is None for index in indices):
        return _decode_in_process(folder, preprocess, plan)
    return _decode_in_workers(folder, preprocess, plan, workers, pin_memory)


def _decode_in_process(
    folder: ImageSet, preprocess: Input, plan: Sequence[_Planned]
) -> Generator[Batch, None, None]:
    """Decode batches in this process."""
    for shard, indices in plan:
        yield _batch(folder, shard, indices, *_decode(folder, preprocess, indices))


def _decode_in_workers(
    folder: ImageSet, preprocess: Input, plan: Sequence[_Planned], workers: int, pin_memory: bool
) -> Generator[Batch, None, None]:
    """Decode batches in processes that live as long as the generator."""
    params = preprocess.resize_crop
    assert params is not None
    parts = [_split(indices, workers) for _, indices in plan]
    requests = [part for of_batch in parts for part in of_batch]
    workers = min(workers, len(requests))

    def paths(number: int) -> list[str]:
        # Listed for one request at a time: the paths of a million images would take a gigabyte.
        return [str(folder.file(index)) for index in requests[number]]

    with ExitStack() as stack:
        pool = [stack.enter_context(closing(DecodingProcess(params))) for _ in range(workers)]
        for number, process in enumerate(pool):
            process.send(paths(number))
        number = 0
        for (shard, indices), of_batch in zip(plan, parts, strict=True):
            shape = (len(indices), *params.size, params.channels)
            pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=pin_memory)
            reasons: list[str | None] = []
            for _ in of_batch:
                process = pool[number % workers]
                reasons += process.receive(pixels[reasons.count(None) :])
                # Request the next images at once, so that they are decoded while the caller computes.
                if number + workers < len(requests):
                    process.send(paths(number + workers))
                number += 1
            yield _batch(folder, shard, indices, reasons, pixels[: reasons.count(None)])


def _split(indices: range, workers: int) -> list[range]:
    """Divide a batch into parts that processes decode at the same time."""
    size = max(_SMALLEST_REQUEST, -(-len(indices) // workers))
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _batch(
    folder: ImageSet,
    shard: int,
    indices: Sequence[int],
    reasons: Sequence[str | None],
    pixels: torch.Tensor,
) -> Batch:
    """Assemble a batch from decoded images."""
    good = tuple(index for index, reason in zip(indices, reasons, strict=True) if reason is None)
    return Batch(
        indices=good,
        labels=tuple(folder.labels[index] for index in good),
        pixels=pixels,
        skipped=tuple(
            SkippedImage(folder.paths[index], reason)
            for index, reason in zip(indices, reasons, strict=True)
            if reason is not None
        ),
        shard=shard,
    )


def _decode(
    folder: ImageSet, preprocess: Input, indices: Sequence[int]
) -> tuple[list[str | None], torch.Tensor]:
    """Return a reason for each bad image, `None` for each good one, and the pixels of the good ones."""
    reasons: list[str | None] = []
    arrays: list[ImageArray] = []
    for index in indices:
        try:
            arrays.append(preprocess.to_array(folder.open(index)))
            reasons.append(None)
        except BadImage as error:
            reasons.append(str(error))
    if not arrays:
        channels, height, width = preprocess.shape
        dtype = torch.float32 if preprocess.resize_crop is None else torch.uint8
        return reasons, torch.empty((0, height, width, channels), dtype=dtype)
    return reasons, torch.stack([torch.from_numpy(array) for array in arrays])


def load_pixels(folder: ImageSet, preprocess: Input, indices: Sequence[int]) -> torch.Tensor:
    """Decode images again for a later stage.

    Args:
        folder: The images.
        preprocess: How they are resized and cropped.
        indices: Indices in `folder.paths`.

    Returns:
        `(N, H, W, C)`, the arrays of `Input.to_array`, on the CPU.

    Raises:
        LurkError: An image can no longer be decoded.
    """
    reasons, pixels = _decode(folder, preprocess, indices)
    for index, reason in zip(indices, reasons, strict=True):
        if reason is not None:
            raise LurkError(
                f"image {folder.paths[index]!r} cannot be read again ({reason})",
                "the folder has changed since it was scanned, so scan it again",
            )
    return pixels


def probe_inputs(folder: ImageSet, preprocess: Input, count: int) -> torch.Tensor:
    """Return inputs to try a network on: images spread over a data set.

    Args:
        folder: The images; those that cannot be decoded are left out.
        preprocess: How they become inputs.
        count: Number of images, at least 2.

    Returns:
        `(N, C, H, W)`, float32, on the CPU; if no image can be decoded, one of random numbers, the same each
        time.
    """
    total = len(folder.paths)
    spread = dict.fromkeys(round(step * (total - 1) / (count - 1)) for step in range(count)) if total else ()
    arrays = [array for index in spread for array in _decode(folder, preprocess, [index])[1]]
    if not arrays:
        return torch.rand(1, *preprocess.shape, generator=torch.Generator().manual_seed(0))
    return preprocess.to_input(torch.stack(arrays))


def first_image(folder: ImageSet) -> Image.Image:
    """Return the first image that can be read, RGB.

    Raises:
        LurkError: No image can be read.
    """
    for index in range(len(folder.paths)):
        try:
            return folder.open(index)
        except BadImage:
            continue
    raise LurkError(
        f"none of the {len(folder.paths)} images of {folder.name!r} can be read", "give other images"
    )
