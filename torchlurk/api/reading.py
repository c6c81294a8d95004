"""Reading a store: `StoreView`, its layers and their filters. It does not import torch.

Each access reads the files again, so results that another process adds to a store are visible.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex, get_args

from numpy.typing import NDArray

from torchlurk.api.entries import Profile, TopImage
from torchlurk.api.filters import FilterView
from torchlurk.api.image_table import ImageRow, ImageTable
from torchlurk.api.kinds import GradientKind, ListKind
from torchlurk.errors import LurkError, Option, check_choice
from torchlurk.store import schema
from torchlurk.store.activations import ActivationKind, read_array, read_image_table
from torchlurk.store.pictures import (
    IMAGE,
    StoredPicture,
    StoredPictures,
    find_picture,
    layer_pictures,
    stored_images,
)
from torchlurk.store.read import read_images, read_layer, read_manifest
from torchlurk.store.read_circuits import read_circuits
from torchlurk.store.read_spectrum import read_spectrum
from torchlurk.store.selection import check_channel, find_layer

_WITH_ACTIVATIONS = ("compute them with ", Option("keep_activations", "yes"))

__all__ = [
    "FilterView",
    "GradientKind",
    "LayerView",
    "ListKind",
    "Profile",
    "StoreView",
    "TopImage",
    "open_store",
]


@dataclass(frozen=True)
class StoreView:
    """A store whose scan is complete.

    Attributes:
        path: Folder of the store.
        manifest: Content of `network.json`.

    Examples:
        >>> manifest = lurker.store.manifest
        >>> manifest.title, manifest.dataset.images, manifest.input.shape
        ('SmallNet', 215, (3, 32, 32))
    """

    path: Path
    manifest: schema.Manifest

    @cached_property
    def images(self) -> schema.ImageEntries:
        """The images that some filter refers to, by id."""
        return self.images_file.images

    @cached_property
    def images_file(self) -> schema.ImagesFile:
        """Content of `images.json`, read at the first access."""
        return read_images(self.path)

    def image(self, image: int) -> StoredPicture:
        """Return where the store has an image that some filter refers to.

        Args:
            image: Its id.

        Raises:
            LurkError: The store does not have the image.
        """
        return find_picture(self._stored_images, image, IMAGE)

    @cached_property
    def _stored_images(self) -> StoredPictures:
        return stored_images(self.path, self.images_file)

    def label(self, number: int) -> str:
        """Return the name of a class of the data set.

        Raises:
            LurkError: There is no class of that number.
        """
        names = self.manifest.dataset.classes
        if number >= len(names):
            raise LurkError(
                f"{str(self.path)!r} refers to class {number} and has {len(names)} classes",
                ("compute it again with ", Option("overwrite", True)),
            )
        return names[number]

    def layer(self, layer: str | SupportsIndex) -> LayerView:
        """Return a layer by its name, or by its position in execution order.

        Args:
            layer: Dotted name, or position; negative ones count from the end.

        Raises:
            LurkError: There is no such layer.
        """
        name = layer if isinstance(layer, str) else operator.index(layer)
        return LayerView(self, find_layer(self.manifest.layers, name))


def open_store(path: str | Path) -> StoreView:
    """Open a store for reading, without the network and without torch.

    Args:
        path: Folder of the store.

    Raises:
        LurkError: The folder holds no store, or its scan is not complete.

    Examples:
        >>> store = torchlurk.open_store("saved_model/small")
        >>> store.layer("features.0")[0].max[0].path  # doctest: +SKIP
        'fishes/angelfish.jpg'
    """
    path = Path(path)
    if not (path / "network.json").is_file():
        raise LurkError(
            f"{str(path)!r} holds no store yet", "call compute_top_imgs() of a Lurk with a network"
        )
    manifest = read_manifest(path)
    if not manifest.stages.scan.complete:
        raise LurkError(
            f"the scan of {str(path)!r} was interrupted", "call compute_top_imgs() again to resume it"
        )
    return StoreView(path, manifest)


@dataclass(frozen=True)
class LayerView:
    """A layer of a store: its filters by number and by iteration; `len` gives their number.

    Attributes:
        store: The store.
        facts: Its record in the manifest: `name`, `kind`, `channels`, `shape`, `receptive_field`.

    Examples:
        >>> layer = lurker["features.17"]
        >>> layer.facts.shape, layer.facts.receptive_field.size
        ((128, 8, 8), (32, 32))
        >>> best = max(lurker["features.14"], key=lambda entry: entry.stats.selectivity or 0)
        >>> best.channel, best.classes.max[0][0]
        (1, 'castles')
    """

    store: StoreView
    facts: schema.LayerRecord

    @property
    def name(self) -> str:
        """Dotted name of the layer."""
        return self.facts.name

    @cached_property
    def data(self) -> schema.LayerFile:
        """Content of its file, read at the first access."""
        return read_layer(self.store.path, self.facts)

    @cached_property
    def circuits(self) -> schema.CircuitFile:
        """Content of the file of its circuits, read at the first access.

        Raises:
            LurkError: The store has no circuits, or the file is missing or damaged.
        """
        self._require(
            self.store.manifest.stages.circuits.complete,
            "circuits yet",
            "call compute_circuits(), or run torchlurk precompute with ",
            Option("stages", "circuits"),
        )
        return read_circuits(self.store.path, self.store.manifest, self.facts)

    def activations(self, kind: ActivationKind = "max") -> NDArray[Any]:
        """Return the activations of all images, as a memory-mapped array that is read-only.

        An image that could not be read, or that does not reach the layer, has NaN.

        Args:
            kind: `max`, the maxima of the feature maps; `mean`, their means; or `position`, where the maxima
                are, as `y * W + x`.

        Returns:
            `(images, channels)`: float32, or the smallest unsigned integer type for positions. The rows are
            those of `images`.

        Raises:
            LurkError: The store does not have them.

        Examples:
            >>> maxima = lurker["features.17"].activations()
            >>> maxima.shape, maxima.dtype
            ((215, 128), dtype('float32'))
        """
        check_choice("kind", kind, get_args(ActivationKind))
        self._require(self.store.manifest.activations, "activations of all images", *_WITH_ACTIVATIONS)
        return read_array(self.store.path, self.facts, kind)

    def images(self) -> ImageTable:
        """Return path and class of all images, in the order of the rows of `activations`.

        Raises:
            LurkError: The store does not have the activations.

        Examples:
            >>> images = lurker["features.17"].images()
            >>> best = lurker["features.17"].activations()[:, 5].argmax()
            >>> images[best].path == lurker["features.17"][5].max[0].path
            True
        """
        self._require(self.store.manifest.activations, "activations of all images", *_WITH_ACTIVATIONS)
        return ImageTable(
            ImageRow(path, self.store.label(number)) for path, number in read_image_table(self.store.path)
        )

    def _require(self, present: bool, what: str, *hint: str | Option) -> None:
        if not present:
            raise LurkError(f"{str(self.store.path)!r} has no {what}", hint)

    @cached_property
    def spectra(self) -> schema.SpectrumFile:
        """Content of the file of its spectra; raises `LurkError` if the store has none."""
        self._require(self.store.manifest.spectra, "spectra", *_WITH_ACTIVATIONS)
        return read_spectrum(self.store.path, self.facts)

    @property
    def excitation(self) -> tuple[float, ...]:
        """For each filter, the sum of the positive contributions of the filters directly upstream.

        Raises:
            LurkError: The store has no circuits.
        """
        return tuple(entry.excitation for entry in self.circuits.filters)

    @property
    def inhibition(self) -> tuple[float, ...]:
        """For each filter, the sum of the negative contributions, at most 0."""
        return tuple(entry.inhibition for entry in self.circuits.filters)

    @property
    def rest(self) -> tuple[float, ...]:
        """For each filter, what excitation and inhibition do not explain of its score."""
        return tuple(entry.rest for entry in self.circuits.filters)

    def picture(self, channel: int, kind: str) -> StoredPicture:
        """Return where the store has a picture of a filter: a file, and the range of its bytes.

        Args:
            channel: The filter.
            kind: Kind of the picture.

        Raises:
            LurkError: There is no such picture.
        """
        found = find_picture(self._pictures, channel, kind)
        if found.path.is_file():
            return found
        # A run that extends the store replaces its packs.
        file = read_layer(self.store.path, self.facts)
        return find_picture(layer_pictures(self.store.path, file), channel, kind)

    @cached_property
    def _pictures(self) -> StoredPictures:
        return layer_pictures(self.store.path, self.data)

    def __len__(self) -> int:
        return self.facts.channels

    def __getitem__(self, channel: SupportsIndex) -> FilterView:
        """Return a filter by its number, from 0; negative ones count from the end.

        Raises:
            LurkError: There is no such filter.
        """
        number = check_channel(self.facts, operator.index(channel))
        return FilterView(self, self.data.filters[number])

    def __iter__(self) -> Iterator[FilterView]:
        return (FilterView(self, entry) for entry in self.data.filters)

    def __repr__(self) -> str:
        return f"<layer {self.name!r} of {self.store.manifest.title}: {self.facts.kind}, {len(self)} filters>"
