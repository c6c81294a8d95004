"""A store as Python sees it: networks, layers and filters by name and number. Needs no torch.

Nothing is kept between two questions to a network, so that what another cell of a notebook, or another
process, has added since is there.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, SupportsIndex, TypeVar

from PIL import Image

from torchlurk.api.cards import Card, Row, card
from torchlurk.errors import LurkError
from torchlurk.store import schema
from torchlurk.store.read import PICTURE_FORMATS, read_images, read_layer, read_manifest
from torchlurk.store.selection import check_channel, find_layer

T = TypeVar("T")

Kind = Literal["max", "avg"]
"""A list of a filter's: by the highest single activation, or by the mean of the map."""

GradientKind = Literal["max", "avg", "crop"]
"""A gradient: of the winning unit, of the map's mean, or of the winning unit and cut to what it sees."""

FOLDERS: dict[str, str] = {"max": "max_grads", "avg": "avg_grads", "crop": "cropped_grad"}
"""Where the gradients of each kind lie."""


@dataclass(frozen=True)
class TopImage:
    """An image in a list of a filter.

    Attributes:
        image: its id in the store.
        path: its place in the data set.
        label: the name of its class.
        score: the activation, in the layer's own unit; the highest one, or the mean of the map.
        position: `(y, x)` of the highest one in the feature map; `None` in a list by mean, as are the next.
        box: what the unit sees: left, top, right, bottom; pixels of the input, half-open.
        certificate: how far the activation of the crop alone lies from the score, relative to it; `None` also
            where it was not computed.
    """

    image: int
    path: str
    label: str
    score: float
    position: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None
    certificate: float | None = None


@dataclass(frozen=True)
class Profile:
    """The classes that excite a filter most, highest first, each with a mean over its images.

    Attributes:
        max: by the mean of the highest activations; ten pairs of a class and its mean at most.
        avg: by the mean of the maps' means, likewise.
    """

    max: tuple[tuple[str, float], ...]
    avg: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class StoreView:
    """A store whose scan is complete.

    Attributes:
        path: its folder.
        manifest: what `network.json` says.

    Examples:
        >>> manifest = lurker.store.manifest
        >>> manifest.title, manifest.dataset.images, manifest.input.shape
        ('SmallNet', 215, (3, 32, 32))
    """

    path: Path
    manifest: schema.Manifest

    @cached_property
    def images(self) -> schema.ImageEntries:
        """What `images.json` says: by id, the images that some filter refers to."""
        return read_images(self.path)

    def label(self, number: int) -> str:
        """The name of a class.

        Raises:
            LurkError: there is none of that number.
        """
        names = self.manifest.dataset.classes
        if number >= len(names):
            raise LurkError(
                f"{str(self.path)!r} refers to class {number} and has {len(names)}: "
                "compute it again with --overwrite"
            )
        return names[number]

    def layer(self, wanted: str | SupportsIndex) -> LayerView:
        """The layer of a name, or at a position in execution order; negative ones count from the end.

        Raises:
            LurkError: there is none.
        """
        name = wanted if isinstance(wanted, str) else operator.index(wanted)
        return LayerView(self, find_layer(self.manifest.layers, name))


def open_store(path: Path) -> StoreView:
    """Open a store to read.

    Raises:
        LurkError: there is none, or no scan of it was completed.
    """
    if not (path / "network.json").is_file():
        raise LurkError(f"{str(path)!r} holds no store yet: call compute_top_imgs() of a Lurk with a network")
    manifest = read_manifest(path)
    if not manifest.stages.scan.complete:
        raise LurkError(
            f"the scan of {str(path)!r} was stopped before its end: call compute_top_imgs() again"
        )
    return StoreView(path, manifest)


@dataclass(frozen=True)
class LayerView:
    """A layer; its filters by number, by iteration, and `len`.

    Attributes:
        store: where it is kept.
        facts: what the manifest says of it: `name`, `kind`, `channels`, `shape`, `receptive_field`.

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
        """Its dotted name."""
        return self.facts.name

    @cached_property
    def data(self) -> schema.LayerFile:
        """What its file says, as read when it was first asked for."""
        return read_layer(self.store.path, self.facts)

    def __len__(self) -> int:
        return self.facts.channels

    def __getitem__(self, channel: SupportsIndex) -> FilterView:
        """A filter by its number, from 0; negative ones count from the end.

        Raises:
            LurkError: there is none.
        """
        at = check_channel(self.facts, operator.index(channel))
        return FilterView(self, self.data.filters[at])

    def __iter__(self) -> Iterator[FilterView]:
        return (FilterView(self, entry) for entry in self.data.filters)

    def __repr__(self) -> str:
        return f"<layer {self.name!r} of {self.store.manifest.title}: {self.facts.kind}, {len(self)} filters>"


@dataclass(frozen=True)
class FilterView:
    """A filter: its lists, profile and statistics, and its pictures; in a notebook it shows its card.

    Attributes:
        layer: whose it is.
        entry: what the layer's file says of it.

    Examples:
        >>> horse = lurker["classifier"][7]
        >>> [(top.path, round(top.score)) for top in horse.max[:2]]
        [('farm/sheep.jpg', 4), ('farm/horse.jpg', 4)]
        >>> edge = lurker["features.3"][5]
        >>> edge.max[0].position, edge.max[0].box
        ((27, 19), (17, 25, 22, 30))
    """

    layer: LayerView
    entry: schema.Filter

    @property
    def channel(self) -> int:
        """Its number, from 0."""
        return self.entry.channel

    @property
    def name(self) -> str | None:
        """What it stands for, where it is an output of the network whose meaning is known."""
        names = self.layer.data.names
        return names[self.channel] if names else None

    @property
    def max(self) -> tuple[TopImage, ...]:
        """The images with the highest single activation, best first; `--top` or `top=` of them, usually 4."""
        return tuple(
            TopImage(*self._image(e), position=e.position, box=e.box, certificate=e.certificate)
            for e in self.entry.max
        )

    @property
    def avg(self) -> tuple[TopImage, ...]:
        """The images with the highest mean activation, best first."""
        return tuple(TopImage(*self._image(e)) for e in self.entry.avg)

    def _image(self, entry: schema.MaxEntry | schema.AvgEntry) -> tuple[int, str, str, float]:
        store = self.layer.store
        if str(entry.image) not in store.images:
            raise LurkError(
                f"{str(store.path / 'images.json')!r} lists no image {entry.image}, which filter "
                f"{self.channel} of {self.layer.name!r} refers to: compute the store again with --overwrite"
            )
        return entry.image, store.images[str(entry.image)].path, store.label(entry.label), entry.score

    @property
    def classes(self) -> Profile:
        """The classes that excite it most."""
        label, own = self.layer.store.label, self.entry.classes
        by_max, by_avg = (tuple((label(c), mean) for c, mean in rows) for rows in (own.max, own.avg))
        return Profile(by_max, by_avg)

    @property
    def stats(self) -> schema.Stats:
        """What it does over all images: means, spreads, share of images that excite it, selectivity.

        `selectivity` is that of Morcos et al. 2018 (arXiv:1803.06959) over classes, 0 to 1.
        """
        return self.entry.stats

    @property
    def image(self) -> Image.Image:
        """The image that gradient ascent found for it, RGB, or gray of a network of one channel.

        Raises:
            LurkError: it has not been computed.
        """
        return _opened(self.file("max_activ"))

    def photo(self, rank: int = 0, kind: Kind = "max") -> Image.Image:
        """An image of a list as the network saw it, resized and cut.

        Args:
            rank: its place in the list, the best one at 0.
            kind: which list, `max` or `avg`.

        Raises:
            LurkError: there is no such rank or list.

        Examples:
            >>> horse.photo(1).size
            (32, 32)
        """
        tops = check_kind(kind, {"max": self.max, "avg": self.avg})
        image = tops[self._rank(rank, len(tops))].image
        return _opened(self.layer.store.path / schema.image_path(image))

    def crop(self, rank: int = 0) -> Image.Image:
        """What the winning unit sees of an image of the list by maximum: its receptive field, exactly.

        Args:
            rank: the image's place in the list, the best one at 0; what lies outside of it is gray.

        Raises:
            LurkError: there is no such rank, or no crop, as its units see all of an image.

        Examples:
            >>> edge.crop(0).size
            (50, 50)
        """
        return self._tile("cropped", rank, len(self.entry.max))

    def gradient(self, rank: int = 0, kind: GradientKind = "max") -> Image.Image:
        """A gradient as a picture: zero is gray.

        Args:
            rank: the image's place in the list, the best one at 0.
            kind: of the winning unit (`max`), cut to what it sees (`crop`), or of the map's mean (`avg`).

        Raises:
            LurkError: it has not been computed, or there is no such rank.
        """
        folder = check_kind(kind, FOLDERS)
        return self._tile(folder, rank, len(self.entry.avg if kind == "avg" else self.entry.max))

    def tiles(self, folder: str) -> Image.Image:
        """All tiles of a kind of picture, side by side.

        Args:
            folder: as in the store: `cropped`, `max_grads`, `cropped_grad`, `avg_grads` or `max_activ`.

        Raises:
            LurkError: it has not been computed.
        """
        return _opened(self.file(folder))

    def _tile(self, folder: str, rank: int, count: int) -> Image.Image:
        strip = self.tiles(folder)
        at, width = self._rank(rank, count), strip.width // count
        return strip.crop((at * width, 0, (at + 1) * width, strip.height))

    def _rank(self, rank: int, count: int) -> int:
        if not -count <= rank < count:
            raise LurkError(f"the list of filter {self.channel} has ranks 0 to {count - 1}, not {rank}")
        return rank % count

    def file(self, folder: str) -> Path:
        """Where a kind of picture of it lies, see `tiles`.

        Raises:
            LurkError: it has not been computed; the message has the call that does.
        """
        layer, channel = self.layer.name, self.channel
        if folder in self.entry.pictures:
            return self.layer.store.path / schema.picture_path(folder, layer, channel)
        if folder == "cropped" or (folder == "cropped_grad" and "max_grads" in self.entry.pictures):
            raise LurkError(f"a unit of {layer!r} sees all of an image, so there is no crop: take photo()")
        call = "compute_viz" if folder == "max_activ" else "compute_grads"
        raise LurkError(
            f"filter {channel} of {layer!r} has no {folder} yet: call {call}(layers={layer!r}, "
            f"filters=[{channel}])"
        )

    def __repr__(self) -> str:
        return f"<filter {self.channel} of layer {self.layer.name!r}: {', '.join(self.entry.pictures)}>"

    def _repr_html_(self) -> str:
        return card(self._describe())

    def _describe(self) -> Card:
        """What its card shows."""
        store, stats = self.layer.store, self.stats
        facts = [f"active on {stats.active:.0%} of images", f"mean of maxima {stats.max_mean:.4g}"]
        if stats.selectivity is not None:
            facts.append(f"class selectivity {stats.selectivity:.2f}")
        if self.entry.ascent is not None and self.entry.ascent.ratio is not None:
            facts.append(f"its image reaches {self.entry.ascent.ratio:.2g} times the best photograph")
        rows = []
        for title, entries in (("highest activation", self.max), ("highest mean", self.avg)):
            pictures = [store.path / schema.image_path(e.image) for e in entries]
            rows.append(Row(title, pictures, [f"{e.label}, {e.score:.4g}" for e in entries]))
        strips = {
            "cropped": "what the unit sees",
            "cropped_grad": "its gradient",
            "max_activ": "filter image",
        }
        for folder, title in strips.items():
            if folder in self.entry.pictures:
                rows.append(Row(title, [self.file(folder)], [title]))
        classes = ", ".join(f"{name} {mean:.3g}" for name, mean in self.classes.max[:5])
        name = f" ({self.name})" if self.name else ""
        title = f"{store.manifest.title} · {self.layer.name} · filter {self.channel}{name}"
        return Card(title, [*facts, f"classes: {classes}"], rows)


def check_kind(kind: str, kinds: Mapping[str, T]) -> T:
    """What belongs to a kind. Raises `LurkError` if there is no such kind."""
    if kind not in kinds:
        raise LurkError(f"there is no kind {kind!r}: choose of {', '.join(kinds)}")
    return kinds[kind]


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            picture.load()
            return picture.copy()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise LurkError(f"{str(path)!r} cannot be read ({problem}): compute the store again") from problem
