"""Circuits and expanded weights of a synthetic store, as docs/reference/format.md describes them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

UP, DOWN, INHIBITING = 12, 12, 6
EXPANDED = 8  # filters of each layer
LETTERS = "abcdefghijklmnopq"


def add_circuits(store: Path, images: str = "top") -> Path:
    """Write circuits for every layer of a store, from the edges of its manifest, and return the store.

    Contributions are random but add up. Layers without a map of several positions have no kernels.
    """
    manifest = json.loads((store / "network.json").read_text("utf-8"))
    channels = {layer["name"]: layer["channels"] for layer in manifest["layers"]}
    for layer in manifest["layers"]:
        name = layer["name"]
        sources = [a for a in channels if [a, name] in manifest["edges"]]
        targets = [b for b in channels if [name, b] in manifest["edges"]]
        kernel = [3, 3] if layer["shape"][1:] != [1, 1] else None
        record = {
            "format": 2,
            "layer": name,
            "images": images,
            "upstream": [{"layer": source, "kernel": kernel} for source in sources],
            "downstream": targets,
            "repeated": False,
            "filters": [
                circuit(
                    random.Random(f"{name} {channel}"),
                    [channels[source] for source in sources],
                    [channels[target] for target in targets],
                    kernel is not None,
                )
                for channel in range(layer["channels"])
            ],
        }
        replace(store / "circuits" / f"{Path(layer['data']).stem}.json", record)
    manifest["expanded"] = add_expanded_weights(store, manifest)
    stage = {"complete": True, "config": {"images": images}}
    replace(store / "network.json", {**manifest, "stages": {**manifest["stages"], "circuits": stage}})
    return store


def add_expanded_weights(store: Path, manifest: dict) -> list[str]:
    """Write random weights of 5 x 5 to all filters two layers upstream, and return the layers."""
    channels = {layer["name"]: layer["channels"] for layer in manifest["layers"]}
    edges = {tuple(edge) for edge in manifest["edges"]}
    written = []
    for layer in manifest["layers"]:
        name = layer["name"]
        sources = [a for a in channels if any((a, b) in edges and (b, name) in edges for b in channels)]
        if not sources:
            continue
        rng = random.Random(name)
        rows = [[at, p] for at, source in enumerate(sources) for p in range(channels[source])]
        record = {
            "format": 2,
            "layer": name,
            "upstream": [{"layer": source, "kernel": [5, 5]} for source in sources],
            "filters": [
                {
                    "channel": channel,
                    "scale": 0.002,
                    "kernels": [[*row, "".join(rng.choices(LETTERS, k=25))] for row in rows],
                }
                for channel in range(min(EXPANDED, layer["channels"]))
            ],
        }
        replace(store / "expanded" / f"{Path(layer['data']).stem}.json", record)
        written.append(name)
    return written


def circuit(rng: random.Random, above: Sequence[int], below: Sequence[int], kernels: bool) -> dict:
    """Return the record of one filter, with `above` and `below` filters in the layers beside its own."""
    every = [[u, p, round(rng.gauss(0.6, 1.6), 4)] for u, count in enumerate(above) for p in range(count)]
    sums = [
        [
            sum(c for u, _, c in every if u == at and c > 0),
            sum(c for u, _, c in every if u == at and c < 0),
        ]
        for at in range(len(above))
    ]
    excitation, inhibition = (float(sum(pair[i] for pair in sums)) for i in (0, 1))

    def rows(sign: int, most: int) -> list[list]:
        chosen = sorted((row for row in every if row[2] * sign > 0), key=lambda row: -sign * row[2])[:most]
        return [[*row, "".join(rng.choices(LETTERS, k=9)) if kernels else ""] for row in chosen]

    users = [[d, q] for d, count in enumerate(below) for q in range(count)]
    shares = [[*user, round(rng.uniform(-0.1, 0.3), 4)] for user in rng.sample(users, min(DOWN, len(users)))]
    return {
        "score": excitation + inhibition + 0.1,
        "excitation": excitation,
        "inhibition": inhibition,
        "rest": 0.1,
        "sums": sums,
        "scale": 0.031 if kernels and every else 0,
        "excited_by": rows(1, UP),
        "inhibited_by": rows(-1, INHIBITING),
        "used_by": sorted(shares, key=lambda row: -abs(row[2])),
    }


def replace(path: Path, record: object) -> None:
    """Write JSON to a new file: the old one may be a link to the file of a store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(record), "utf-8")
