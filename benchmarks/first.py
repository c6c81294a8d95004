"""The scan of the first version of Torchlurk, as a baseline."""

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
    """Scan photographs one at a time, with a Python loop over the filters of each layer.

    For each image, decode and transform it in the same process, run the network module by module while
    recording gradients, and take the maximum (with its position) and the mean of each map. For each filter,
    add the score to the sum of the image's class, and replace the lowest score of the filter's list if the
    image scores higher. The periodic writes of the first version are left out.

    Args:
        setting: The network and the photographs.
        count: The number of images; photographs repeat if there are fewer.

    Returns:
        The record of each filter, by layer name.
    """
    names = setting.folder.classes
    records: dict[str, list[Entry]] = {
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
            if name not in records:
                continue
            maps = x.flatten(2)
            maxima, positions = maps.max(dim=2)
            _add_image(records[name], "max", maxima, path, names[label], positions)
            _add_image(records[name], "avg", maps.mean(dim=2), path, names[label], None)
    return records


def _entry(classes: Sequence[str]) -> Entry:
    return {
        f"{kind}_{what}": value
        for kind in ("max", "avg")
        for what, value in (
            ("scores", [0.0] * K),
            ("images", [""] * K),
            ("positions", [0] * K),
            ("by_class", dict.fromkeys(classes, 0.0)),
        )
    }


def _add_image(
    entries: Sequence[Entry], kind: str, scores: Tensor, path: str, label: str, positions: Tensor | None
) -> None:
    """Add one image at one layer: scores `(1, C)`, and their positions for the maximum."""
    for channel, score in enumerate(scores[0].detach().numpy()):
        entry = entries[channel]
        entry[f"{kind}_by_class"][label] += float(score)
        best = entry[f"{kind}_scores"]
        lowest = int(np.argmin(best))
        if score > min(best) and path not in entry[f"{kind}_images"]:
            best[lowest] = float(score)
            entry[f"{kind}_images"][lowest] = path
            if positions is not None:
                entry[f"{kind}_positions"][lowest] = int(positions[0, channel])
