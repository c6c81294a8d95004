"""Made-up stores of one network at several moments, and the comparison of them: complete, and checked as it is written."""

import json
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

import msgspec

from torchlurk.comparing.measures import MEASURES
from torchlurk.store.comparison import Comparison, Comparisons, LayerComparison

from .made_up_site import HOSTILE, K, jpeg, make_store, put

LAYERS = [("stem", 8), ("wide", 512), ("deep", 24), ("logits", 10)]
POOL = 9
"""How many images the stores refer to."""

ALONE = ("top_max", "top_avg", "classes_max", "mean_shift", "active", "selectivity")
"""Measures that need no more than stores."""


def make_moment(folder: Path, name: str, moment: int, layers=LAYERS, **odd) -> Path:
    """A store whose lists, profiles and numbers change from moment to moment, more so in later layers.

    Filters whose number is a multiple of 5 stay as they are, and so does the first layer.
    """
    flat = [layer for layer, _ in layers if layer == "logits"]
    store = make_store(folder, name, layers, list(pairwise(layer for layer, _ in layers)), flat=flat, **odd)
    images = {}
    for i in range(POOL):
        put(store / "images" / f"{i}.jpg", jpeg(100 + i, odd.get("side", 64), odd.get("side", 64)))
        images[str(i)] = {"path": f"cat/{i}.jpg", "class": i % 4}
    put(store / "images.json", images)
    for depth, (layer, _) in enumerate(layers):
        path = store / "layers" / f"{layer}.json"
        record = json.loads(path.read_text())
        for one in record["filters"]:
            step = 0 if one["channel"] % 5 == 0 else min(depth, 1) * moment
            if step == 0:
                continue
            for rank, entry in enumerate(one["max"]):
                entry.update(image=(rank + step * depth) % POOL, score=entry["score"] + 0.5 * step)
                entry["class"] = entry["image"] % 4
            for rank, entry in enumerate(one["avg"]):
                entry.update(image=(rank + step) % POOL, score=entry["score"] - 0.1 * step)
            profile = one["classes"]["max"]
            values = [value for _, value in profile]
            turned = values[step % len(values) :] + values[: step % len(values)]
            one["classes"]["max"] = sorted(
                ([label, value] for (label, _), value in zip(profile, turned, strict=True)),
                key=lambda pair: -pair[1],
            )
            one["stats"]["mean"] += 0.1 * step
            one["stats"]["selectivity"] = round(one["stats"]["selectivity"] * 0.5**step, 3)
        put(path, record)
        for channel in range(min(24, len(record["filters"]))):
            for kind in record["filters"][channel]["pictures"]:
                shift = 0 if channel % 5 == 0 else min(depth, 1) * moment
                side = {"cropped": 48, "cropped_grad": 48}.get(kind, 64)
                seed = (depth * 31 + channel + 3 * shift) % 12
                width = side if kind == "max_activ" else side * K
                put(store / kind / layer / f"{channel}.jpg", jpeg(seed, side, width))
    manifest = json.loads((store / "network.json").read_text())
    manifest["model"].update(weights=f"file:{name}.safetensors", weights_sha256=f"{moment:064x}")
    put(store / "network.json", manifest)
    return store


def value(measure: str, depth: int, channel: int, step: int) -> float | None:
    """A change between 0 and 1 (or -1 and 1) that grows with the depth and with time."""
    if measure == "weights" and channel == 7:
        return None
    if channel % 5 == 0 or depth == 0:
        return 0.0
    place = list(MEASURES).index(measure)
    size = ((channel * 37 + place * 11) % 97 + 1) / 97 * min(1, 0.25 * depth) * (1 - 0.5**step)
    if measure in ("top_max", "top_avg"):
        size = round(size * K) / K
    return round(-size if MEASURES[measure].signed and channel % 2 else size, 4)


def distribution(measure: str, values: list[float | None]) -> dict[str, Any] | None:
    known = [(abs(one), channel) for channel, one in enumerate(values) if one is not None]
    if not known:
        return None
    edges = MEASURES[measure].edges
    histogram = [0] * (len(edges) + 1)
    for one in values:
        if one is not None:
            histogram[bisect_right(edges, one)] += 1
    sizes = [size for size, _ in known]
    most = max(known, key=lambda pair: (pair[0], -pair[1]))
    return {
        "counted": len(known),
        "unchanged": sizes.count(0),
        "mean": mean(sizes),
        "median": median(sizes),
        "max": most[0],
        "most": most[1],
        "histogram": histogram,
    }


def make_comparison(folder: Path, name: str, stores: list[Path], **odd) -> Path:
    """A comparison of stores that `make_moment` made; without `networks` it has fewer measures."""
    networks = odd.get("networks", True)
    label = (lambda words: f"{HOSTILE} {words}") if odd.get("hostile") else str
    manifests = [json.loads((store / "network.json").read_text()) for store in stores]
    measures = [one for one in MEASURES if (networks and not one.startswith("embed")) or one in ALONE]
    pairs = [[0, 1]]
    for i in range(2, len(stores)):
        pairs += [[0, i], [i - 1, i]]
    layers = []
    for depth, layer in enumerate(manifests[0]["layers"]):
        channels = layer["channels"]
        found, changes = [], []
        for one, two in pairs:
            step = two - one
            columns = {m: [value(m, depth, c, step) for c in range(channels)] for m in measures}
            if layer["name"] == "logits":
                columns.pop("cross", None)
            dist = {m: d for m, v in columns.items() if (d := distribution(m, v)) is not None}
            changes.append({"summary": label(f"Layer {depth}: {step} moments of change."), "distributions": dist})
            partners = [None if c == 5 else [(c + 1) % channels if c % 7 == 6 else c, 0.875] for c in range(channels)]
            crossed = [[9.5, 3.25, 4.125, 8.75] if c < 24 and "cross" in columns else None for c in range(channels)]
            found.append(
                {
                    "from": one,
                    "to": two,
                    "values": columns,
                    "partners": partners if networks else None,
                    "cross": crossed if networks and "cross" in columns else None,
                }
            )
        layers.append({key: layer[key] for key in ("name", "kind", "channels", "data")} | {"changes": changes})
        record = {"format": 1, "layer": layer["name"], "channels": channels, "pairs": found}
        msgspec.json.decode(json.dumps(record), type=LayerComparison)
        put(folder / name / layer["data"], record)
    record = {
        "format": 1,
        "name": name,
        "title": label(" → ".join([manifests[0]["title"], manifests[-1]["title"]])),
        "stores": [{key: m[key] for key in ("name", "title", "model")} | {"path": m["name"]} for m in manifests],
        "dataset": {key: manifests[0]["dataset"][key] for key in ("name", "images", "digest")},
        "k": K,
        "networks": networks,
        "embedding": None,
        "note": None if networks else label("Made of the stores alone."),
        "measures": [msgspec.to_builtins(MEASURES[one]) for one in measures],
        "pairs": [
            {"from": one, "to": two, "summary": label(f"Of {len(layers)} layers, {len(layers) - 1} changed.")}
            for one, two in pairs
        ],
        "layers": layers,
    }
    msgspec.json.decode(json.dumps(record), type=Comparison)
    put(folder / name / "comparison.json", record)
    return folder / name


def put_index(folder: Path, comparisons: list[Path]) -> None:
    """`comparisons.json`."""
    record = {
        "format": 1,
        "comparisons": [
            {
                "name": one.name,
                "title": json.loads((one / "comparison.json").read_text())["title"],
                "path": one.name,
            }
            for one in sorted(comparisons)
        ],
    }
    msgspec.json.decode(json.dumps(record), type=Comparisons)
    put(folder / "comparisons.json", record)
