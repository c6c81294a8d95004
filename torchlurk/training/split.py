"""Which images are trained on and which are held out, and whether they can be."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torchlurk.datasets.images import ImageSet
from torchlurk.errors import LurkError


@dataclass(frozen=True)
class Split:
    """Images of the same classes.

    Attributes:
        train: those to train on.
        val: those held out.
        share: which share of one set of images the held out are; `None` where they are a set of their own.
    """

    train: ImageSet
    val: ImageSet
    share: float | None


def parse_share(val: str) -> float | None:
    """The number in `--val`, if it is one; `None` if it names images."""
    try:
        return float(val)
    except ValueError:
        return None


def hold_out(images: ImageSet, share: float, seed: int) -> Split:
    """Hold out a share of the images of each class, at least one, and leave at least one.

    Which ones depends on the seed and the image's name alone, so that it is the same on every machine, and
    changes little where images are added.

    Args:
        images: all of them.
        share: of each class, above 0 and below 1.
        seed: another one draws others.

    Raises:
        LurkError: the share is none, or a class has one image.
    """
    if not 0 < share < 1:
        raise LurkError(f"--val {share:g}: a share of the images must be above 0 and below 1, e.g. 0.2")
    check_counts(images)
    ids: dict[int, list[int]] = {}
    for at, label in enumerate(images.labels):
        ids.setdefault(label, []).append(at)
    held: list[int] = []
    for members in ids.values():
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held += sorted(members, key=lambda at: _draw(images.paths[at], seed))[:count]
    rest = set(range(len(images.paths))) - set(held)
    return Split(images.take(sorted(rest)), images.take(sorted(held)), share)


def separate_validation(train: ImageSet, val: ImageSet) -> Split:
    """Two sets of images: one to train on, one held out.

    Raises:
        LurkError: they are the same, or of other classes, or a class has one image to train on.
    """
    check_counts(train)
    if train.digest == val.digest:
        raise LurkError(
            f"--images and --val are the same {len(val.paths)} images: give others, or --val 0.2 to hold out "
            "a fifth of each class"
        )
    if train.classes != val.classes:
        raise LurkError(_other_classes(train.classes, val.classes))
    return Split(train, val, None)


def check_counts(images: ImageSet) -> None:
    """Refuse images that nothing can be learnt from.

    Raises:
        LurkError: there is one class only, or a class has fewer than two images.
    """
    if len(images.classes) < 2:
        raise LurkError(
            f"the images of {images.name!r} are all of one class ({images.classes[0]!r}): put them into "
            "subfolders, one a class"
        )
    counts = Counter(images.labels)
    few = [index for index in range(len(images.classes)) if counts[index] < 2]
    if few:
        name = images.classes[few[0]]
        have = "one image" if counts[few[0]] else "no image that can be read"
        more = f", and {len(few) - 1} classes more have too few" if len(few) > 1 else ""
        raise LurkError(
            f"class {name!r} of {images.name!r} has {have}{more}: give at least two of each, or take the "
            "class out"
        )


def _draw(path: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {path}".encode("utf-8", "surrogateescape")).digest()


def _other_classes(train: Sequence[str], val: Sequence[str]) -> str:
    lacking = [name for name in train if name not in val]
    strange = [name for name in val if name not in train]
    if lacking:
        near = get_close_matches(lacking[0], strange, n=1, cutoff=0.6)
        hint = f", but {near[0]!r}" if near else ""
        what = f"--val has no class {lacking[0]!r}{hint}"
    elif strange:
        what = f"--val has a class {strange[0]!r} that --images has not"
    else:
        what = "--val has the classes of --images in another order"
    return f"{what} ({len(train)} classes and {len(val)}): give both the same subfolders, or names (--words)"
