"""From the tensors of a scan to the records of the format."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchlurk.graph import Layer
from torchlurk.scan.scan import LayerState
from torchlurk.scan.topk import NO_IMAGE, TopK
from torchlurk.store import schema
from torchlurk.store.schema import round_float32

PROFILE = 10
"""How many classes a profile keeps."""


def layer_to_record(layer: Layer) -> schema.LayerRecord:
    """A layer as the manifest lists it."""
    rows, columns = layer.field.rows.rule, layer.field.columns.rule
    seen = None
    if rows is not None and columns is not None:
        seen = schema.ReceptiveField(
            size=(rows.size, columns.size),
            stride=(rows.stride, columns.stride),
            offset=(rows.offset, columns.offset),
        )
    return schema.LayerRecord(
        name=layer.name,
        kind=layer.kind,
        channels=layer.shape[0],
        shape=layer.shape,
        receptive_field=seen,
        data=schema.layer_path(layer.name),
        bases=list(layer.bases),
    )


def layer_state_to_record(
    layer: Layer,
    state: LayerState,
    labels: tuple[int, ...],
    names: Sequence[str] | None = None,
    *,
    scanned: int,
) -> schema.LayerFile:
    """All that a scan knows of a layer.

    Args:
        layer: which.
        state: its part of the scan's state.
        labels: the class of each image id.
        names: of its filters, where they are the classes that the network was trained on.
        scanned: how many images were scanned, of which some may not reach the layer.
    """
    images = state.images
    present = images > 0
    classes = present.nonzero().flatten().tolist()
    counted = images[present, None].double()
    by_max, by_avg = state.max_by_class[present] / counted, state.avg_by_class[present] / counted
    positive = state.positive_by_class[present] / counted
    total = max(int(images.sum()), 1)
    spread = [
        *_mean_and_std(state.avg_by_class, state.avg_squares, total),
        *_mean_and_std(state.max_by_class, state.max_squares, total),
    ]
    filters = [
        schema.Filter(
            channel=channel,
            max=_max_entries(state.max, channel, layer, labels),
            avg=[
                schema.AvgEntry(image=image, label=labels[image], score=round_float32(score))
                for image, score, _ in _entries(state.avg, channel)
            ],
            classes=schema.ClassProfile(
                max=_profile(classes, by_max[:, channel]), avg=_profile(classes, by_avg[:, channel])
            ),
            stats=schema.Stats(
                mean=round_float32(float(spread[0][channel])),
                std=round_float32(float(spread[1][channel])),
                max_mean=round_float32(float(spread[2][channel])),
                max_std=round_float32(float(spread[3][channel])),
                active=round_float32(int(state.active[channel]) / total),
                selectivity=_selectivity(positive[:, channel]),
                distribution=[(b, n) for b, n in enumerate(state.counts[channel].tolist()) if n > 0],
            ),
            pictures=[],
            ascent=None,
        )
        for channel in range(layer.shape[0])
    ]
    return schema.LayerFile(
        format=schema.FORMAT,
        layer=layer.name,
        channels=layer.shape[0],
        k=state.max.k,
        names=None if names is None else list(names),
        filters=filters,
        images=None if int(images.sum()) == scanned else int(images.sum()),
    )


def classes_to_record(files: Sequence[schema.LayerFile], classes: int) -> schema.Classes:
    """Which filters prefer which class: those whose profile by maxima has it first, most selective first.

    Args:
        files: all layers, in the manifest's order.
        classes: how many there are.
    """
    filters: list[list[tuple[int, int, float | None]]] = [[] for _ in range(classes)]
    for position, file in enumerate(files):
        for entry in file.filters:
            # What no image excites prefers nothing, though some class comes first in its profile.
            if entry.classes.max and entry.stats.active > 0:
                preferred = entry.classes.max[0][0]
                filters[preferred].append((position, entry.channel, entry.stats.selectivity))
    for rows in filters:
        rows.sort(key=lambda row: (-(row[2] or 0.0), row[0], row[1]))
    return schema.Classes(format=schema.FORMAT, filters=filters)


def _entries(lists: TopK, channel: int) -> list[tuple[int, float, int]]:
    rows = zip(
        lists.images[channel].tolist(),
        lists.scores[channel].tolist(),
        lists.positions[channel].tolist(),
        strict=True,
    )
    return [row for row in rows if row[0] != NO_IMAGE]


def _max_entries(lists: TopK, channel: int, layer: Layer, labels: tuple[int, ...]) -> list[schema.MaxEntry]:
    width = layer.shape[2]
    return [
        schema.MaxEntry(
            image=image,
            label=labels[image],
            score=round_float32(score),
            position=divmod(at, width),
            box=layer.field.box(*divmod(at, width)),
            certificate=None,
        )
        for image, score, at in _entries(lists, channel)
    ]


def _mean_and_std(by_class: Tensor, squares: Tensor, total: int) -> tuple[Tensor, Tensor]:
    mean = by_class.sum(0) / total
    return mean, (squares / total - mean.square()).clamp(min=0).sqrt()


def _profile(classes: list[int], means: Tensor) -> list[tuple[int, float]]:
    pairs = sorted(zip(classes, means.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return [(label, round_float32(mean)) for label, mean in pairs[:PROFILE]]


def _selectivity(positive: Tensor) -> float | None:
    """Class selectivity (Morcos et al. 2018) from a filter's class means, or `None` for one class."""
    if len(positive) < 2:
        return None
    best = float(positive.max())
    others = float((positive.sum() - best) / (len(positive) - 1))
    return round_float32((best - others) / (best + others)) if best > 0 else 0.0


def with_certificate(entry: schema.MaxEntry, again: float) -> schema.MaxEntry:
    """The entry with the relative difference between its score and the one computed from the crop."""
    scale = max(abs(entry.score), torch.finfo(torch.float32).tiny)
    difference = abs(again - entry.score) / scale
    # One digit and the magnitude are all that rounding noise has to say.
    kept = float(f"{difference:.1e}") if math.isfinite(difference) else 1.0
    return schema.MaxEntry(
        image=entry.image,
        label=entry.label,
        score=entry.score,
        position=entry.position,
        box=entry.box,
        certificate=kept,
    )
