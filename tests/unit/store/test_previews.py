"""Previews: which filters, and that they are those of the layers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.golden.run import EXPECTED
from tests.stored import unpacked
from torchlurk.store.previews import (
    PreviewFilter,
    PreviewImage,
    PreviewLayer,
    choose_previews,
    make_previews,
)
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.schema import LayerPacks, Pack, Previews, PreviewThumb
from torchlurk.web.publish import build_site

STORE = Path(EXPECTED) / "branching"


def layer_of(count: int, packs: LayerPacks | None = None, **empty: bool) -> PreviewLayer:
    """A layer of filters whose best image has ten times their number."""
    filters = [
        PreviewFilter(i, [], [] if empty.get(f"f{i}") else [PreviewImage(10 * i, (0, i), (0, 0, i + 1, 2))])
        for i in range(count)
    ]
    return PreviewLayer(filters, packs)


def test_previews_are_spread_evenly_over_channels():
    assert [one.channel for one in choose_previews(layer_of(64))] == [0, 8, 16, 24, 32, 40, 48, 56]
    assert [one.channel for one in choose_previews(layer_of(5))] == [0, 1, 2, 3, 4]
    assert [one.channel for one in choose_previews(layer_of(9), 4)] == [0, 2, 4, 6]
    assert choose_previews(layer_of(0)) == []


def test_a_filter_without_images_is_left_out():
    found = choose_previews(layer_of(3, f1=True))
    assert [(one.channel, one.image, one.box) for one in found] == [
        (0, 0, (0, 0, 1, 2)),
        (2, 20, (0, 0, 3, 2)),
    ]


def test_previews_are_the_best_images_of_the_layers():
    manifest = read_manifest(STORE)
    previews, thumbs = make_previews(STORE, manifest)
    found, stored, end = previews.layers, unpacked(STORE), 0
    assert list(found) == [layer.name for layer in manifest.layers]
    for layer in manifest.layers:
        known = read_layer(STORE, layer).filters
        assert found[layer.name]
        for one in found[layer.name]:
            best = known[one.channel].max[0]
            assert (one.image, one.position, one.box) == (best.image, best.position, best.box)
            assert one.thumb is not None
            assert (one.thumb.path, one.thumb.offset, one.thumb.kind) == ("previews.bin", end, "cropped")
            end += one.thumb.length
            assert thumbs[one.thumb.offset : end] == stored[f"thumbs/cropped/{layer.name}/{one.channel}.jpg"]
    assert end == len(thumbs)


def test_a_preview_without_crop_has_the_thumb_of_its_image() -> None:
    crops = Pack(path="thumbs/a/cropped-0.1.bin", items=[1, 2], kinds=["cropped"], lengths=[[5], [0]])
    images = Pack(path="thumbs/a/image-0.2.bin", items=[0, 1, 2], kinds=["image"], lengths=[[7], [8], [9]])
    found = choose_previews(layer_of(4, LayerPacks(thumbs=[crops, images])))
    assert [one.thumb for one in found] == [
        PreviewThumb(path=images.path, offset=0, length=7, kind="image"),
        PreviewThumb(path=crops.path, offset=0, length=5, kind="cropped"),
        PreviewThumb(path=images.path, offset=15, length=9, kind="image"),
        None,
    ]


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([1, 3, 4, 6], [(1, "max_activ"), (4, "max_activ")]),
        ([2], [(0, "cropped"), (4, "cropped")]),
    ],
)
def test_previews_are_filter_images_if_there_are_enough(
    drawn: list[int], expected: list[tuple[int, str]]
) -> None:
    layer = layer_of(8, LayerPacks(thumbs=[
        Pack(path="a.bin", items=drawn, kinds=["max_activ"], lengths=[[3]] * len(drawn)),
        Pack(path="b.bin", items=list(range(8)), kinds=["cropped"], lengths=[[5]] * 8),
    ]))  # fmt: skip
    for channel in drawn:
        layer.filters[channel].pictures.append("max_activ")
    found = choose_previews(layer, limit=2)
    assert [(one.channel, one.thumb and one.thumb.kind) for one in found] == expected


def test_a_preview_of_a_missing_pack_has_no_thumb(tmp_path: Path) -> None:
    store = tmp_path / "branching"
    shutil.copytree(STORE, store)
    for pack in (store / "thumbs/stem").iterdir():
        pack.unlink()
    found = make_previews(store, read_manifest(store))[0].layers
    assert {one.thumb for one in found["stem"]} == {None}
    assert None not in {one.thumb for one in found["left"]}


def test_a_damaged_layer_has_no_previews(tmp_path: Path):
    store = tmp_path / "branching"
    shutil.copytree(STORE, store)
    first, *rest = json.loads((store / "network.json").read_text())["layers"]
    (store / first["data"]).write_text("{")
    out = build_site([store], tmp_path / "site").out
    found = msgspec.json.decode((out / "saved_model/branching/previews.json").read_bytes(), type=Previews)
    assert set(found.layers) == {layer["name"] for layer in rest}
