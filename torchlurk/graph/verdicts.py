"""Whether the output of a layer belongs to single images, judged from trial runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from torchlurk.graph import receptive_field as rf
from torchlurk.graph.layers import Graph, Layer, SkippedLayer
from torchlurk.graph.receptive_field import Field
from torchlurk.graph.trials import Run, same_rows
from torchlurk.models.hooks import MapAxes


@dataclass(frozen=True)
class Verdict:
    """How a layer's output belongs to images: its axes, and why only of images alone; or why it does not."""

    axes: MapAxes | None
    alone: str = ""
    reason: str = ""


def judge(layer: Layer, alone: Sequence[Run], together: Run | None, count: int) -> Verdict:
    """Judge a layer.

    Args:
        layer: which.
        alone: a run of each image by itself.
        together: a run of all of them in one batch; `None` if there is none.
        count: how many images there are.
    """
    single = [run[layer.name] for run in alone if layer.name in run]
    if not any(0 not in one.shape for one in single):
        return Verdict(None, reason=f"is never called: none of the {count} images that were tried reaches it")
    if single[0].is_complex:
        return Verdict(None, reason="gives complex numbers, of which none is the largest")
    axes = layer.axes
    sizes = {tuple(one.shape[dim] for dim in axes.spatial) for one in single if len(one.shape) == axes.dims}
    if len(sizes) > 1:
        listed = " and ".join(" x ".join(map(str, size)) for size in sorted(sizes)[:2])
        return Verdict(None, reason=f"gives maps of different sizes for different images, {listed}")
    first = next((one for one in single if one.shape[axes.batch] == 1), single[0])
    batch = None if together is None else together.get(layer.name)
    if batch is not None and len(batch.shape) == len(first.shape):
        grown = [d for d, size in enumerate(first.shape) if size == 1 and batch.shape[d] == count]
        if axes.batch not in grown and len(grown) == 1 and grown[0] != axes.channels:
            axes = replace(axes, batch=grown[0])
        if axes.batch in grown and len(single) == count:
            same = same_rows(axes.batch, batch, single)
            why = f"the output of {layer.name} for an image differs between a batch and the image alone"
            return Verdict(axes, alone="" if same else why)
    if all(one.shape[axes.batch] in (0, 1) for one in single):
        why = f"not all images of a batch reach {layer.name}" if together is not None else ""
        return Verdict(axes, alone=why)
    rows = first.shape[axes.batch]
    return Verdict(
        None,
        reason=f"gives {rows} rows for one image, so the first dimension of its output is not the batch",
    )


def with_axes(layer: Layer, axes: MapAxes, shape: tuple[int, ...]) -> Layer:
    """The layer whose output of that shape has other axes than were taken for them."""
    if axes == layer.axes:
        return layer
    _, channels, height, width = axes.map(torch.empty(shape, device="meta")).shape
    field = Field(rf.everything(layer.field.rows, height), rf.everything(layer.field.columns, width))
    return replace(layer, axes=axes, shape=(channels, height, width), field=field)


def gives_rows(alone: Sequence[Run], together: Run | None, count: int) -> bool:
    """Whether the network gives for each image of a batch what it gives for the image alone."""
    if together is None:
        return True
    single, batch = [run[""] for run in alone if "" in run], together.get("")
    if len(single) < count or batch is None or not batch.shape or batch.shape[0] != count:
        return True  # nothing that belongs to single images
    return any(one.shape[0] != 1 for one in single) or same_rows(0, batch, single)


def without(graph: Graph, kept: Sequence[Layer], skipped: Sequence[SkippedLayer]) -> Graph:
    """The graph without some layers: what went through them joins the layers on both sides."""
    gone = {one.name for one in skipped}
    edges = list(graph.edges)
    for name in gone:
        before = [a for a, b in edges if b == name]
        behind = [b for a, b in edges if a == name]
        edges = [edge for edge in edges if name not in edge]
        edges += [(a, b) for a in before for b in behind if (a, b) not in edges]
    return replace(
        graph, layers=tuple(kept), edges=tuple(dict.fromkeys(edges)), skipped=(*graph.skipped, *skipped)
    )
