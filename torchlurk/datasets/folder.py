"""A folder of images as batches of pixels: fixed order, fixed shards, bad files recorded."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from torchlurk.datasets.decode import BadImage, Pixels, decode, resize_crop
from torchlurk.datasets.listing import ImageFolder, list_images, read_words
from torchlurk.datasets.worker import Worker
from torchlurk.errors import LurkError

__all__ = [
    "BadImage",
    "Batch",
    "ImageFolder",
    "Preprocess",
    "Skipped",
    "batches",
    "decode",
    "list_images",
    "load_pixels",
    "read_words",
]

SHARD_SIZE: Final = 256
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its images.

    Attributes:
        size: Height and width of the network's input, pixels.
        resize: What the short side is brought to before the centre is cut, pixels.
        mean: Of each colour, of values in [0, 1].
        std: Of each colour, likewise.
    """

    size: int = 224
    resize: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.resize:
            raise LurkError(
                f"an input of {self.size} pixels cannot be cut from a short side of {self.resize}: "
                "take 1 <= size <= resize"
            )
        if min(self.std) <= 0:
            raise LurkError(f"std {self.std} must be positive in every colour")

    def to_uint8(self, image: Image.Image) -> Pixels:
        """Resize and cut an image; equal to torchvision's ImageClassification preset.

        Args:
            image: RGB, of any size.

        Returns:
            (size, size, 3), uint8.

        Raises:
            BadImage: It is too narrow to be cut to a square.
        """
        return resize_crop(image, resize=self.resize, size=self.size)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn pixels into the network's input.

        Args:
            pixels: (N, H, W, 3), uint8, on any device.

        Returns:
            (N, 3, H, W), float32 in channels_last order, on the same device.
        """
        mean = torch.tensor(self.mean, device=pixels.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(-1, 1, 1)
        # the permuted view of NHWC is channels_last as it stands; the operations are torchvision's
        return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, and why.

    Attributes:
        path: As in `ImageFolder.paths`.
        reason: A few words.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Consecutive images of one shard, without the bad ones.

    Attributes:
        indices: Positions in `ImageFolder.paths`.
        labels: Their classes.
        pixels: (N, H, W, 3), uint8, on the CPU; N is 0 where every image was bad.
        skipped: The bad ones among the images that the batch was cut from.
        shard: Which `shard_size` consecutive paths of the folder it belongs to.
    """

    indices: tuple[int, ...]
    labels: tuple[int, ...]
    pixels: torch.Tensor
    skipped: tuple[Skipped, ...]
    shard: int


def batches(
    folder: ImageFolder,
    preprocess: Preprocess,
    *,
    batch_size: int = 32,
    shard_size: int = SHARD_SIZE,
    workers: int = 2,
    shards: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Decode a folder, batch after batch, in its order.

    The folder is cut into shards and each shard into batches before anything is decoded: which
    images share a batch depends on the folder and the two sizes alone, and a bad image makes its
    batch smaller. Each worker is a process that decodes one batch ahead, so at most `workers`
    batches wait. Close the iterator, or drop it, and the processes end.

    Args:
        folder: What `list_images` found.
        preprocess: How images are cut.
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


def _run(
    folder: ImageFolder, preprocess: Preprocess, plan: list[tuple[int, range]], workers: int
) -> Iterator[Batch]:
    """Decode the planned batches; the processes live as long as the generator."""
    if not workers:
        for shard, positions in plan:
            yield _batch(folder, shard, positions, *_decode_here(folder, preprocess, positions))
        return
    paths = [[_path(folder, at) for at in positions] for _, positions in plan]
    with ExitStack() as stack:
        pool = [
            stack.enter_context(closing(Worker(preprocess.resize, preprocess.size))) for _ in range(workers)
        ]
        for worker, job in zip(pool, paths, strict=False):
            worker.send(job)
        for number, (shard, positions) in enumerate(plan):
            worker = pool[number % workers]
            reasons, pixels = worker.receive()
            # at once, so that the worker decodes while the caller computes
            if number + workers < len(plan):
                worker.send(paths[number + workers])
            yield _batch(folder, shard, positions, reasons, pixels)


def _path(folder: ImageFolder, at: int) -> str:
    """Say where an image lies."""
    return str(folder.root / folder.paths[at])


def _batch(
    folder: ImageFolder,
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
            Skipped(folder.paths[at], reason)
            for at, reason in zip(positions, reasons, strict=True)
            if reason is not None
        ),
        shard=shard,
    )


def _decode_here(
    folder: ImageFolder, preprocess: Preprocess, positions: Sequence[int]
) -> tuple[list[str | None], torch.Tensor]:
    """Decode in this process."""
    reasons: list[str | None] = []
    pixels: list[Pixels] = []
    for at in positions:
        try:
            pixels.append(preprocess.to_uint8(decode(Path(_path(folder, at)))))
            reasons.append(None)
        except BadImage as error:
            reasons.append(str(error))
    shape = (len(pixels), preprocess.size, preprocess.size, 3)
    stacked = np.stack(pixels) if pixels else np.empty(shape, np.uint8)
    return reasons, torch.from_numpy(stacked)


def load_pixels(folder: ImageFolder, preprocess: Preprocess, indices: Sequence[int]) -> torch.Tensor:
    """Decode the images that a later stage needs again.

    Args:
        folder: What `list_images` found.
        preprocess: How images are cut.
        indices: Positions in `folder.paths`.

    Returns:
        (len(indices), H, W, 3), uint8.

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
