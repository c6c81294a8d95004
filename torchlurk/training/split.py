"""Split images into training and validation images, and check that they can be used."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torchlurk.datasets.images import ImageSet
from torchlurk.errors import LurkError, Option


@dataclass(frozen=True)
class Split:
    """Training and validation images of the same classes.

    Attributes:
        train: The training images.
        val: The validation images.
        share: The share of one set of images that is held out; `None` if the validation images are a separate
            set.
    """

    train: ImageSet
    val: ImageSet
    share: float | None


def parse_share(val: str) -> float | None:
    """Return the value of `--val` as a number; `None` if it names images."""
    try:
        return float(val)
    except ValueError:
        return None


def hold_out(images: ImageSet, share: float, seed: int) -> Split:
    """Hold out a share of the images of each class: at least one, and at most all but one.

    The choice depends only on the seed and the images' names. It is the same on every machine, and changes
    little when images are added.

    Args:
        images: All images.
        share: The share of each class, above 0 and below 1.
        seed: The seed of the choice.

    Raises:
        LurkError: The share is out of range, or a class has fewer than two images.
    """
    if not 0 < share < 1:
        raise LurkError(
            "a share of the images must be above 0 and below 1",
            "choose e.g. 0.2",
            Option("val", f"{share:g}"),
        )
    check_counts(images)
    indices: dict[int, list[int]] = {}
    for index, label in enumerate(images.labels):
        indices.setdefault(label, []).append(index)
    held_out: list[int] = []
    for members in indices.values():
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held_out += sorted(members, key=lambda index: _sort_key(images.paths[index], seed))[:count]
    train = set(range(len(images.paths))) - set(held_out)
    return Split(images.take(sorted(train)), images.take(sorted(held_out)), share)


def separate_validation(train: ImageSet, val: ImageSet) -> Split:
    """Use two sets of images, one for training and one for validation.

    Raises:
        LurkError: The sets are the same, have different classes, or a class has fewer than two training
            images.
    """
    check_counts(train)
    if train.digest == val.digest:
        raise LurkError(
            (f"the same {len(val.paths)} images as ", Option("images")),
            ("give other images, or hold out a fifth of each class with ", Option("val", 0.2)),
            Option("val"),
        )
    if train.classes != val.classes:
        raise _different_classes(train.classes, val.classes)
    return Split(train, val, None)


def check_counts(images: ImageSet) -> None:
    """Check that there are at least two classes, each with at least two images.

    Raises:
        LurkError: There are fewer.
    """
    if len(images.classes) < 2:
        raise LurkError(
            f"the images of {images.name!r} all belong to one class ({images.classes[0]!r})",
            "put them into subfolders, one per class",
        )
    counts = Counter(images.labels)
    short = [index for index in range(len(images.classes)) if counts[index] < 2]
    if short:
        count = "one image" if counts[short[0]] else "no image that can be read"
        more = f", and {len(short) - 1} more classes have too few" if len(short) > 1 else ""
        raise LurkError(
            f"class {images.classes[short[0]]!r} of {images.name!r} has {count}{more}",
            "give at least two images of each class, or remove the class",
        )


def _sort_key(path: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {path}".encode("utf-8", "surrogateescape")).digest()


def _different_classes(train: Sequence[str], val: Sequence[str]) -> LurkError:
    missing = [name for name in train if name not in val]
    unknown = [name for name in val if name not in train]
    if missing:
        close = get_close_matches(missing[0], unknown, n=1, cutoff=0.6)
        message = f"there is no class {missing[0]!r}" + (f", but a class {close[0]!r}" if close else "")
    elif unknown:
        message = f"there is a class {unknown[0]!r} that the training images do not have"
    else:
        message = "the classes have another order than those of the training images"
    return LurkError(
        f"{message} ({len(val)} classes, {len(train)} in training)",
        ("give both the same subfolders, or the same class names with ", Option("words")),
        Option("val"),
    )
