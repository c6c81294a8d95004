"""One pass over the images: top-k lists, class profiles and statistics of all layers at once.

Everything is reduced inside the hooks, while the activations are still warm and before an in-place ReLU
can overwrite them; nothing is kept that grows with the number of images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from torchlurk.errors import LurkError
from torchlurk.models.hooks import Observer
from torchlurk.models.runner import Runnable, Runner, as_runner, forward_until, observing
from torchlurk.runtime.devices import BatchLimiter, is_out_of_memory
from torchlurk.scan import topk
from torchlurk.scan.topk import TopK

ACTIVATION_EDGES: tuple[float, ...] = (
    *(-(2.0 ** (step / 2)) for step in range(18, -7, -1)),
    0.0,
    *(2.0 ** (step / 2) for step in range(-6, 19)),
)
"""Borders of the bins in which maxima are counted: two to an octave, from 1/8 to 512, in both signs.

They are fixed before the first image, so counts of different shards add up."""


@dataclass(frozen=True)
class LayerState:
    """What is known of the C filters of one layer after some images.

    Attributes:
        images: `(classes,)` int64, how many images of each class reached the layer.
        max: the images with the highest single activation.
        avg: the images with the highest mean activation.
        max_by_class: `(classes, C)` float64, sums over the images of each class of the maxima.
        avg_by_class: the same of the means.
        max_squares: `(C,)` float64, sums of the squared maxima.
        avg_squares: the same of the means.
        positive_by_class: `(classes, C)` float64, sums of the positive parts of the maxima.
        active: `(C,)` int64, how many images have a positive activation.
        counts: `(C, bins)` int64, how many images have their maximum in each bin.
    """

    images: Tensor
    max: TopK
    avg: TopK
    max_by_class: Tensor
    avg_by_class: Tensor
    max_squares: Tensor
    avg_squares: Tensor
    positive_by_class: Tensor
    active: Tensor
    counts: Tensor


@dataclass(frozen=True)
class ScanState:
    """What is known of all layers after some images.

    Attributes:
        images: `(classes,)` int64, how many images of each class were seen.
        layers: by layer name.
    """

    images: Tensor
    layers: dict[str, LayerState]


def empty(channels: dict[str, int], classes: int, k: int, device: torch.device | None = None) -> ScanState:
    """The state before the first image.

    Args:
        channels: how many filters each layer has, by name.
        classes: how many classes the images have.
        k: how many images a list keeps.
        device: of the network, for the state stays where the activations are; the CPU by default.
    """
    return ScanState(
        torch.zeros(classes, dtype=torch.int64, device=device),
        {name: _empty_layer(count, classes, k, device) for name, count in channels.items()},
    )


def _empty_layer(channels: int, classes: int, k: int, device: torch.device | None) -> LayerState:
    def sums(*shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float64, device=device)

    return LayerState(
        images=torch.zeros(classes, dtype=torch.int64, device=device),
        max=topk.empty(channels, k, device),
        avg=topk.empty(channels, k, device),
        max_by_class=sums(classes, channels),
        avg_by_class=sums(classes, channels),
        max_squares=sums(channels),
        avg_squares=sums(channels),
        positive_by_class=sums(classes, channels),
        active=torch.zeros(channels, dtype=torch.int64, device=device),
        counts=torch.zeros(channels, len(ACTIVATION_EDGES) + 1, dtype=torch.int64, device=device),
    )


def to(state: ScanState, device: torch.device) -> ScanState:
    """The same on another device."""

    def moved(lists: TopK) -> TopK:
        return TopK(lists.scores.to(device), lists.images.to(device), lists.positions.to(device))

    layers = {}
    for name, layer in state.layers.items():
        parts: dict[str, Any] = {
            key: moved(v) if isinstance(v, TopK) else v.to(device) for key, v in vars(layer).items()
        }
        layers[name] = LayerState(**parts)
    return ScanState(state.images.to(device), layers)


def merge(a: ScanState, b: ScanState) -> ScanState:
    """What is known after the images of both states; they have no image in common."""
    return ScanState(
        a.images + b.images,
        {name: _merge_layer(layer, b.layers[name]) for name, layer in a.layers.items()},
    )


def _merge_layer(a: LayerState, b: LayerState) -> LayerState:
    return LayerState(
        images=a.images + b.images,
        max=topk.merge(a.max, b.max),
        avg=topk.merge(a.avg, b.avg),
        max_by_class=a.max_by_class + b.max_by_class,
        avg_by_class=a.avg_by_class + b.avg_by_class,
        max_squares=a.max_squares + b.max_squares,
        avg_squares=a.avg_squares + b.avg_squares,
        positive_by_class=a.positive_by_class + b.positive_by_class,
        active=a.active + b.active,
        counts=a.counts + b.counts,
    )


class NonFiniteActivation(Exception):  # noqa: N818  # it is the activation that is not
    """An activation is NaN or infinite.

    Attributes:
        layer: the first where one is, in execution order.
        image: the id of an image that gives it.
    """

    def __init__(self, layer: str, image: int) -> None:
        super().__init__(f"an activation of {layer} is not finite")
        self.layer = layer
        self.image = image


@dataclass(frozen=True)
class Reduced:
    """One batch at one layer: `(N, C)` maxima and means, and the way to the places of the maxima."""

    maxima: Tensor
    means: Tensor


def reduce_map(x: Tensor) -> Reduced:
    """Maximum and mean of each feature map of `(N, C, H, W)`; float32."""
    return Reduced(x.amax(dim=(2, 3)).float(), x.mean(dim=(2, 3), dtype=torch.float32))


def positions_of_maxima(x: Tensor, rows: Tensor, channels: Tensor) -> Tensor:
    """Where some feature maps have their maximum, the first place in reading order if there are several.

    Args:
        x: `(N, C, H, W)` activations.
        rows: `(M,)` indices into N.
        channels: `(M,)` indices into C.

    Returns:
        `(M,)` int64, each `y * W + x`.
    """
    # Of equal maxima `argmax` gives the first; `max` and `topk` promise nothing.
    return x[rows, channels].flatten(1).argmax(dim=1)


def _observe(
    state: LayerState, x: Tensor, images: Tensor, labels: Tensor, edges: Tensor
) -> tuple[LayerState, Tensor]:
    reduced = reduce_map(x)
    maxima, means = reduced.maxima, reduced.means
    exact_max, exact_avg = maxima.double(), means.double()
    bins = torch.bucketize(maxima, edges, right=True)
    # A NaN or an infinity of either sign is in the maximum, the mean, or both.
    finite = (maxima + means).isfinite().all(dim=1)
    updated = LayerState(
        images=state.images.index_add(0, labels, torch.ones_like(labels)),
        max=_push_maxima(state.max, x, maxima, images),
        avg=topk.push(state.avg, means, images),
        max_by_class=add_by_class(state.max_by_class, labels, exact_max),
        avg_by_class=add_by_class(state.avg_by_class, labels, exact_avg),
        max_squares=state.max_squares + exact_max.square().sum(0),
        avg_squares=state.avg_squares + exact_avg.square().sum(0),
        positive_by_class=add_by_class(state.positive_by_class, labels, exact_max.clamp(min=0)),
        active=state.active + (maxima > 0).sum(0),
        counts=state.counts.scatter_add(1, bins.T, torch.ones_like(bins.T)),
    )
    return updated, finite


def _push_maxima(state: TopK, x: Tensor, maxima: Tensor, images: Tensor) -> TopK:
    if x.device.type == "cpu":
        return topk.push(state, maxima, images, lambda rows, channels: positions_of_maxima(x, rows, channels))
    # One more pass over the map costs such a device less than waiting for it to say which are wanted.
    return topk.push_all(state, maxima, images, x.flatten(2).argmax(dim=2))


def add_by_class(sums: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    """Add `(N, C)` values to the `(classes, C)` sums of their classes, always in the same order."""
    if sums.device.type == "cpu":
        return sums.index_add(0, labels, values)
    # On cuda `index_add` adds in whatever order its threads come; `index_put` sorts first.
    return sums.index_put((labels,), values, accumulate=True)


@dataclass(frozen=True)
class ScanBatch:
    """Images as the network is fed them.

    Attributes:
        images: `(N,)` int64 ids.
        labels: `(N,)` int64 classes.
        x: `(N, C, H, W)` float32 on the network's device, as are the other two.
    """

    images: Tensor
    labels: Tensor
    x: Tensor

    def part(self, rows: slice) -> ScanBatch:
        """Some of the images."""
        return ScanBatch(self.images[rows], self.labels[rows], self.x[rows])


def scan(
    model: Runnable,
    start: ScanState,
    batches: Iterable[ScanBatch],
    *,
    bfloat16: bool = False,
    limiter: BatchLimiter | None = None,
) -> Iterator[ScanState]:
    """Take a state through batches of images, giving the state after each.

    Args:
        model: the network, isolated.
        start: the state before; its layers are the ones watched.
        batches: images, each id once.
        bfloat16: compute the forward in bfloat16, which is faster and leaves scores two to three
            digits; `candidates` says whom to score again.
        limiter: how many images fit into the memory; a batch that does not fit is halved and tried again.

    Yields:
        The state after each batch.

    Raises:
        NotFinite: an activation is NaN or infinite, and has no place in an order.
        LurkError: not even one image fits into the memory, or a layer gives several rows for one image.
    """
    runner = as_runner(model)
    current = dict(start.layers)
    seen = start.images
    sizes: dict[str, torch.Size] = {}
    edges = torch.tensor(ACTIVATION_EDGES, device=seen.device)
    limiter = limiter or BatchLimiter(report=lambda _: None)
    for batch in batches:
        waiting = [batch]
        while waiting:
            part = waiting.pop(0)
            fits = 1 if runner.one_by_one else limiter.cap(len(part.images))
            if fits < len(part.images):
                waiting[:0] = [part.part(slice(0, fits)), part.part(slice(fits, None))]
                continue
            before = dict(current)
            cast = torch.autocast(part.x.device.type, torch.bfloat16, enabled=bfloat16)
            finite: dict[str, Tensor] = {}
            try:
                with (
                    runner.without_gradients(),
                    cast,
                    _observing(runner, current, part, edges, finite, sizes),
                ):
                    forward_until(runner, part.x, start.layers)
            except _Rows as problem:
                # The path depends on the data, and which rows are whose cannot be told but one by one.
                if len(part.images) == 1:
                    raise LurkError(
                        f"layer {problem.layer!r} gives {problem.rows} rows for one image: leave it out by "
                        "--layers"
                    ) from None
                current.update(before)
                waiting[:0] = [part.part(slice(row, row + 1)) for row in range(len(part.images))]
                continue
            except (RuntimeError, MemoryError) as problem:
                if not is_out_of_memory(problem):
                    raise
                # Some layers have counted these images already.
                current.update(before)
                limiter.reduce(len(part.images), problem)
                waiting.insert(0, part)
                continue
            _check(finite, part.images)
            seen = seen.index_add(0, part.labels, torch.ones_like(part.labels))
        yield ScanState(seen, dict(current))


@contextmanager
def _observing(
    runner: Runner,
    current: dict[str, LayerState],
    batch: ScanBatch,
    edges: Tensor,
    finite: dict[str, Tensor],
    sizes: dict[str, torch.Size],
) -> Iterator[None]:
    """Bring `current` up to date with a batch that runs inside, and say in `finite` which images are.

    Raises:
        LurkError: a layer gives maps of another size than in `sizes`, where that of its first ones is kept.
        _Rows: a layer does not give a row for each image. Of a single image it may give none, which did not
            reach it then.
    """
    unseen = set(current)

    def observer(name: str) -> Observer:
        def observe(output: Tensor) -> None:
            if name not in unseen:  # a module that is called again: its first call counts
                return
            unseen.remove(name)
            maps = output.detach()
            size = sizes.setdefault(name, maps.shape[2:])
            if size != maps.shape[2:]:
                raise LurkError(
                    f"layer {name!r} gives maps of {size[0]} x {size[1]} for one image and of "
                    f"{maps.shape[2]} x {maps.shape[3]} for another: leave it out by --layers"
                )
            if len(maps) == len(batch.images):
                current[name], finite[name] = _observe(current[name], maps, batch.images, batch.labels, edges)
            elif len(maps) or len(batch.images) > 1:
                raise _Rows(name, len(maps))

        return observe

    with observing(runner, {name: observer(name) for name in current}):
        yield
    if unseen and len(batch.images) > 1:
        raise _Rows(min(unseen), 0)


class _Rows(BaseException):
    """A layer does not give one row for each image; no network that mends its own errors stops it."""

    def __init__(self, layer: str, rows: int) -> None:
        super().__init__(f"{layer} gives {rows} rows")
        self.layer = layer
        self.rows = rows


def _check(finite: dict[str, Tensor], images: Tensor) -> None:
    if not finite:
        return
    # One question for all layers: each would make a cuda device wait.
    table = torch.stack(list(finite.values())).cpu()
    if not table.all():
        layer, row = (~table).nonzero()[0].tolist()
        raise NonFiniteActivation(list(finite)[layer], int(images[row]))


def candidates(state: ScanState) -> list[int]:
    """The ids of all images in some list, ascending: those to score again after a rough scan."""
    lists = [kept.images for layer in state.layers.values() for kept in (layer.max, layer.avg)]
    found = torch.unique(torch.cat([images.flatten() for images in lists]))
    return [image for image in found.tolist() if image != topk.NO_IMAGE]


def with_lists(rough: ScanState, exact: ScanState) -> ScanState:
    """The statistics of a rough scan of all images, and the lists of an exact one of its candidates."""
    layers = {
        name: replace(layer, max=exact.layers[name].max, avg=exact.layers[name].avg)
        for name, layer in rough.layers.items()
    }
    return ScanState(rough.images, layers)
