"""Conversion of layers and scan results to the records of the store format."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchlurk.graph import Layer
from torchlurk.scan.state import LayerState
from torchlurk.scan.topk import NO_IMAGE, TopK
from torchlurk.store import schema
from torchlurk.store.schema import round_float32

_PROFILE_CLASSES = 10
"""Number of classes in a class profile."""


def layer_to_record(layer: Layer) -> schema.LayerRecord:
    """Return the record of a layer in the manifest."""
    rows, columns = layer.field.rows.rule, layer.field.columns.rule
    receptive_field = None
    if rows is not None and columns is not None:
        receptive_field = schema.ReceptiveField(
            size=(rows.size, columns.size),
            stride=(rows.stride, columns.stride),
            offset=(rows.offset, columns.offset),
        )
    return schema.LayerRecord(
        name=layer.name,
        kind=layer.kind,
        channels=layer.shape[0],
        shape=layer.shape,
        receptive_field=receptive_field,
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
    """Return the file of a layer, with the scan's results for each of its filters.

    Args:
        layer: The layer.
        state: Its part of the scan's state.
        labels: Class of each image, by image id.
        names: Names of its filters, if they are the classes that the network was trained on.
        scanned: Number of images that were scanned; some of them may not have reached the layer.
    """
    images = state.images
    present = images > 0
    classes = present.nonzero().flatten().tolist()
    images_per_class = images[present, None].double()
    by_max = state.max_by_class[present] / images_per_class
    by_avg = state.avg_by_class[present] / images_per_class
    positive = state.positive_by_class[present] / images_per_class
    total = max(int(images.sum()), 1)
    mean, std = _mean_and_std(state.avg_by_class, state.avg_squares, total)
    max_mean, max_std = _mean_and_std(state.max_by_class, state.max_squares, total)
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
                mean=round_float32(float(mean[channel])),
                std=round_float32(float(std[channel])),
                max_mean=round_float32(float(max_mean[channel])),
                max_std=round_float32(float(max_std[channel])),
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
        packs=schema.LayerPacks(),
    )


def classes_to_record(files: Sequence[schema.LayerFile], classes: int) -> schema.Classes:
    """Return the filters that prefer each class, most selective first.

    A filter prefers the first class of its profile by maxima.

    Args:
        files: All layers, in the manifest's order.
        classes: Number of classes.
    """
    filters: list[list[tuple[int, int, float | None]]] = [[] for _ in range(classes)]
    for position, file in enumerate(files):
        for entry in file.filters:
            # A filter that no image activates prefers no class, although its profile lists some.
            if entry.classes.max and entry.stats.active > 0:
                preferred = entry.classes.max[0][0]
                filters[preferred].append((position, entry.channel, entry.stats.selectivity))
    for rows in filters:
        rows.sort(key=lambda row: (-(row[2] or 0.0), row[0], row[1]))
    return schema.Classes(format=schema.FORMAT, filters=filters)


def _entries(lists: TopK, channel: int) -> list[tuple[int, float, int]]:
    """Return the image, the score and the position of each entry of a channel's list."""
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
            position=divmod(position, width),
            box=layer.field.box(*divmod(position, width)),
            certificate=None,
        )
        for image, score, position in _entries(lists, channel)
    ]


def _mean_and_std(by_class: Tensor, squares: Tensor, total: int) -> tuple[Tensor, Tensor]:
    mean = by_class.sum(0) / total
    return mean, (squares / total - mean.square()).clamp(min=0).sqrt()


def _profile(classes: list[int], means: Tensor) -> list[tuple[int, float]]:
    pairs = sorted(zip(classes, means.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return [(label, round_float32(mean)) for label, mean in pairs[:_PROFILE_CLASSES]]


def _selectivity(positive: Tensor) -> float | None:
    """Return the class selectivity of a filter; `None` if there are fewer than two classes.

    It is `(best - others) / (best + others)` of the mean positive activations: the highest class mean, and
    the mean over the other classes (Morcos et al. 2018, arXiv:1803.06959).

    Args:
        positive: Mean positive activation for each class, `(classes,)`.
    """
    if len(positive) < 2:
        return None
    best = float(positive.max())
    others = float((positive.sum() - best) / (len(positive) - 1))
    return round_float32((best - others) / (best + others)) if best > 0 else 0.0


def with_certificate(entry: schema.MaxEntry, crop_score: float) -> schema.MaxEntry:
    """Return the entry with its certificate: the relative difference between its score and that of its crop.

    Args:
        entry: The entry.
        crop_score: The activation computed from the crop alone.
    """
    scale = max(abs(entry.score), torch.finfo(torch.float32).tiny)
    difference = abs(crop_score - entry.score) / scale
    # The difference is rounding noise: more than two digits mean nothing.
    certificate = float(f"{difference:.1e}") if math.isfinite(difference) else 1.0
    return schema.MaxEntry(
        image=entry.image,
        label=entry.label,
        score=entry.score,
        position=entry.position,
        box=entry.box,
        certificate=certificate,
    )
