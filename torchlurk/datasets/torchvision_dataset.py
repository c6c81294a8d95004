"""A data set of torchvision, or any map-style dataset, as images by index; decoded in this process."""

from __future__ import annotations

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

from torchlurk.datasets.class_names import ClassNames, name_classes
from torchlurk.datasets.decode import to_rgb
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError, Option
from torchlurk.runtime.names import escape_surrogates

TORCHVISION_PREFIX: Final = "torchvision:"
_LABEL_ATTRIBUTES: Final = ("targets", "labels", "_labels")
"""Attributes in which torchvision's data sets keep their labels, if they do."""


class MapStyleDataset(Protocol):
    """A map-style dataset, as `torch.utils.data.Dataset`: pairs of an image and its class, by index."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> Any:
        """Return an image and its class."""


@dataclass(frozen=True)
class IndexedImages:
    """Images of a map-style dataset, which are not files of their own.

    Attributes:
        name: Name of the data set.
        paths: A name for each image: its number.
        labels: Class of each image, as an index into `classes`.
        classes: Names of the classes.
        digest: SHA-256 over labels and pixels, in hex.
        ids: Index of each image in `items`.
        items: The dataset; it takes no part in comparisons.
    """

    name: str
    paths: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    digest: str
    ids: tuple[int, ...] = field(repr=False)
    items: MapStyleDataset = field(repr=False, compare=False)

    def file(self, index: int) -> None:  # noqa: ARG002
        """Return `None`: no image is a file of its own."""
        return

    def open(self, index: int) -> Image.Image:
        """Return an image as RGB.

        Raises:
            BadImage: The dataset fails, or its item is not an image.
        """
        try:
            image = self.items[self.ids[index]][0]
        except Exception as error:  # a dataset of the user's may raise anything
            raise BadImage(f"{type(error).__name__}: {error}".splitlines()[0][:120]) from None
        if not isinstance(image, Image.Image):
            raise BadImage(f"a {type(image).__name__}, not an image")
        return to_rgb(image)

    def take(self, ids: Sequence[int]) -> Self:
        """Return a data set of these images alone, in this order."""
        return replace(
            self,
            paths=tuple(self.paths[index] for index in ids),
            labels=tuple(self.labels[index] for index in ids),
            ids=tuple(self.ids[index] for index in ids),
        )


def index_dataset(
    items: MapStyleDataset, name: str, *, class_names: ClassNames | None = None
) -> IndexedImages:
    """Index a dataset of pairs of a PIL image and a class.

    Args:
        items: The dataset; its attribute `classes`, if it has one, names the classes.
        name: Name of the data set.
        class_names: Names of the classes, by name or number, or one for each in order.

    Raises:
        LurkError: The dataset is empty, or its classes are not numbers from 0.
    """
    if not len(items):
        raise LurkError(f"data set {name!r} is empty", "choose another split")
    labels = _labels(items, name)
    total = hashlib.sha256(np.asarray(labels, np.int64).tobytes())
    _digest_pixels(items, total.update)
    own = getattr(items, "classes", None)
    count = max(labels) + 1
    named = isinstance(own, list | tuple) and len(own) >= count and all(isinstance(n, str) for n in own)
    if isinstance(class_names, tuple | list) and not named:
        count = max(count, len(class_names))  # the last classes may have no images
    classes = (
        [escape_surrogates(str(n)) for n in own] if named and own else [str(index) for index in range(count)]
    )
    return IndexedImages(
        name=name,
        paths=tuple(f"{index:05}" for index in range(len(items))),
        labels=tuple(labels),
        classes=name_classes(classes, class_names),
        digest=total.hexdigest(),
        ids=tuple(range(len(items))),
        items=items,
    )


def _labels(items: MapStyleDataset, name: str) -> list[int]:
    found = next((getattr(items, key) for key in _LABEL_ATTRIBUTES if hasattr(items, key)), None)
    if found is None or len(found) != len(items):
        found = [items[index][1] for index in range(len(items))]
    try:
        labels = [int(label) for label in found]
    except (TypeError, ValueError, RuntimeError):  # torch raises RuntimeError
        labels = [-1]
    if min(labels) < 0:
        raise LurkError(
            f"the labels of data set {name!r} are not class numbers, {str(found[0])[:40]!r} for example",
            "choose a data set for classification",
        )
    return labels


def _digest_pixels(items: MapStyleDataset, update: Callable[[bytes | memoryview], object]) -> None:
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
    spec: str,
    root: Path,
    *,
    class_names: ClassNames | None = None,
    available: Mapping[str, Any] | None = None,
) -> IndexedImages:
    """Open a data set of torchvision, and download it if its files are missing.

    Args:
        spec: `torchvision:NAME` or `torchvision:NAME:SPLIT`, such as `torchvision:CIFAR10:train`; the split
            is `test` by default.
        root: Folder for the files of the data set.
        class_names: Names of the classes, see `index_dataset`.
        available: Data sets by name; `None` for torchvision's.

    Raises:
        LurkError: The data set or its split does not exist, or it cannot be downloaded.
    """
    name, _, split = spec.removeprefix(TORCHVISION_PREFIX).partition(":")
    sets = vars(torchvision.datasets) if available is None else available
    kind: Any = sets.get(name)
    if not (inspect.isclass(kind) and hasattr(kind, "__getitem__")):
        names = [n for n, v in sets.items() if inspect.isclass(v) and hasattr(v, "__getitem__")]
        near = get_close_matches(name, names, n=3, cutoff=0.4) or ["CIFAR10", "MNIST"]
        raise LurkError(f"torchvision has no data set {name!r}", f"did you mean {' or '.join(near)}?")
    try:
        options = _constructor_options(kind, name, split, root)
        if "root" in options:
            root.mkdir(parents=True, exist_ok=True)
        items: Any = kind(**options)
        title = f"{name}-{split or 'test'}" if options.keys() & {"train", "split"} else name
        return index_dataset(items, title, class_names=class_names)
    except LurkError:
        raise
    except Exception as error:  # torchvision has no common exception for failed downloads
        line = next(iter(str(error).splitlines()), "") or type(error).__name__
        line = line.removeprefix("<urlopen error ").removesuffix(">")
        raise LurkError(
            f"torchvision's data set {name!r} cannot be opened ({line[:160]})",
            (
                f"put its files into {str(root)!r} (set by ",
                Option("data_root"),
                "), or choose another data set",
            ),
        ) from error


def _constructor_options(kind: Any, name: str, split: str, root: Path) -> dict[str, Any]:
    """Return the arguments of a data set's constructor for a split.

    Raises:
        LurkError: The data set has no such split.
    """
    options: dict[str, Any] = {}
    parameters = inspect.signature(kind).parameters
    if "root" in parameters:
        options["root"] = str(root)
    if "train" in parameters:
        if split not in ("", "train", "test"):
            raise LurkError(f"data set {name!r} has no split {split!r}", "choose train or test")
        options["train"] = split == "train"
    elif "split" in parameters:
        options["split"] = split or "test"
    elif split:
        raise LurkError(f"data set {name!r} has no splits", f"leave out {':' + split!r}")
    if "download" in parameters:
        options["download"] = True
    return options
