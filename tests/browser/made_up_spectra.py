"""Spectra of a synthetic store, as docs/reference/format.md describes them."""

from __future__ import annotations

import json
from pathlib import Path

from .made_up_circuits import replace

QUANTILES = [0, 0.05, 0.25, 0.5, 0.75, 0.95]


def add_spectra(store: Path) -> Path:
    """Write spectra for every layer of a store, of images that it has, and return the store."""
    manifest = json.loads((store / "network.json").read_text("utf-8"))
    ids = sorted(int(image) for image in json.loads((store / "images.json").read_text("utf-8"))["images"])
    _, height, width = manifest["input"]["shape"]
    for layer in manifest["layers"]:
        record = {
            "format": 2,
            "layer": layer["name"],
            "quantiles": QUANTILES,
            "filters": [
                [
                    [
                        [
                            ids[(channel + 2 * at + i) % len(ids)],
                            at - 2 + i / 4,
                            [0, 0],
                            [0, 0, width // 2, height // 3],
                        ]
                        for i in range(2)
                    ]
                    for at in range(len(QUANTILES))
                ]
                for channel in range(layer["channels"])
            ],
        }
        replace(store / "spectrum" / f"{Path(layer['data']).stem}.json", record)
    replace(store / "network.json", {**manifest, "spectra": True})
    return store
