"""Check that every image of a data set can be decoded, before anything is computed (`--strict`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Final

from torchlurk.datasets.batches import batches
from torchlurk.datasets.images import ImageSet, SkippedImage, skipped_of
from torchlurk.datasets.inputs import Input
from torchlurk.errors import LurkError, Option

_BATCH_SIZE: Final = 32
"""Images that are decoded together."""

ProgressBar = Callable[[str, int, str], AbstractContextManager[Callable[[int], object]]]
"""Takes a label, a total and a unit; returns a context manager whose value advances the bar."""


def check_readable(folder: ImageSet, preprocess: Input, *, workers: int, bar: ProgressBar) -> None:
    """Decode every image and keep none.

    Args:
        folder: The images.
        preprocess: How they are resized and cropped.
        workers: Decoding processes; 0 decodes in this process.
        bar: Progress bar.

    Raises:
        LurkError: Some images cannot be read; the message names the first of them and says how many.
    """
    unread = skipped_of(folder)
    first: SkippedImage | None = None
    count = len(unread)
    source = batches(folder, preprocess, batch_size=_BATCH_SIZE, workers=workers)
    with bar("check", len(folder.paths), "image") as advance, closing(source) as feed:
        for batch in feed:
            first = first or next(iter(batch.skipped), None)
            count += len(batch.skipped)
            advance(len(batch.indices) + len(batch.skipped))
    first = first or next(iter(unread), None)
    if first is not None:
        raise unreadable_images_error(count, len(folder.paths) + len(unread), first.path, first.reason)


def unreadable_images_error(count: int, total: int, path: str, reason: str) -> LurkError:
    """Return the error for `count` unreadable images of `total`, of which `path` is the first."""
    return LurkError(
        f"{count} of {total} images cannot be read, the first is {path!r} ({reason})",
        ("repair or remove them, or leave out ", Option("strict"), " to skip them"),
    )
