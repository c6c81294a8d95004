"""A scan as the first Torchlurk made it: the peer that a scan is measured beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.setting import Setting
from torchlurk.datasets.batches import load_pixels

K = 4
Entry = dict[str, Any]


def image_by_image(setting: Setting, count: int) -> dict[str, list[Entry]]:
    """Scan so many photographs one at a time, with a Python loop over the filters of each layer.

    For each image: decode and transform it in the same process, run the network module by module with
    gradients recorded, take maximum (with its place) and mean of each map, and for each filter add the score
    to the sum of the image's class, look for the least of its list, and put the image there if it scores
    more. What it did besides is left out: now and then it wrote all that it knew.

    Args:
        setting: network and photographs.
        count: how many; they come round again where there are fewer.

    Returns:
        What is known of each filter of each layer.
    """
    names = setting.folder.classes
    known: dict[str, list[Entry]] = {
        layer.name.removeprefix("features."): [_entry(names) for _ in range(layer.shape[0])]
        for layer in setting.graph.layers
    }
    total = len(setting.folder.paths)
    for number in range(count):
        path = setting.folder.paths[number % total]
        label = setting.folder.labels[number % total]
        pixels = load_pixels(setting.folder, setting.network.preprocess, [number % total])
        x = setting.network.preprocess.to_input(pixels).contiguous()
        for name, module in setting.trunk.named_children():
            x = module(x)
            if name not in known:
                continue
            maps = x.flatten(2)
            maxima, places = maps.max(dim=2)
            _take(known[name], "max", maxima, path, names[label], places)
            _take(known[name], "avg", maps.mean(dim=2), path, names[label], None)
    return known


def _entry(classes: Sequence[str]) -> Entry:
    return {
        f"{kind}_{what}": value
        for kind in ("max", "avg")
        for what, value in (
            ("scores", [0.0] * K),
            ("images", [""] * K),
            ("places", [0] * K),
            ("by_class", dict.fromkeys(classes, 0.0)),
        )
    }


def _take(
    entries: Sequence[Entry], kind: str, scores: Tensor, path: str, label: str, places: Tensor | None
) -> None:
    """One image at one layer: `(1, C)` scores, and their places if they have any."""
    for channel, score in enumerate(scores[0].detach().numpy()):
        entry = entries[channel]
        entry[f"{kind}_by_class"][label] += float(score)
        best = entry[f"{kind}_scores"]
        least = int(np.argmin(best))
        if score > min(best) and path not in entry[f"{kind}_images"]:
            best[least] = float(score)
            entry[f"{kind}_images"][least] = path
            if places is not None:
                entry[f"{kind}_places"][least] = int(places[0, channel])
