"""A data set as batches of pixels: fixed order, fixed shards, bad images recorded."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Final

import torch
from PIL import Image

from torchlurk.datasets.images import ImageSet, SkippedImage
from torchlurk.datasets.inputs import ImageArray, Input
from torchlurk.datasets.limits import BadImage
from torchlurk.datasets.worker import Worker
from torchlurk.errors import LurkError

SHARD_SIZE: Final = 256


@dataclass(frozen=True)
class Batch:
    """Consecutive images of one shard, without the bad ones.

    Attributes:
        indices: Positions in `ImageSet.paths`.
        labels: Their classes.
        pixels: (N, H, W, C), what `Input.decoded` keeps, on the CPU; N is 0 where every image was bad.
        skipped: The bad ones among the images that the batch was cut from.
        shard: Which `shard_size` consecutive paths of the folder it belongs to.
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
) -> Iterator[Batch]:
    """Decode a data set, batch after batch, in its order.

    The data set is cut into shards and each shard into batches before anything is decoded: which
    images share a batch depends on the data set and the two sizes alone, and a bad image makes its
    batch smaller. Each worker is a process that decodes one batch ahead, so at most `workers`
    batches wait. Close the iterator, or drop it, and the processes end. Images that do not lie in
    files, and inputs that only this process can make, are decoded in the caller.

    Args:
        folder: The images.
        preprocess: What is made of them.
        batch_size: Images in a batch, at most.
        shard_size: Images in a shard; no batch crosses into the next.
        workers: Decoding processes; 0 decodes in the caller, between the batches.
        shards: Which shards, in this order; None for all.

    Yields:
        The batches.

    Raises:
        LurkError: A size is below 1, there is no such shard, or a worker died.
    """
    if min(batch_size, shard_size) < 1 or workers < 0:
        raise LurkError(
            f"batch size {batch_size}, shard size {shard_size} and {workers} workers: "
            "sizes must be at least 1, workers at least 0"
        )
    count = -(-len(folder.paths) // shard_size)
    chosen = range(count) if shards is None else shards
    plan: list[tuple[int, range]] = []
    for shard in chosen:
        if not 0 <= shard < count:
            raise LurkError(f"shard {shard} of {folder.name!r}: it has 0 to {count - 1}")
        start, stop = shard * shard_size, min((shard + 1) * shard_size, len(folder.paths))
        plan += [(shard, range(at, min(at + batch_size, stop))) for at in range(start, stop, batch_size)]
    return _run(folder, preprocess, plan, min(workers, len(plan)))


def _run(folder: ImageSet, preprocess: Input, plan: list[tuple[int, range]], workers: int) -> Iterator[Batch]:
    """Decode the planned batches; the processes live as long as the generator."""
    cut = preprocess.resize_crop
    at_all = (at for _, positions in plan for at in positions)
    if not workers or cut is None or any(folder.file(at) is None for at in at_all):
        for shard, positions in plan:
            yield _batch(folder, shard, positions, *_decode_here(folder, preprocess, positions))
        return

    def job(number: int) -> list[str]:
        # Made when it is wanted: the paths of a million images would be a gigabyte.
        return [str(folder.file(at)) for at in plan[number][1]]

    with ExitStack() as stack:
        pool = [stack.enter_context(closing(Worker(cut))) for _ in range(workers)]
        for number, worker in enumerate(pool):
            worker.send(job(number))
        for number, (shard, positions) in enumerate(plan):
            worker = pool[number % workers]
            reasons, pixels = worker.receive()
            # at once, so that the worker decodes while the caller computes
            if number + workers < len(plan):
                worker.send(job(number + workers))
            yield _batch(folder, shard, positions, reasons, pixels)


def _batch(
    folder: ImageSet,
    shard: int,
    positions: Sequence[int],
    reasons: Sequence[str | None],
    pixels: torch.Tensor,
) -> Batch:
    """Put a batch together from what was decoded."""
    good = tuple(at for at, reason in zip(positions, reasons, strict=True) if reason is None)
    return Batch(
        indices=good,
        labels=tuple(folder.labels[at] for at in good),
        pixels=pixels,
        skipped=tuple(
            SkippedImage(folder.paths[at], reason)
            for at, reason in zip(positions, reasons, strict=True)
            if reason is not None
        ),
        shard=shard,
    )


def _decode_here(
    folder: ImageSet, preprocess: Input, positions: Sequence[int]
) -> tuple[list[str | None], torch.Tensor]:
    """Decode in this process."""
    reasons: list[str | None] = []
    pixels: list[ImageArray] = []
    for at in positions:
        try:
            pixels.append(preprocess.to_array(folder.open(at)))
            reasons.append(None)
        except BadImage as error:
            reasons.append(str(error))
    if not pixels:
        channels, height, width = preprocess.shape
        kind = torch.float32 if preprocess.resize_crop is None else torch.uint8
        return reasons, torch.empty((0, height, width, channels), dtype=kind)
    return reasons, torch.stack([torch.from_numpy(one) for one in pixels])


def load_pixels(folder: ImageSet, preprocess: Input, indices: Sequence[int]) -> torch.Tensor:
    """Decode the images that a later stage needs again.

    Args:
        folder: The images.
        preprocess: What is made of them.
        indices: Positions in `folder.paths`.

    Returns:
        (len(indices), H, W, C), as `Input.decoded` keeps them.

    Raises:
        LurkError: One of them can no longer be decoded.
    """
    reasons, pixels = _decode_here(folder, preprocess, indices)
    for at, reason in zip(indices, reasons, strict=True):
        if reason is not None:
            raise LurkError(
                f"image {folder.paths[at]!r} cannot be read again ({reason}): "
                "the folder has changed, scan it anew"
            )
    return pixels


def probe_inputs(folder: ImageSet, preprocess: Input, count: int) -> torch.Tensor:
    """Inputs to try a network on: images from all over a data set.

    Args:
        folder: The images; those that cannot be decoded are passed over.
        preprocess: What is made of them.
        count: How many are wanted, at least 2.

    Returns:
        (N, C, H, W), float32, on the CPU; where no image can be decoded, one of random numbers, the same
        each time.
    """
    total = len(folder.paths)
    positions = dict.fromkeys(round(at * (total - 1) / (count - 1)) for at in range(count)) if total else ()
    found = [one for at in positions for one in _decode_here(folder, preprocess, [at])[1]]
    if not found:
        return torch.rand(1, *preprocess.shape, generator=torch.Generator().manual_seed(0))
    return preprocess.to_input(torch.stack(found))


def first_image(folder: ImageSet) -> Image.Image:
    """The first image that can be read, RGB.

    Raises:
        LurkError: There is none.
    """
    for at in range(len(folder.paths)):
        try:
            return folder.open(at)
        except BadImage:
            continue
    raise LurkError(f"none of the {len(folder.paths)} images of {folder.name!r} could be read: give others")
