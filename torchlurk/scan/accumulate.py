"""The state of a scan while it runs: one tensor over the filters of all layers for each quantity.

A batch then costs a few operations, and not a few for each layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, groupby, pairwise

import torch
from torch import Tensor

from torchlurk.runtime.devices import small_operations
from torchlurk.scan.reduce import MapReductions
from torchlurk.scan.state import ACTIVATION_EDGES, LayerState, ScanState
from torchlurk.scan.topk import TopK, push_


class Accumulator:
    """Adds batches of images to a state, in place.

    Attributes:
        state: The state, whose tensors change with each batch.
    """

    def __init__(self, start: ScanState) -> None:
        """Begin with a copy of a state."""
        self._columns = _columns(start)
        self._all = _concatenate(list(start.layers.values()))
        self._images = torch.stack([layer.images for layer in start.layers.values()])
        self._edges = torch.tensor(ACTIVATION_EDGES, device=start.images.device)
        self.state: ScanState = ScanState(
            start.images.clone(),
            {
                name: _view(self._all, columns, images)
                for (name, columns), images in zip(self._columns.items(), self._images, strict=True)
            },
        )

    def add(self, batch: Mapping[str, MapReductions], images: Tensor, labels: Tensor) -> None:
        """Add a batch of images.

        Args:
            batch: By layer, in the order of the state. Images that did not reach a layer have no entry.
            images: `(N,)` int64 image ids.
            labels: `(N,)` int64 classes.
        """
        with small_operations():
            counts = torch.zeros_like(self.state.images).index_add_(0, labels, torch.ones_like(labels))
            self.state.images.add_(counts)
            for names in _adjacent(list(self._columns), batch):
                columns = slice(self._columns[names[0]].start, self._columns[names[-1]].stop)
                parts = [batch[name] for name in names]
                joint = MapReductions(
                    torch.cat([part.maxima for part in parts], dim=1),
                    torch.cat([part.means for part in parts], dim=1),
                    torch.cat([part.positions for part in parts], dim=1),
                )
                # Its number of images is that of each layer, which is counted below.
                add_batch_(_view(self._all, columns, counts), joint, images, labels, self._edges)
                for name in names:
                    self.state.layers[name].images.add_(counts)


def add_batch_(
    state: LayerState, batch: MapReductions, images: Tensor, labels: Tensor, edges: Tensor
) -> None:
    """Add a batch to the lists and sums of some filters, in place; `state.images` is not changed.

    Args:
        state: The lists and sums.
        batch: What the images give.
        images: `(N,)` int64 image ids.
        labels: `(N,)` int64 classes.
        edges: `ACTIVATION_EDGES` as a tensor on the device of the state.
    """
    maxima, means = batch.maxima.double(), batch.means.double()
    bins = torch.bucketize(batch.maxima, edges, right=True).T
    push_(state.max, batch.maxima, images, batch.positions)
    push_(state.avg, batch.means, images)
    add_by_class_(state.max_by_class, labels, maxima)
    add_by_class_(state.avg_by_class, labels, means)
    add_by_class_(state.positive_by_class, labels, maxima.clamp(min=0))
    state.max_squares.add_(maxima.square().sum(0))
    state.avg_squares.add_(means.square().sum(0))
    state.active.add_((batch.maxima > 0).sum(0))
    state.counts.scatter_add_(1, bins, torch.ones_like(bins))


def add_by_class_(sums: Tensor, labels: Tensor, values: Tensor) -> None:
    """Add values to the sums of their classes, in place and in a deterministic order.

    Args:
        sums: `(classes, C)`.
        labels: `(N,)` int64 classes.
        values: `(N, C)`.
    """
    if sums.device.type == "cpu":
        sums.index_add_(0, labels, values)
    else:
        # On CUDA, `index_add_` is not deterministic, and `index_put_` waits until its indices are checked.
        classes = torch.arange(len(sums), device=labels.device)
        sums.addmm_((labels == classes[:, None]).to(values), values)


def _columns(state: ScanState) -> dict[str, slice]:
    """Return which of the filters of all layers are those of each layer."""
    ends = accumulate((len(layer.active) for layer in state.layers.values()), initial=0)
    return {name: slice(*pair) for name, pair in zip(state.layers, pairwise(ends), strict=True)}


def _adjacent(layers: list[str], present: Mapping[str, object]) -> Iterator[list[str]]:
    """Yield the present layers in runs without a gap."""
    for is_present, names in groupby(layers, key=lambda name: name in present):
        if is_present:
            yield list(names)


def _concatenate(layers: list[LayerState]) -> LayerState:
    """Return the state of the filters of all layers; its `images` is empty."""

    def rows(name: str) -> Tensor:
        return torch.cat([getattr(layer, name) for layer in layers])

    def columns(name: str) -> Tensor:
        return torch.cat([getattr(layer, name) for layer in layers], dim=1)

    def lists(name: str) -> TopK:
        each: list[TopK] = [getattr(layer, name) for layer in layers]
        return TopK(
            torch.cat([part.scores for part in each]),
            torch.cat([part.images for part in each]),
            torch.cat([part.positions for part in each]),
        )

    return LayerState(
        images=layers[0].images.new_zeros(0),
        max=lists("max"),
        avg=lists("avg"),
        max_by_class=columns("max_by_class"),
        avg_by_class=columns("avg_by_class"),
        positive_by_class=columns("positive_by_class"),
        max_squares=rows("max_squares"),
        avg_squares=rows("avg_squares"),
        active=rows("active"),
        counts=rows("counts"),
    )


def _view(joint: LayerState, columns: slice, images: Tensor) -> LayerState:
    """Return a view of some of the filters, with a number of images by class."""

    def lists(whole: TopK) -> TopK:
        return TopK(whole.scores[columns], whole.images[columns], whole.positions[columns])

    return LayerState(
        images=images,
        max=lists(joint.max),
        avg=lists(joint.avg),
        max_by_class=joint.max_by_class[:, columns],
        avg_by_class=joint.avg_by_class[:, columns],
        positive_by_class=joint.positive_by_class[:, columns],
        max_squares=joint.max_squares[columns],
        avg_squares=joint.avg_squares[columns],
        active=joint.active[columns],
        counts=joint.counts[columns],
    )
