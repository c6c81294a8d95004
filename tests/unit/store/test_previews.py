"""Previews: which filters, and that they are those of the layers."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from tests.golden.run import EXPECTED
from torchlurk.store.previews import PreviewFilter, PreviewImage, choose_previews, make_previews
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.schema import Previews
from torchlurk.web.publish import build_site

STORE = Path(EXPECTED) / "branching"


def filters(count: int, **empty: bool) -> list[PreviewFilter]:
    """Filters whose best image has ten times their number."""
    return [
        PreviewFilter(i, [], [] if empty.get(f"f{i}") else [PreviewImage(10 * i, (0, i), (0, 0, i + 1, 2))])
        for i in range(count)
    ]


def test_previews_are_spread_evenly_over_channels():
    assert [one.channel for one in choose_previews(filters(64))] == [0, 8, 16, 24, 32, 40, 48, 56]
    assert [one.channel for one in choose_previews(filters(5))] == [0, 1, 2, 3, 4]
    assert [one.channel for one in choose_previews(filters(9), 4)] == [0, 2, 4, 6]
    assert choose_previews([]) == []


def test_a_filter_without_images_is_left_out():
    found = choose_previews(filters(3, f1=True))
    assert [(one.channel, one.image, one.box) for one in found] == [
        (0, 0, (0, 0, 1, 2)),
        (2, 20, (0, 0, 3, 2)),
    ]


def test_previews_are_the_best_images_of_the_layers():
    manifest = read_manifest(STORE)
    found = make_previews(STORE, manifest).layers
    assert list(found) == [layer.name for layer in manifest.layers]
    for layer in manifest.layers:
        known = read_layer(STORE, layer).filters
        assert found[layer.name]
        for one in found[layer.name]:
            best = known[one.channel].max[0]
            assert (one.image, one.position, one.box) == (best.image, best.position, best.box)


def test_a_damaged_layer_has_no_previews(tmp_path: Path):
    store = tmp_path / "branching"
    store.mkdir()
    for path in STORE.rglob("*"):
        target = store / path.relative_to(STORE)
        if path.is_dir():
            target.mkdir()
        else:
            target.write_bytes(path.read_bytes())
    first, *rest = json.loads((store / "network.json").read_text())["layers"]
    (store / first["data"]).write_text("{")
    out = build_site([store], tmp_path / "site").out
    found = msgspec.json.decode((out / "saved_model/branching/previews.json").read_bytes(), type=Previews)
    assert set(found.layers) == {layer["name"] for layer in rest}
