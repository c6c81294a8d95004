"""For the filters of one layer: crops, gradients and ascent, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torchlurk.ascent import optimise
from torchlurk.attribution import gradients
from torchlurk.attribution.relu_rules import ReluRule
from torchlurk.datasets.inputs import Decoded
from torchlurk.graph import Layer
from torchlurk.models.runner import Runnable
from torchlurk.runtime import pictures
from torchlurk.runtime.pictures import Pixels, PixelSize
from torchlurk.store.schema import Filter

GRAY_SPREAD = 0.02
"""An image whose values, of 0 to 1, spread less than this is gray."""

MADE_AT_ONCE = 64
"""Images whose units are computed together: enough for cuts of equal size to meet."""


@dataclass(frozen=True)
class Source:
    """Where the pixels come from.

    Attributes:
        pixels: gives what is kept of an image by its id, `(H, W, C)`, bytes or float32.
        normalise: from that, `(N, H, W, C)`, to `(N, C, H, W)`, as the network is fed.
        shape: `(C, H, W)` of the network's input.
        device: of the network.
        display: from what is kept of an image to a picture, `(H, W, 3)`.
        shown: which channels of an input a picture shows.
    """

    pixels: Callable[[int], Decoded]
    normalise: Callable[[Tensor], Tensor]
    shape: tuple[int, int, int]
    device: torch.device
    display: Callable[[Decoded], Pixels]
    shown: tuple[int, ...]

    def picture(self, image: int) -> Pixels:
        """An image as a person is shown it: `(H, W, 3)`."""
        return self.display(self.pixels(image))

    def seen(self, values: Tensor) -> Tensor:
        """Of values `(N, C, H, W)` the channels that a picture shows: three, or one for gray."""
        return values[:, list(self.shown)]

    def image(self, image: int) -> Tensor:
        """An image as the network is fed it: `(C, H, W)`."""
        pixels = torch.from_numpy(self.pixels(image)).to(self.device)
        return self.normalise(pixels[None])[0]


def field_size(layer: Layer) -> PixelSize:
    """Height and width in pixels of the layer's receptive field, padding included."""
    return layer.field.rows.size, layer.field.columns.size


def tiles(layer: Layer, source: Source) -> dict[str, PixelSize]:
    """The size of a tile of each kind of picture of a layer."""
    seen = pictures.tile_size(field_size(layer))
    whole = pictures.tile_size((source.shape[1], source.shape[2]))
    return {
        "cropped": seen,
        "cropped_grad": seen,
        "max_grads": whole,
        "avg_grads": whole,
        "max_activ": optimise.canvas_size(layer.field, (source.shape[1], source.shape[2])),
    }


def crops(layer: Layer, filters: Sequence[Filter], source: Source) -> Iterator[tuple[int, Pixels]]:
    """The strip of each filter's receptive fields, by channel."""
    tile = tiles(layer, source)["cropped"]
    for entry in filters:
        yield (
            entry.channel,
            pictures.strip(
                [
                    pictures.crop(source.picture(e.image), layer.field.window(*e.position), tile)
                    for e in entry.max
                ]
            ),
        )


@dataclass(frozen=True)
class UnitPictures:
    """The gradients of a filter's winning units.

    Attributes:
        channel: the filter.
        whole: strip of the gradients in the whole input.
        cropped: strip of the same, cut at the receptive field.
        scores: what the units scored, computed again from the crops alone.
    """

    channel: int
    whole: Pixels
    cropped: Pixels
    scores: tuple[float, ...]


def unit_pictures(
    model: Runnable, layer: Layer, filters: Sequence[Filter], source: Source, rule: ReluRule, *, at_once: int
) -> Iterator[UnitPictures]:
    """The gradient strips of the `max` entries of some filters, which run together; in their order.

    Args:
        model: the network, isolated.
        layer: of the filters.
        filters: which; the last digits depend on all of them, as cuts of equal size share batches.
        source: where images come from.
        rule: what ReLUs let back.
        at_once: how many images' worth of pixels a batch has.
    """
    size = tiles(layer, source)
    used = sorted({e.image for entry in filters for e in entry.max})
    index = {image: i for i, image in enumerate(used)}
    units = [
        gradients.Unit(index[e.image], entry.channel, *e.position) for entry in filters for e in entry.max
    ]
    images = [source.image(image) for image in used]
    whole: dict[int, Pixels] = {}
    cropped: dict[int, Pixels] = {}
    scores: dict[int, float] = {}
    for found in gradients.unit_gradients(
        model, layer.name, layer.field, images, units, rule,
        batch_pixels=at_once * source.shape[1] * source.shape[2],
    ):  # fmt: skip
        unit = units[found.index]
        full = gradients.place_in_input(found, source.shape[1:])
        window = layer.field.window(unit.y, unit.x)
        cut = pictures.crop_gradient(full, window)
        whole[found.index] = pictures.gradient_tiles(source.seen(full[None]), size["max_grads"])[0]
        cropped[found.index] = pictures.gradient_tiles(source.seen(cut[None]), size["cropped_grad"])[0]
        scores[found.index] = found.score
    first = 0
    for entry in filters:
        ranks = range(first, first + len(entry.max))
        yield UnitPictures(
            entry.channel,
            pictures.strip([whole[i] for i in ranks]),
            pictures.strip([cropped[i] for i in ranks]),
            tuple(scores[i] for i in ranks),
        )
        first += len(entry.max)


def scores_of_crops(
    model: Runnable, layer: Layer, filters: Sequence[Filter], source: Source, *, at_once: int
) -> Iterator[list[tuple[int, int, float]]]:
    """What the `max` entries of the filters score, computed again from their crops alone.

    Yields:
        For some images after others, the filter, the rank in its list and the score of each entry there.
    """
    wanted: dict[int, list[tuple[int, int, tuple[int, int]]]] = {}
    for entry in filters:
        for rank, e in enumerate(entry.max):
            wanted.setdefault(e.image, []).append((entry.channel, rank, e.position))
    used = sorted(wanted)
    for start in range(0, len(used), MADE_AT_ONCE):
        block = used[start : start + MADE_AT_ONCE]
        asked = [(index, *one) for index, image in enumerate(block) for one in wanted[image]]
        units = [gradients.Unit(index, channel, *position) for index, channel, _, position in asked]
        scores = gradients.unit_scores(
            model,
            layer.name,
            layer.field,
            [source.image(image) for image in block],
            units,
            batch_pixels=at_once * source.shape[1] * source.shape[2],
        )
        yield [(channel, rank, score) for (_, channel, rank, _), score in zip(asked, scores, strict=True)]


def map_pictures(
    model: Runnable, layer: Layer, filters: Sequence[Filter], source: Source, rule: ReluRule
) -> Iterator[tuple[int, Pixels]]:
    """The gradient strip of the `avg` entries of each filter; one forward an image serves them all."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for entry in filters:
        for rank, e in enumerate(entry.avg):
            wanted.setdefault(e.image, []).append((entry.channel, rank))
    tile = tiles(layer, source)["avg_grads"]
    drawn: dict[tuple[int, int], Pixels] = {}
    left = {entry.channel: len(entry.avg) for entry in filters}
    for image in sorted(wanted):
        channels = [channel for channel, _ in wanted[image]]
        found = gradients.map_gradients(model, layer.name, source.image(image), channels, rule)
        for (channel, rank), gradient in zip(wanted[image], found, strict=True):
            drawn[channel, rank] = pictures.gradient_tiles(source.seen(gradient[None]), tile)[0]
            left[channel] -= 1
            if not left[channel]:
                ranks = sorted(r for c, r in drawn if c == channel)
                yield channel, pictures.strip([drawn.pop((channel, r)) for r in ranks])


@dataclass(frozen=True)
class AscentPicture:
    """The image that gradient ascent found for a filter.

    Attributes:
        channel: the filter.
        picture: the image.
        score: the mean activation it reaches.
        ratio: to the highest such activation of a real image; `None` where that is not positive.
        found: whether it excites the filter at all.
    """

    channel: int
    picture: Pixels
    score: float
    ratio: float | None
    found: bool


Ascend = Callable[[Layer, Sequence[int], Sequence[torch.Generator]], optimise.AscentResult]
"""Finds the images of some filters of a layer, each with a generator of its own."""


def ascent_pictures(
    layer: Layer,
    filters: Sequence[Filter],
    wanted: Collection[int],
    ascend: Ascend,
    source: Source,
    seed: int,
    best: Callable[[Filter], float],
) -> Iterator[AscentPicture]:
    """The image that excites each filter most; what fails once is tried again from another seed.

    Args:
        layer: which.
        filters: those that ascend together, wanted or not: in a batch of another size the last digits are
            others, which an ascent makes large.
        wanted: the channels whose images are wanted.
        ascend: how images are found.
        source: says which channels of an image are shown.
        seed: of all randomness.
        best: what the best real image gives a filter, in the terms of the objective.
    """

    def attempt(block: Sequence[Filter], number: int) -> Mapping[int, AscentPicture]:
        channels = [entry.channel for entry in block]
        found = ascend(
            layer, channels, [optimise.filter_generator(seed, layer.name, c, number) for c in channels]
        )
        drawn = pictures.to_pixels(source.seen(found.images))
        contrast = found.images.std(dim=(1, 2, 3))
        return {
            entry.channel: AscentPicture(
                entry.channel,
                picture,
                score,
                score / best(entry) if best(entry) > 0 else None,
                found=score > 0 and spread > GRAY_SPREAD,
            )
            for entry, picture, score, spread in zip(
                block, drawn, found.scores.tolist(), contrast.tolist(), strict=True
            )
        }

    asked = [entry.channel for entry in filters if entry.channel in wanted]
    results = dict(attempt(filters, 0))
    failed = [entry for entry in filters if not results[entry.channel].found]
    if any(entry.channel in asked for entry in failed):
        for channel, again in attempt(failed, 1).items():
            if again.found or again.score > results[channel].score:
                results[channel] = again
    yield from (results[channel] for channel in asked)
