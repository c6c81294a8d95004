"""A complete synthetic store, and the site built from it, served under a URL prefix."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from torchlurk.web.page import STORES_FOLDER
from torchlurk.web.publish import build_site
from torchlurk.web.static_server import make_server, serve_in_thread

from .made_up_circuits import add_circuits
from .made_up_spectra import add_spectra
from .packed import pack_store

K = 4
EDGES = [-8, -4, -2, -1, -0.5, -0.25, 0.25, 0.5, 1, 2, 4, 8]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
CLASSES = ["tench", "tabby cat", "lighthouse", "a name that is long " * 10]
DIGEST = "0" * 64
PREFIX = "some/prefix"

CUT = """(selector) => [...document.querySelectorAll(selector)].flatMap((container) => {
  const { left, right } = container.getBoundingClientRect();
  const out = (text) => {
    const box = text.getBoundingClientRect();
    if (text.localName === 'p' && text.scrollWidth > text.clientWidth + 1) return true;
    return box.left < left - 1 || box.right > right + 1;
  };
  return [...container.querySelectorAll('text, .readout')]
    .filter(out)
    .map((text) => text.textContent);
})"""
"""JavaScript that returns the plot texts that do not fit into the elements of a selector."""


@cache
def jpeg(seed: int, height: int, width: int) -> bytes:
    """Return a colourful picture as JPEG."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width) * 2 * np.pi
    waves = rng.uniform(0.5, 3, (3, 2))
    shift = rng.uniform(0, 6, 3)
    planes = [np.sin(a * x + b * y + s) for (a, b), s in zip(waves, shift, strict=True)]
    buffer = BytesIO()
    Image.fromarray((127 + 127 * np.stack(planes, -1)).astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def put(path: Path, data: bytes | object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(data, bytes):
        data = json.dumps(data, sort_keys=True).encode()
    path.write_bytes(data)


def filter_record(channel: int, pictures: list[str], classes: int, dead: bool) -> dict:
    scale = 0 if dead else 1 + channel % 7
    entries = [
        {
            "image": i,
            "class": (channel + i) % classes if classes else None,
            "score": 1.5 * scale - 0.1 * i,
            "position": [i, 3],
            "box": [8 * i, 4, 8 * i + 12, 16],
            "certificate": 1e-7,
        }
        for i in range(K)
    ]
    by_max = [[c, scale - 0.4 * c] for c in range(min(10, classes))]
    by_avg = [[c, scale - 0.4 * c] for c in range(min(10, classes))]
    return {
        "channel": channel,
        "max": entries,
        "avg": [{key: e[key] for key in ("image", "class", "score")} for e in entries],
        "classes": {"max": by_max, "avg": by_avg},
        "stats": {
            "mean": 0.1 * scale,
            "std": 0.2,
            "max_mean": 1.0 * scale,
            "max_std": 0.5,
            "active": 0 if dead else min(1, 0.2 * scale),
            "selectivity": (channel * 37 % 100) / 100,
            "distribution": [[3, 1], [6, 10], [8, 30 + channel % 5], [10, 2]],
        },
        "pictures": pictures,
        "ascent": {"score": 9.5, "ratio": 2.25} if "max_activ" in pictures else None,
    }


def make_store(folder: Path, name: str, layers: list[tuple[str, int]], edges, **odd) -> Path:
    """Write a store in which the first `rich` filters of a layer have every picture.

    `text` is prepended to every string. Layers in `flat` output one number per image. The receptive field of
    the units in `whole` layers is the whole image. Images have `side` pixels per side. With `faint`, mean
    responses are small and negative. Without `packed`, each picture is a file of its own, as in format 1.
    """
    store = folder / name
    text = odd.get("text")
    rich = odd.get("rich", 24)
    flat = odd.get("flat", ())
    whole = (*flat, *odd.get("whole", ()))
    input_side = odd.get("side", 64)
    label = (lambda words: f"{text} {words}") if text else str
    classes = [label(c) for c in CLASSES]
    tiles: dict[str, dict] = {}
    kinds = {"cropped": 48, "max_grads": 64, "cropped_grad": 48, "avg_grads": 64, "max_activ": 64}
    entries = []
    for number, (layer, channels) in enumerate(layers):
        for kind, side in kinds.items():
            sizes = tiles.setdefault(kind, {})
            if not (layer in whole and kind.startswith("cropped")):
                sizes[label(layer)] = [side, side]
        size = 3 + 12 * number
        entries.append(
            {
                "name": label(layer),
                "kind": label("Conv2d"),
                "channels": channels,
                "shape": [channels, 1, 1] if layer in flat else [channels, 64, 64],
                "data": f"layers/{layer}.json",
                "receptive_field": {"size": [size] * 2, "stride": [1, 1], "offset": [-1, -1]}
                if number < 4 and layer not in whole
                else None,
            }
        )
        records = []
        for channel in range(channels):
            full = channel < rich
            pictures = list(kinds) if full else ["cropped"]
            if layer in whole:
                pictures = [kind for kind in pictures if not kind.startswith("cropped")]
            record = filter_record(channel, pictures, len(classes), channel == 5)
            if layer in whole:
                for entry in record["max"]:
                    entry.update(box=[0, 0, input_side, input_side])
            if layer in flat:
                for entry in record["max"]:
                    entry.update(position=[0, 0])
            for pair in record["classes"]["avg"]:
                pair[1] *= -0.00123 if odd.get("faint") else 1
            records.append(record)
            for kind in pictures:
                side = kinds[kind]
                width = side if kind == "max_activ" else side * K
                seed = (number * 31 + channel) % 12
                put(store / kind / layer / f"{channel}.jpg", jpeg(seed, side, width))
        layer_record = {"format": 1, "layer": label(layer), "channels": channels, "k": K}
        layer_record["names"] = (
            [label(f"kind {c} of things") for c in range(channels)] if layer in flat else None
        )
        put(store / "layers" / f"{layer}.json", {**layer_record, "filters": records})
    for i in range(K):
        put(store / "images" / f"{i}.jpg", jpeg(100 + i, input_side, input_side))
    put(
        store / "images.json",
        {str(i): {"path": label(f"cat/{i}.jpg"), "class": 0} for i in range(K)},
    )
    done = {"complete": True, "config": {"k": K, "filters": rich, "method": "deconv"}}
    manifest = {
        "format": 1,
        "name": name,
        "title": label(name.title()),
        "device": "cpu",
        "threads": 1,
        "k": K,
        "model": {"source": "toy", "weights": "random", "weights_sha256": DIGEST},
        "input": {"shape": [3, input_side, input_side], "mean": [0.5] * 3, "std": [0.25] * 3},
        "dataset": {
            "name": label("toys"),
            "images": 1234,
            "classes": classes,
            "digest": DIGEST,
            "skipped": [{"path": label("cat/9.jpg"), "reason": label("not an image")}],
        },
        "layers": entries,
        "layers_skipped": [
            {"name": label("aux.conv"), "kind": "Conv2d", "reason": "is never called: nothing reaches it"}
        ],
        "edges": [[label(a), label(b)] for a, b in edges],
        "tiles": tiles,
        "activation_edges": EDGES,
        "stages": {"scan": done, "gradients": done, "ascent": done},
    }
    put(store / "network.json", manifest)
    if odd.get("by_class", True):
        put(store / "classes.json", {"format": 1, "filters": by_class(layers, len(classes))})
    return pack_store(store) if odd.get("packed", True) else store


def by_class(layers: list[tuple[str, int]], classes: int) -> list[list]:
    """Return for each class the filters that prefer it: none for the last class, and no dead filters."""
    lists: list[list] = [[] for _ in range(classes)]
    for number, (_, channels) in enumerate(layers):
        for channel in range(channels):
            # The first class occurs in all layers; the others occur in some layers, more often in deep ones.
            other_class = classes - 1 > 1 and (channel * 7 + number) % 11 < min(10, number)
            at = 1 + (channel + number // 3) % (classes - 2) if other_class else 0
            if channel != 5:
                lists[at].append([number, channel, None if channel == 3 else (channel * 37 % 100) / 100])
    for rows in lists:
        rows.sort(key=lambda row: (row[2] is None, -(row[2] or 0), row[0], row[1]))
    return lists


CHAIN = [("conv1", 16), ("conv2", 512), ("conv3", 32)]
BRANCHES = [("stem", 8), ("left", 8), ("right.1", 8), ("right.2", 8), ("join", 8), ("head", 8)]
BRANCH_EDGES = [
    ("stem", "left"),
    ("stem", "right.1"),
    ("right.1", "right.2"),
    ("left", "join"),
    ("right.2", "join"),
    ("stem", "join"),
    ("join", "head"),
]


def residual(stages=(3, 4, 6, 3), channels=12) -> tuple[list[tuple[str, int]], list[tuple[str, str]]]:
    """Return layers and edges like those of a residual network, whose blocks add to a common stream."""
    layers, edges = [("stem", channels)], []
    stream = ["stem"]
    for stage, blocks in enumerate(stages, 1):
        for block in range(blocks):
            names = [f"layer{stage}.{block}.conv{i}" for i in (1, 2, 3)]
            layers += [(name, channels) for name in names]
            edges += [(source, names[0]) for source in stream] + list(pairwise(names))
            if block == 0:
                down = f"layer{stage}.0.downsample.0"
                layers.append((down, channels))
                edges += [(source, down) for source in stream]
                stream = [down]
            stream = [*stream, names[2]]
    for i in range(8):  # a tail of branches that meet
        layers += [(f"mix.{i}.wide", channels), (f"mix.{i}.narrow", channels)]
        edges += [(source, name) for source in stream for name in (f"mix.{i}.wide", f"mix.{i}.narrow")]
        stream = [f"mix.{i}.wide", f"mix.{i}.narrow"]
    layers.append(("head", 400))
    edges += [(source, "head") for source in stream]
    return layers, edges


@contextmanager
def served(stores: list[Path], folder: Path, circuits: Collection[str] = ()) -> Iterator[str]:
    """Serve a site of stores, and yield its URL; the stores named in `circuits` have circuits and spectra."""
    site = build_site(stores, folder / PREFIX).out
    for name in circuits:
        add_spectra(add_circuits(site / STORES_FOLDER / name))
    with serve_in_thread(make_server(folder, port=0)) as url:
        yield f"{url}{PREFIX}/"
