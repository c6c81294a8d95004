"""Pictures of the filters of one layer: crops, gradients and images from gradient ascent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from torchlurk.ascent import optimise
from torchlurk.attribution import gradients
from torchlurk.attribution.relu_rules import ReluRule
from torchlurk.attribution.unit_cuts import Unit
from torchlurk.graph import Layer
from torchlurk.models.runner import Runnable
from torchlurk.pipeline.image_source import ImageSource
from torchlurk.runtime import pictures
from torchlurk.runtime.jpeg import Pixels, PixelSize
from torchlurk.store.schema import Filter

_GRAY_SPREAD = 0.02
"""An image whose values in [0, 1] have a smaller standard deviation than this counts as gray."""

_Key = TypeVar("_Key")

_TILES_AT_ONCE = 64
"""Gradients that are drawn together."""

_IMAGES_AT_ONCE = 64
"""Images whose units are scored together: enough for cuts of equal size to share batches."""


def receptive_field_size(layer: Layer) -> PixelSize:
    """Return height and width in pixels of the layer's receptive field, padding included."""
    return layer.field.rows.size, layer.field.columns.size


def tile_sizes(layer: Layer, source: ImageSource) -> dict[str, PixelSize]:
    """Return height and width in pixels of a tile of each kind of picture of a layer."""
    field, whole = pictures.tile_size(receptive_field_size(layer)), pictures.tile_size(source.shape[1:])
    return {
        "cropped": field,
        "cropped_grad": field,
        "max_grads": whole,
        "avg_grads": whole,
        "max_activ": optimise.canvas_size(layer.field, (source.shape[1], source.shape[2])),
    }


def crop_tile(layer: Layer, source: ImageSource, image: int, position: tuple[int, int]) -> Pixels:
    """Return the receptive field of a unit in an image as a tile.

    Args:
        layer: The layer of the unit.
        source: Loads the image.
        image: Id of the image.
        position: `(y, x)` of the unit in the feature map.
    """
    window, size = layer.field.window(*position), pictures.tile_size(receptive_field_size(layer))
    return pictures.crop(source.picture(image), window, size)


@dataclass(frozen=True)
class UnitPictures:
    """Gradients of the units behind the `max` entries of a filter.

    Attributes:
        channel: The filter.
        whole: Tiles of the gradients with respect to the whole input.
        cropped: Tiles of the same gradients, cut to the receptive field.
        scores: Activations of the units, computed again from the crops alone.
    """

    channel: int
    whole: tuple[Pixels, ...]
    cropped: tuple[Pixels, ...]
    scores: tuple[float, ...]


def unit_pictures(
    model: Runnable,
    layer: Layer,
    filters: Sequence[Filter],
    source: ImageSource,
    rule: ReluRule,
    *,
    images_per_batch: int,
    bfloat16: bool = False,
) -> Callable[[], Iterator[UnitPictures]]:
    """Compute the gradient tiles of the `max` entries of some filters.

    Args:
        model: The network, isolated.
        layer: The layer of the filters.
        filters: The filters. Cuts of equal size share batches, so the last digits of one filter depend on
            the others.
        source: Loads the images.
        rule: Rule for the backward pass of ReLUs.
        images_per_batch: Pixels per batch, in units of whole input images.
        bfloat16: Whether the backward pass of convolutions is computed in bfloat16.

    Returns:
        Waits for the device, and yields the results in the filters' order.
    """
    sizes = tile_sizes(layer, source)
    used = sorted({e.image for entry in filters for e in entry.max})
    index = {image: i for i, image in enumerate(used)}
    units = [Unit(index[e.image], entry.channel, *e.position) for entry in filters for e in entry.max]
    wholes: dict[int, Tensor] = {}
    cuts: dict[int, Tensor] = {}
    scores: dict[int, Tensor] = {}
    for result in gradients.unit_gradients(
        model, layer.name, layer.field, source.inputs(used), units, rule,
        batch_pixels=images_per_batch * source.shape[1] * source.shape[2], bfloat16=bfloat16,
    ):  # fmt: skip
        unit = units[result.index]
        wholes[result.index] = gradients.place_in_input(result, source.shape[1:])
        window = layer.field.window(unit.y, unit.x)
        cuts[result.index] = pictures.crop_gradient(wholes[result.index], window)
        scores[result.index] = result.score
    drawn_whole = draw_tiles(source, wholes, sizes["max_grads"])
    drawn_cuts = draw_tiles(source, cuts, sizes["cropped_grad"])

    def fetch() -> Iterator[UnitPictures]:
        whole, cropped = drawn_whole.fetch(), drawn_cuts.fetch()
        numbers = torch.stack([scores[i] for i in range(len(units))]).tolist() if units else []
        first = 0
        for entry in filters:
            ranks = range(first, first + len(entry.max))
            yield UnitPictures(
                entry.channel,
                tuple(whole[i] for i in ranks),
                tuple(cropped[i] for i in ranks),
                tuple(numbers[i] for i in ranks),
            )
            first += len(entry.max)

    return fetch


@dataclass(frozen=True)
class DrawnTiles(Generic[_Key]):
    """Tiles that a device may still be drawing.

    Attributes:
        keys: Their keys.
        drawn: The tiles in this order, `(N, h, w, C)` uint8 in each group.
    """

    keys: Sequence[_Key]
    drawn: Sequence[Tensor]

    def fetch(self) -> dict[_Key, Pixels]:
        """Wait for the tiles, and return them by key."""
        tiles = (tile for group in self.drawn for tile in pictures.to_arrays(group))
        return dict(zip(self.keys, tiles, strict=True))


def draw_tiles(
    source: ImageSource, gradients_by_key: Mapping[_Key, Tensor], size: PixelSize
) -> DrawnTiles[_Key]:
    """Draw gradients `(C, H, W)` of one size as tiles; each group costs a GPU as much as a single one."""
    keys = list(gradients_by_key)
    drawn: list[Tensor] = []
    for start in range(0, len(keys), _TILES_AT_ONCE):
        stacked = torch.stack([gradients_by_key[key] for key in keys[start : start + _TILES_AT_ONCE]])
        drawn.append(pictures.draw_gradients(source.display_channels(stacked), size))
    return DrawnTiles(keys, drawn)


def crop_scores(
    model: Runnable,
    layer: Layer,
    filters: Sequence[Filter],
    source: ImageSource,
    *,
    images_per_batch: int,
) -> Iterator[list[tuple[int, int, float]]]:
    """Compute the activations of the `max` entries of some filters again, from their crops alone.

    Args:
        model: The network, isolated.
        layer: The layer of the filters.
        filters: The filters.
        source: Loads the images.
        images_per_batch: Pixels per batch, in units of whole input images.

    Yields:
        For a group of images, the channel, the rank in its list and the activation of each entry.
    """
    entries_by_image: dict[int, list[tuple[int, int, tuple[int, int]]]] = {}
    for entry in filters:
        for rank, e in enumerate(entry.max):
            entries_by_image.setdefault(e.image, []).append((entry.channel, rank, e.position))
    used = sorted(entries_by_image)
    for start in range(0, len(used), _IMAGES_AT_ONCE):
        group = used[start : start + _IMAGES_AT_ONCE]
        entries = [(index, *entry) for index, image in enumerate(group) for entry in entries_by_image[image]]
        scores = gradients.unit_scores(
            model,
            layer.name,
            layer.field,
            source.inputs(group),
            [Unit(index, channel, *position) for index, channel, _, position in entries],
            batch_pixels=images_per_batch * source.shape[1] * source.shape[2],
        )
        yield [(channel, rank, score) for (_, channel, rank, _), score in zip(entries, scores, strict=True)]


@dataclass(frozen=True)
class AscentPicture:
    """The image that gradient ascent gives for a filter.

    Attributes:
        channel: The filter.
        picture: The image.
        score: The value of the objective on the image.
        ratio: `score` divided by the highest value on an image of the data set; `None` where that value is
            not positive.
        found: Whether the image excites the filter and is not plain gray.
    """

    channel: int
    picture: Pixels
    score: float
    ratio: float | None
    found: bool


Ascend = Callable[[Layer, Sequence[int], Sequence[torch.Generator]], optimise.AscentResult]
"""Runs gradient ascent for some channels of a layer, each with its own random generator."""


def ascent_pictures(
    layer: Layer,
    filters: Sequence[Filter],
    requested: Collection[int],
    ascend: Ascend,
    source: ImageSource,
    seed: int,
    best_score: Callable[[Filter], float],
) -> Callable[[], Iterator[AscentPicture]]:
    """Compute the image that maximises the objective of each filter; a failure is tried again once.

    Args:
        layer: The layer of the filters.
        filters: Filters that are optimised in one batch. All of a block are optimised, even if few are
            requested: the last digits depend on the batch size, and ascent amplifies them.
        requested: Channels whose images are yielded.
        ascend: Runs the gradient ascent.
        source: Turns images into pictures.
        seed: Seed of all random numbers.
        best_score: Returns the highest value of the objective on an image of the data set.

    Returns:
        Waits for the device, and yields the results.
    """

    def attempt(block: Sequence[Filter], number: int) -> optimise.AscentResult:
        channels = [entry.channel for entry in block]
        return ascend(
            layer, channels, [optimise.filter_generator(seed, layer.name, c, number) for c in channels]
        )

    def draw(block: Sequence[Filter], result: optimise.AscentResult) -> Mapping[int, AscentPicture]:
        tiles = pictures.to_pixels(source.display_channels(result.images))
        spreads = result.images.std(dim=(1, 2, 3)).tolist()
        scores = result.scores.tolist()
        return {
            entry.channel: _ascent_picture(entry.channel, tile, score, spread, best_score(entry))
            for entry, tile, score, spread in zip(block, tiles, scores, spreads, strict=True)
        }

    first = attempt(filters, 0)

    def fetch() -> Iterator[AscentPicture]:
        channels = [entry.channel for entry in filters if entry.channel in requested]
        results = dict(draw(filters, first))
        failed = [entry for entry in filters if not results[entry.channel].found]
        if any(entry.channel in channels for entry in failed):
            for channel, again in draw(failed, attempt(failed, 1)).items():
                if again.found or again.score > results[channel].score:
                    results[channel] = again
        yield from (results[channel] for channel in channels)

    return fetch


def _ascent_picture(channel: int, tile: Pixels, score: float, spread: float, best: float) -> AscentPicture:
    return AscentPicture(
        channel,
        tile,
        score,
        ratio=score / best if best > 0 else None,
        found=score > 0 and spread > _GRAY_SPREAD,
    )
