"""No image may be bad: all are decoded before anything is computed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing

from torchlurk.datasets.batches import batches
from torchlurk.datasets.images import ImageSet, Skipped, skipped_of
from torchlurk.datasets.inputs import Input
from torchlurk.errors import LurkError

BATCH = 32
"""Images that are decoded at once."""

Bar = Callable[[str, int, str], AbstractContextManager[Callable[[int], object]]]


def check_all(folder: ImageSet, preprocess: Input, *, workers: int, bar: Bar) -> None:
    """Decode every image, and keep none.

    Args:
        folder: The images.
        preprocess: What is made of them.
        workers: Decoding processes; 0 decodes here.
        bar: Takes a label, a total and a unit; gives a function that is told of progress.

    Raises:
        LurkError: Some cannot be read; the line names the first of them and says how many.
    """
    unread = skipped_of(folder)
    first: Skipped | None = None
    count = len(unread)
    source = batches(folder, preprocess, batch_size=BATCH, workers=workers)
    with bar("check", len(folder.paths), "image") as advance, closing(source) as feed:  # type: ignore[type-var]
        for batch in feed:
            first = first or next(iter(batch.skipped), None)
            count += len(batch.skipped)
            advance(len(batch.indices) + len(batch.skipped))
    first = first or next(iter(unread), None)
    if first is not None:
        raise LurkError(refusal(count, len(folder.paths) + len(unread), first.path, first.reason))


def refusal(count: int, total: int, path: str, reason: str) -> str:
    """What a user is told who wants all images read, and of whose `total` images `count` are bad."""
    return (
        f"{count} of {total} images cannot be read, {path!r} first ({reason}): mend them or take them out, "
        "or leave out --strict to go on without them"
    )
