"""A data set of torchvision as images by index; they are decoded in this process."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
import torchvision
from PIL import Image

from torchlurk.datasets.class_names import Words, name_classes
from torchlurk.datasets.decode import to_rgb
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError
from torchlurk.runtime.names import escape_surrogates

PREFIX: Final = "torchvision:"
LABELS: Final = ("targets", "labels", "_labels")
"""Where torchvision's data sets keep their labels, if they do."""


class Items(Protocol):
    """What torchvision calls a data set: pairs of an image and its class, by index."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, at: int) -> Any:
        """An image and its class."""


@dataclass(frozen=True)
class IndexedImages:
    """Images that are no files of their own.

    Attributes:
        name: What the data set is called.
        paths: A made-up name for each: its number.
        labels: For each, an index into `classes`.
        classes: The names of the classes.
        digest: sha256 over labels and pixels, in hex.
        ids: For each, its index in `items`.
        items: Gives an image and its class by index; it takes no part in comparisons.
    """

    name: str
    paths: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    digest: str
    ids: tuple[int, ...] = field(repr=False)
    items: Items = field(repr=False, compare=False)

    def file(self, at: int) -> None:  # noqa: ARG002
        """No image lies in a file of its own."""
        return

    def open(self, at: int) -> Image.Image:
        """An image, RGB.

        Raises:
            BadImage: It cannot be had.
        """
        try:
            image = self.items[self.ids[at]][0]
        except Exception as error:  # whatever somebody's data set raises
            raise BadImage(f"{type(error).__name__}: {error}".splitlines()[0][:120]) from None
        if not isinstance(image, Image.Image):
            raise BadImage(f"a {type(image).__name__}, not an image")
        return to_rgb(image)

    def take(self, ids: Sequence[int]) -> Self:
        """The same data set with these images alone, in this order."""
        return replace(
            self,
            paths=tuple(self.paths[at] for at in ids),
            labels=tuple(self.labels[at] for at in ids),
            ids=tuple(self.ids[at] for at in ids),
        )


def index_items(items: Items, name: str, *, words: Words | None = None) -> IndexedImages:
    """Index a data set of pairs of a PIL image and a class.

    Args:
        items: The data set; its `classes`, if it has them, are the classes' names.
        name: What to call it.
        words: What to call a class, for those it names; or a name for each class, in order.

    Returns:
        The images.

    Raises:
        LurkError: It is empty, or its classes are not numbers from 0.
    """
    if not len(items):
        raise LurkError(f"data set {name!r} is empty: take another split")
    labels = _labels(items, name)
    total = hashlib.sha256(np.asarray(labels, np.int64).tobytes())
    _digest_pixels(items, total.update)
    own = getattr(items, "classes", None)
    count = max(labels) + 1
    named = isinstance(own, list | tuple) and len(own) >= count and all(isinstance(n, str) for n in own)
    if isinstance(words, tuple | list) and not named:
        count = max(count, len(words))  # of the last classes there may be no images
    folders = (
        [escape_surrogates(str(n)) for n in own] if named and own else [str(index) for index in range(count)]
    )
    return IndexedImages(
        name=name,
        paths=tuple(f"{index:05}" for index in range(len(items))),
        labels=tuple(labels),
        classes=name_classes(folders, words),
        digest=total.hexdigest(),
        ids=tuple(range(len(items))),
        items=items,
    )


def _labels(items: Items, name: str) -> list[int]:
    found = next((getattr(items, key) for key in LABELS if hasattr(items, key)), None)
    if found is None or len(found) != len(items):
        found = [items[index][1] for index in range(len(items))]
    try:
        labels = [int(label) for label in found]
    except (TypeError, ValueError, RuntimeError):  # the last is torch's
        labels = [-1]
    if min(labels) < 0:
        raise LurkError(
            f"the labels of data set {name!r} are not numbers of classes ({str(found[0])[:40]!r} for one): "
            "take a data set for classification"
        )
    return labels


def _digest_pixels(items: Items, update: Callable[[bytes | memoryview], object]) -> None:
    data: Any = getattr(items, "data", None)
    if hasattr(data, "numpy"):
        data = data.numpy()
    if isinstance(data, np.ndarray) and len(data) == len(items):
        update(np.ascontiguousarray(data).data.cast("B"))
        return
    for index in range(len(items)):
        image = items[index][0]
        update(f"{getattr(image, 'mode', '')} {getattr(image, 'size', '')}\n".encode())
        update(np.asarray(image).tobytes())


def open_torchvision(
    spec: str, root: Path, *, words: Words | None = None, known: Mapping[str, Any] | None = None
) -> IndexedImages:
    """Open a data set of torchvision, and download it where it is not there.

    Args:
        spec: `torchvision:NAME` or `torchvision:NAME:SPLIT`, e.g. `torchvision:CIFAR10:train`; the
            split is `test` if it is left out.
        root: The folder for its files.
        words: As for `index_items`.
        known: Data sets by name; None for torchvision's.

    Returns:
        The images.

    Raises:
        LurkError: There is no such data set or split, or it cannot be had.
    """
    name, _, split = spec.removeprefix(PREFIX).partition(":")
    sets = vars(torchvision.datasets) if known is None else known
    kind: Any = sets.get(name)
    if not (inspect.isclass(kind) and hasattr(kind, "__getitem__")):
        names = [n for n, v in sets.items() if inspect.isclass(v) and hasattr(v, "__getitem__")]
        near = get_close_matches(name, names, n=3, cutoff=0.4) or ["CIFAR10", "MNIST"]
        raise LurkError(f"torchvision has no data set {name!r}: did you mean {' or '.join(near)}?")
    options: dict[str, Any] = {}
    parameters = inspect.signature(kind).parameters
    if "root" in parameters:
        options["root"] = str(root)
    if "train" in parameters:
        if split not in ("", "train", "test"):
            raise LurkError(f"data set {name!r} has no split {split!r}: it has train and test")
        options["train"] = split == "train"
    elif "split" in parameters:
        options["split"] = split or "test"
    elif split:
        raise LurkError(f"data set {name!r} has no splits: leave out {':' + split!r}")
    if "download" in parameters:
        options["download"] = True
    try:
        if "root" in options:
            root.mkdir(parents=True, exist_ok=True)
        items: Any = kind(**options)
        title = f"{name}-{split or 'test'}" if options.keys() & {"train", "split"} else name
        return index_items(items, title, words=words)
    except LurkError:
        raise
    except Exception as error:  # torchvision has no one exception for it
        line = next(iter(str(error).splitlines()), "") or type(error).__name__
        line = line.removeprefix("<urlopen error ").removesuffix(">")
        raise LurkError(
            f"data set {name!r} of torchvision cannot be had ({line[:160]}): "
            f"put its files into {str(root)!r} (--data-root), or take another"
        ) from error
