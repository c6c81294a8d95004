"""One filter of a store: its top lists, class profile, statistics and pictures. It does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from torchlurk.api.cards import filter_card, render_card
from torchlurk.api.circuits import DownstreamTable, UpstreamTable, downstream_table, upstream_table
from torchlurk.api.entries import Profile, Quantile, TopImage
from torchlurk.api.kinds import GRADIENT_PICTURES, GradientKind, ListKind, lookup_kind
from torchlurk.errors import LurkError, Option
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.store import schema
from torchlurk.store.pictures import StoredPicture

if TYPE_CHECKING:
    from torchlurk.api.reading import LayerView


@dataclass(frozen=True)
class FilterView:
    """A filter of a store. In a notebook it displays as a card.

    Attributes:
        layer: Its layer.
        entry: Its record in the layer's file.

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
        """Number of the filter, from 0."""
        return self.entry.channel

    @property
    def name(self) -> str | None:
        """Name of the class that the filter stands for, if it is an output of the network and has a name."""
        names = self.layer.data.names
        return names[self.channel] if names else None

    @property
    def max(self) -> tuple[TopImage, ...]:
        """Images with the highest single activation, best first; `--top` or `top=` of them, usually 4."""
        return tuple(
            TopImage(*self._image(e), position=e.position, box=e.box, certificate=e.certificate)
            for e in self.entry.max
        )

    @property
    def avg(self) -> tuple[TopImage, ...]:
        """Images with the highest mean activation, best first."""
        return tuple(TopImage(*self._image(e)) for e in self.entry.avg)

    @property
    def spectrum(self) -> tuple[Quantile, ...]:
        """Images at quantiles of the maxima, from what silences the filter to what excites it.

        Raises:
            LurkError: The store has no spectra.
        """
        file = self.layer.spectra
        return tuple(
            Quantile(quantile, tuple(self._spectrum_image(entry) for entry in pair))
            for quantile, pair in zip(file.quantiles, file.filters[self.channel], strict=True)
        )

    def _spectrum_image(self, entry: schema.SpectrumEntry) -> TopImage:
        store = self.layer.store
        label = store.images[str(entry.image)].label
        listed = schema.AvgEntry(entry.image, label, entry.score)
        return TopImage(*self._image(listed), position=entry.position, box=entry.box)

    def _image(self, entry: schema.MaxEntry | schema.AvgEntry) -> tuple[int, str, str, float]:
        """Return id, path, class name and score of an entry."""
        store = self.layer.store
        if str(entry.image) not in store.images:
            raise LurkError(
                f"{str(store.path / 'images.json')!r} lists no image {entry.image}, which filter "
                f"{self.channel} of {self.layer.name!r} refers to",
                ("compute the store again with ", Option("overwrite", True)),
            )
        return entry.image, store.images[str(entry.image)].path, store.label(entry.label), entry.score

    @property
    def classes(self) -> Profile:
        """The classes that activate the filter most."""
        label, record = self.layer.store.label, self.entry.classes
        by_max, by_avg = (tuple((label(c), mean) for c, mean in rows) for rows in (record.max, record.avg))
        return Profile(by_max, by_avg)

    @property
    def stats(self) -> schema.Stats:
        """Statistics over all images: means, standard deviations, share of active images, and selectivity.

        `selectivity` is the class selectivity of Morcos et al. 2018 (arXiv:1803.06959), from 0 to 1.
        """
        return self.entry.stats

    @property
    def circuit(self) -> schema.FilterCircuit:
        """Its record in the file of its layer's circuits.

        Raises:
            LurkError: The store has no circuits.
        """
        return self.layer.circuits.filters[self.channel]

    @property
    def excitation(self) -> float:
        """Sum of the positive contributions of the filters directly upstream, see `made_of`."""
        return self.circuit.excitation

    @property
    def inhibition(self) -> float:
        """Sum of the negative contributions, at most 0."""
        return self.circuit.inhibition

    @property
    def rest(self) -> float:
        """What excitation and inhibition do not explain of the score: biases, saturation and curvature."""
        return self.circuit.rest

    def made_of(self) -> UpstreamTable:
        """Return the filters directly upstream that contribute most, exciting ones before inhibiting ones.

        A contribution is the gradient of the score with respect to a feature map upstream, times that map,
        summed over the map: the mean over the units in `max`, or over the strongest unit of every image.

        Raises:
            LurkError: The store has no circuits.

        Examples:
            >>> [(row.layer, row.channel, round(row.share, 2)) for row in edge.made_of()[:2]]
            [('features.0', 7, 0.32), ('features.0', 28, 0.18)]
        """
        return upstream_table(self.layer.circuits, self.channel)

    def used_by(self) -> DownstreamTable:
        """Return the filters directly downstream in which this one has the largest shares.

        Raises:
            LurkError: The store has no circuits.

        Examples:
            >>> [(row.layer, row.channel, round(row.share, 2)) for row in edge.used_by()[:2]]
            [('features.7', 39, 0.26), ('features.7', 49, 0.2)]
        """
        return downstream_table(self.layer.circuits, self.channel)

    @property
    def image(self) -> Image.Image:
        """The filter image, found by gradient ascent: RGB, or gray for a network with one input channel.

        Raises:
            LurkError: It has not been computed.
        """
        return self._find("max_activ").open()

    def photo(self, rank: int = 0, kind: ListKind = "max") -> Image.Image:
        """Return an image of a top list as the network saw it, resized and cropped.

        Args:
            rank: Its rank in the list, from 0 for the best.
            kind: The list, `max` or `avg`.

        Raises:
            LurkError: There is no such rank or list.

        Examples:
            >>> horse.photo(1).size
            (32, 32)
        """
        tops = lookup_kind(kind, {"max": self.max, "avg": self.avg})
        image = tops[self._check_rank(rank, len(tops))].image
        return self.layer.store.image(image).open()

    def crop(self, rank: int = 0) -> Image.Image:
        """Return the receptive field of the unit with the highest activation in an image of the list `max`.

        Args:
            rank: The rank of the image in the list, from 0 for the best. What lies outside the image is gray.

        Raises:
            LurkError: There is no such rank, or no crop, as the units see the whole image.

        Examples:
            >>> edge.crop(0).size
            (50, 50)
        """
        return self._tile("cropped", rank, len(self.entry.max))

    def gradient(self, rank: int = 0, kind: GradientKind = "max") -> Image.Image:
        """Return a gradient as a picture, in which zero is gray.

        Args:
            rank: The rank of the image in the list, from 0 for the best.
            kind: `max`, of the unit with the highest activation; `crop`, the same cut to its receptive field;
                or `avg`, of the map's mean.

        Raises:
            LurkError: It has not been computed, or there is no such rank.
        """
        picture = lookup_kind(kind, GRADIENT_PICTURES)
        return self._tile(picture, rank, len(self.entry.avg if kind == "avg" else self.entry.max))

    @renamed_arguments(folder="kind")
    def tiles(self, kind: str) -> Image.Image:
        """Return all tiles of a kind of picture, side by side.

        Args:
            kind: `cropped`, `max_grads`, `cropped_grad`, `avg_grads` or `max_activ`.

        Raises:
            LurkError: The pictures have not been computed.
        """
        return self._find(kind).open()

    @renamed_arguments(folder="kind")
    def file(self, kind: str) -> bytes:
        """Return a kind of picture as the JPEG file in the store.

        Args:
            kind: As in `tiles`.

        Raises:
            LurkError: The picture has not been computed.
        """
        return self._find(kind).read()

    def _tile(self, kind: str, rank: int, count: int) -> Image.Image:
        strip = self.tiles(kind)
        column, width = self._check_rank(rank, count), strip.width // count
        return strip.crop((column * width, 0, (column + 1) * width, strip.height))

    def _check_rank(self, rank: int, count: int) -> int:
        """Return a rank from 0; negative ones count from the end."""
        if not -count <= rank < count:
            raise LurkError(f"the list of filter {self.channel} has ranks 0 to {count - 1}, not {rank}")
        return rank % count

    def _find(self, kind: str) -> StoredPicture:
        """Return where a kind of picture is; the hint of the error has the call that computes it."""
        layer, channel = self.layer.name, self.channel
        if kind in self.entry.pictures:
            return self.layer.picture(channel, kind)
        if kind == "cropped" or (kind == "cropped_grad" and "max_grads" in self.entry.pictures):
            raise LurkError(
                f"the units of {layer!r} see the whole image, so there is no crop", "call photo()"
            )
        method = "compute_viz" if kind == "max_activ" else "compute_grads"
        raise LurkError(
            f"filter {channel} of {layer!r} has no {kind} yet",
            f"call {method}(layers={layer!r}, filters=[{channel}])",
        )

    def __repr__(self) -> str:
        return f"<filter {self.channel} of layer {self.layer.name!r}: {', '.join(self.entry.pictures)}>"

    def _repr_html_(self) -> str:
        return render_card(filter_card(self))
