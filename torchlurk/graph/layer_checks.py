"""Whether each row of a layer's output belongs to one image, found by trial runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from torchlurk.graph.layers import Graph, Layer, SkippedLayer
from torchlurk.graph.receptive_field import Field, global_axis
from torchlurk.graph.trial_runs import TrialRun, same_rows
from torchlurk.models.hooks import MapAxes


@dataclass(frozen=True)
class LayerCheck:
    """How a layer's output is read.

    Attributes:
        axes: Its axes; `None` if its rows do not belong to single images.
        one_by_one: Why images need forwards of their own; empty if batches are possible.
        skipped: Why the layer cannot be scanned; empty if it can.
    """

    axes: MapAxes | None
    one_by_one: str = ""
    skipped: str = ""


def check_layer(
    layer: Layer, single_runs: Sequence[TrialRun], batch_run: TrialRun | None, count: int
) -> LayerCheck:
    """Decide how to read a layer's output, from what it gives for images alone and together.

    Args:
        layer: The layer.
        single_runs: A run of each image by itself.
        batch_run: A run of all images in one batch; `None` if it fails.
        count: Number of images.
    """
    single = [run[layer.name] for run in single_runs if layer.name in run]
    if not any(0 not in summary.shape for summary in single):
        return LayerCheck(
            None, skipped=f"is never called: none of the {count} images that were tried reaches it"
        )
    if single[0].is_complex:
        return LayerCheck(None, skipped="gives complex numbers, which have no order")
    axes = layer.axes
    sizes = {
        tuple(summary.shape[dim] for dim in axes.spatial)
        for summary in single
        if len(summary.shape) == axes.dims
    }
    if len(sizes) > 1:
        listed = " and ".join(" x ".join(map(str, size)) for size in sorted(sizes)[:2])
        return LayerCheck(None, skipped=f"gives maps of different sizes for different images, {listed}")
    first = next((summary for summary in single if summary.shape[axes.batch] == 1), single[0])
    batch = None if batch_run is None else batch_run.get(layer.name)
    if batch is not None and len(batch.shape) == len(first.shape):
        grown = [d for d, size in enumerate(first.shape) if size == 1 and batch.shape[d] == count]
        if axes.batch not in grown and len(grown) == 1 and grown[0] != axes.channels:
            axes = replace(axes, batch=grown[0])
        if axes.batch in grown and len(single) == count:
            if same_rows(axes.batch, batch, single):
                return LayerCheck(axes)
            reason = f"the output of {layer.name} for an image differs between a batch and the image alone"
            return LayerCheck(axes, one_by_one=reason)
    if all(summary.shape[axes.batch] in (0, 1) for summary in single):
        reason = f"not all images of a batch reach {layer.name}" if batch_run is not None else ""
        return LayerCheck(axes, one_by_one=reason)
    rows = first.shape[axes.batch]
    return LayerCheck(
        None,
        skipped=f"gives {rows} rows for one image, so the first dimension of its output is not the batch",
    )


def with_axes(layer: Layer, axes: MapAxes, shape: tuple[int, ...]) -> Layer:
    """Return a layer whose output of that shape is read by other axes; each unit then sees everything."""
    if axes == layer.axes:
        return layer
    _, channels, height, width = axes.map(torch.empty(shape, device="meta")).shape
    field = Field(global_axis(layer.field.rows, height), global_axis(layer.field.columns, width))
    return replace(layer, axes=axes, shape=(channels, height, width), field=field)


def output_is_per_image(single_runs: Sequence[TrialRun], batch_run: TrialRun | None, count: int) -> bool:
    """Return whether the network gives for each image of a batch what it gives for the image alone."""
    if batch_run is None:
        return True
    single, batch = [run[""] for run in single_runs if "" in run], batch_run.get("")
    if len(single) < count or batch is None or not batch.shape or batch.shape[0] != count:
        return True  # its output does not belong to single images
    return any(summary.shape[0] != 1 for summary in single) or same_rows(0, batch, single)


def without_layers(graph: Graph, kept: Sequence[Layer], skipped: Sequence[SkippedLayer]) -> Graph:
    """Return a graph without the skipped layers; edges through them join the layers on both sides."""
    edges = list(graph.edges)
    for name in {layer.name for layer in skipped}:
        before = [a for a, b in edges if b == name]
        behind = [b for a, b in edges if a == name]
        edges = [edge for edge in edges if name not in edge]
        edges += [(a, b) for a in before for b in behind if (a, b) not in edges]
    return replace(
        graph, layers=tuple(kept), edges=tuple(dict.fromkeys(edges)), skipped=(*graph.skipped, *skipped)
    )
