"""Synthetic stores of one network at several training steps, and comparisons of them.

Measures that need only the stores are computed from them; measures that need networks are synthetic.
"""

import json
from itertools import pairwise
from pathlib import Path

from torchlurk.comparing.assemble import NetworkMeasures, NetworkResults, assemble, store_pairs
from torchlurk.comparing.compatibility import open_stores
from torchlurk.comparing.files import write_comparison
from torchlurk.comparing.measures import MEASURES
from torchlurk.store.schema import LayerRecord

from .made_up_site import K, jpeg, make_store, put

NAMES = ("early", "later", "last")
"""The names of the stores, in order of training."""

LAYERS = [("stem", 8), ("wide", 512), ("deep", 24), ("logits", 10)]
POOL = 9
"""The number of images in the stores."""

NETWORKS = ("maps", "means", "maxima", "difference", "partner", "weights", "direction", "cross")
"""The measures that need networks."""


def make_moment(folder: Path, name: str, moment: int, layers=LAYERS, **odd) -> Path:
    """Write a store whose lists, profiles and statistics change from moment to moment, more in later layers.

    Filters whose number is a multiple of 5 do not change, nor does the first layer.
    """
    flat = [layer for layer, _ in layers if layer == "logits"]
    edges = list(pairwise(layer for layer, _ in layers))
    store = make_store(folder, name, layers, edges, flat=flat, packed=False, **odd)
    side = odd.get("side", 64)
    for i in range(POOL):
        put(store / "images" / f"{i}.jpg", jpeg(100 + i, side, side))
    put(store / "images.json", {str(i): {"path": f"cat/{i}.jpg", "class": i % 4} for i in range(POOL)})
    for depth, (layer, _) in enumerate(layers):
        path = store / "layers" / f"{layer}.json"
        record = json.loads(path.read_text())
        for one in record["filters"]:
            if one["ascent"]:
                one["ascent"]["found"] = True
            step = moment if depth and one["channel"] % 5 else 0
            if step:
                move(one, depth, step)
                for kind in one["pictures"] if one["channel"] < 24 else []:
                    tall = {"cropped": 48, "cropped_grad": 48}.get(kind, 64)
                    wide = tall if kind == "max_activ" else tall * K
                    seed = (depth * 31 + one["channel"] + 3 * step) % 12
                    put(store / kind / layer / f"{one['channel']}.jpg", jpeg(seed, tall, wide))
        put(path, record)
    manifest = json.loads((store / "network.json").read_text())
    manifest["model"].update(weights=f"file:{name}.safetensors", weights_sha256=f"{moment:064x}")
    put(store / "network.json", manifest)
    return store


def move(one: dict, depth: int, step: int) -> None:
    """Change the record of a filter as training does."""
    for rank, entry in enumerate(one["max"]):
        image = (rank + step * depth) % POOL
        entry.update({"image": image, "class": image % 4, "score": entry["score"] + 0.5 * step})
    for rank, entry in enumerate(one["avg"]):
        entry.update(image=(rank + step) % POOL, score=entry["score"] - 0.1 * step)
    profile = one["classes"]["max"]
    turned = [profile[(i + step) % len(profile)][1] for i in range(len(profile))]
    moved = [[label, value] for (label, _), value in zip(profile, turned, strict=True)]
    one["classes"]["max"] = sorted(moved, key=lambda pair: -pair[1])
    one["stats"]["mean"] += 0.1 * step
    one["stats"]["selectivity"] = round(one["stats"]["selectivity"] * 0.5**step, 3)


def value(measure: str, depth: int, channel: int, step: int) -> float | None:
    """Return a synthetic measure: a change that grows with depth and with time."""
    if measure in ("weights", "direction") and channel == 7:
        return None
    if channel % 5 == 0 or depth == 0:
        return 0.0
    index = list(MEASURES).index(measure)
    return round(((channel * 37 + index * 11) % 97 + 1) / 97 * min(1, 0.25 * depth) * (1 - 0.5**step), 4)


def measures(layer: LayerRecord, depth: int, step: int) -> NetworkMeasures:
    flat = layer.name.endswith("logits")
    channels = range(layer.channels)
    names = [name for name in NETWORKS if not (flat and name == "cross")]
    return NetworkMeasures(
        values={name: [value(name, depth, c, step) for c in channels] for name in names},
        partners=[
            None if c == 5 else ((c + 1) % layer.channels if c % 7 == 6 else c, 0.875) for c in channels
        ],
        cross=None if flat else [(9.5, 3.25, 4.125, 8.75) if c < 24 else None for c in channels],
    )


def make_comparison(folder: Path, name: str, stores: list[Path], *, networks: bool = True) -> Path:
    """Write a comparison of stores from `make_moment`; without networks it has fewer measures."""
    opened = open_stores(stores)
    results = NetworkResults(note="Made of the stores alone.")
    if networks:
        measured = {
            (layer.name, (a, b)): measures(layer, depth, b - a)
            for depth, layer in enumerate(opened[0].layers)
            for a, b in store_pairs(len(stores))
        }
        results = NetworkResults(networks=True, measures=measured)
    (folder / name).mkdir()
    write_comparison(assemble(name, opened, results), folder / name)
    return folder / name


def changes(folder: Path, name: str, layer: str, pair: int = 0) -> dict:
    """Return the record of a layer for one pair of the stores of a comparison."""
    return json.loads((folder / name / "layers" / f"{layer}.json").read_text())["pairs"][pair]
