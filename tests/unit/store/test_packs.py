"""Packs: what they contain, how they are named, which are written again, and which are removed."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.golden.run import EXPECTED
from tests.stored import places, places_in, unpacked
from torchlurk.errors import LurkError
from torchlurk.store.packs import join_pictures, thumb_source, write_images, write_layer
from torchlurk.store.pictures import IMAGE, StoredPicture, layer_pictures, layer_thumbs, stored_images
from torchlurk.store.read import read_images, read_layer, read_manifest
from torchlurk.store.schema import PICTURE_KINDS, Filter, ImageEntry, LayerFile, Pack

EXAMPLE = read_layer(EXPECTED / "branching", read_manifest(EXPECTED / "branching").layers[0])
"""A layer of four filters."""


def layer_of(pictures: dict[int, list[str]], channels: int, name: str = "a b") -> LayerFile:
    """A layer in which some filters list some pictures."""
    filters = [
        msgspec.structs.replace(EXAMPLE.filters[0], channel=c, pictures=pictures.get(c, []))
        for c in range(channels)
    ]
    return msgspec.structs.replace(EXAMPLE, layer=name, channels=channels, filters=filters, packs=None)


def contents(pictures: dict[int, list[str]]) -> dict[tuple[int, str], bytes]:
    """Bytes that differ for every picture."""
    return {(c, kind): f"<{kind} of {c}>".encode() for c, kinds in pictures.items() for kind in kinds}


def stored(folder: Path, data: dict[tuple[int, str], bytes]) -> dict[tuple[int, str], StoredPicture]:
    """Write each picture to a file of its own."""
    found = {}
    folder.mkdir(exist_ok=True)
    for (channel, kind), content in data.items():
        path = folder / f"{kind}-{channel}"
        path.write_bytes(content)
        found[channel, kind] = StoredPicture(path)
    return found


def listed(store: Path, name: str, which: str) -> list[dict[str, Any]]:
    packs = json.loads((store / f"layers/{name}.json").read_text())["packs"]
    result: list[dict[str, Any]] = packs[which]
    return result


def test_a_pack_is_the_pictures_of_an_item_one_after_the_other() -> None:
    data = {(7, "b"): b"7b", (3, "a"): b"3a..", (7, "a"): b"7a.", (9, "b"): b"9"}
    pack, joined = join_pictures("x.bin", ["a", "b"], data)
    assert joined == b"3a.." + b"7a." + b"7b" + b"9"
    assert pack == Pack(path="x.bin", items=[3, 7, 9], kinds=["a", "b"], lengths=[[4, 0], [3, 2], [0, 1]])


def test_a_layer_has_a_pack_for_16_channels_and_one_for_64_thumbs_of_a_kind(tmp_path: Path) -> None:
    pictures = {c: ["cropped", "max_activ"][: 1 + c % 2] for c in range(70) if c not in range(16, 32)}
    thumbs = {c: ["cropped", "max_activ", "image"] for c in range(70)}
    file = write_layer(
        tmp_path,
        layer_of(pictures, 70),
        stored(tmp_path / "old", contents(pictures)),
        contents(thumbs),
    )
    found = listed(tmp_path, "a%20b", "pictures")
    assert [pack["items"] for pack in found] == [
        list(range(16)), list(range(32, 48)), list(range(48, 64)), list(range(64, 70))
    ]  # fmt: skip
    assert {tuple(pack["kinds"]) for pack in found} == {PICTURE_KINDS}
    small = listed(tmp_path, "a%20b", "thumbs")
    assert [(pack["kinds"], pack["items"][0], pack["items"][-1]) for pack in small] == [
        (["cropped"], 0, 63), (["cropped"], 64, 69),
        (["max_activ"], 1, 63), (["max_activ"], 65, 69),
        (["image"], 0, 63), (["image"], 64, 69),
    ]  # fmt: skip
    for pack in [*found, *small]:
        data = (tmp_path / pack["path"]).read_bytes()
        assert len(data) == sum(map(sum, pack["lengths"]))
        digest = hashlib.sha256(data).hexdigest()[:12]
        first = pack["items"][0] - pack["items"][0] % (16 if pack in found else 64)
        stem = f"pictures/a%20b/{first}" if pack in found else f"thumbs/a%20b/{pack['kinds'][0]}-{first}"
        assert pack["path"] == f"{stem}.{digest}.bin"
    read = {(c, k): p.read() for pack in found for c, k, p in places_in(tmp_path, pack)}
    assert read == contents(pictures)
    read = {(c, k): p.read() for pack in small for c, k, p in places_in(tmp_path, pack)}
    shown = {
        key: data for key, data in contents(thumbs).items() if key[1] == "image" or key in contents(pictures)
    }
    assert read == shown
    assert {k: p.read() for k, p in layer_pictures(tmp_path, file).items()} == contents(pictures)
    assert {k: p.read() for k, p in layer_thumbs(tmp_path, file).items()} == shown


def test_only_packs_that_change_are_written_and_the_old_ones_are_removed(tmp_path: Path) -> None:
    store = tmp_path / "store"
    pictures = {c: ["cropped"] for c in range(40)}
    thumbs = {c: ["cropped"] for c in range(40)}
    first = write_layer(
        store, layer_of(pictures, 40), stored(tmp_path / "old", contents(pictures)), contents(thumbs)
    )
    before = {p.name: p.stat().st_mtime_ns for p in store.rglob("*.bin")}
    pictures[20] = ["cropped", "max_activ"]
    new = layer_pictures(store, first) | stored(tmp_path / "old", {(20, "max_activ"): b"new"})
    listing = msgspec.structs.replace(layer_of(pictures, 40), packs=first.packs)
    second = write_layer(store, listing, new, layer_thumbs(store, first))
    after = {p.name: p.stat().st_mtime_ns for p in store.rglob("*.bin")}
    assert len(after) == len(before) == 4
    assert len(before.items() & after.items()) == 3
    assert {k: p.read() for k, p in layer_pictures(store, second).items()} == {
        **contents({c: ["cropped"] for c in range(40)}), (20, "max_activ"): b"new"
    }  # fmt: skip
    # the same pictures give the same packs again
    back = msgspec.structs.replace(layer_of({c: ["cropped"] for c in range(40)}, 40), packs=second.packs)
    assert write_layer(store, back, layer_pictures(store, second), layer_thumbs(store, second)) == first
    assert {p.name for p in store.rglob("*.bin")} == before.keys()


def test_a_layer_whose_pictures_are_all_removed_has_no_packs(tmp_path: Path) -> None:
    pictures = {0: ["max_activ"]}
    file = write_layer(
        tmp_path,
        layer_of(pictures, 2),
        stored(tmp_path / "old", contents(pictures)),
        {(0, "max_activ"): b"x"},
    )
    empty = msgspec.structs.replace(layer_of({}, 2), packs=file.packs)
    written = write_layer(tmp_path, empty, layer_pictures(tmp_path, file), layer_thumbs(tmp_path, file))
    assert written.packs is not None
    assert not [*written.packs.pictures, *written.packs.thumbs, *tmp_path.rglob("*.bin")]


def test_a_picture_that_is_listed_and_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match="no cropped of filter 1, which it refers to"):
        write_layer(tmp_path, layer_of({1: ["cropped"]}, 2), {}, {})


@pytest.mark.parametrize("count", [1, 32, 33, 70])
def test_images_share_packs_of_32_in_the_order_of_their_ids(tmp_path: Path, count: int) -> None:
    ids = [7 * number for number in range(count)]
    images = {str(image): ImageEntry(path=f"{image}.png", label=0) for image in reversed(ids)}
    data = {(image, IMAGE): f"<{image}>".encode() for image in ids}
    file = write_images(tmp_path, images, stored(tmp_path / "old", data))
    packs = json.loads((tmp_path / "images.json").read_text())["packs"]
    assert len(packs) == math.ceil(count / 32)
    assert [image for pack in packs for image in pack["items"]] == ids
    assert [pack["path"].split(".")[0] for pack in packs] == [
        f"images/{7 * 32 * n}" for n in range(len(packs))
    ]
    assert read_images(tmp_path) == file
    assert {k: p.read() for k, p in stored_images(tmp_path, file).items()} == data


def test_a_small_gradient_shows_the_crop_where_there_is_one() -> None:
    assert thumb_source("gradient", ["max_grads", "cropped_grad"]) == "cropped_grad"
    assert thumb_source("gradient", ["max_grads"]) == "max_grads"
    assert thumb_source("gradient", ["cropped", "avg_grads"]) is None
    assert thumb_source("cropped", ["cropped"]) == "cropped"


def test_a_damaged_pack_is_reported_in_one_line(tmp_path: Path) -> None:
    picture = StoredPicture(tmp_path / "a.bin", 5, 10, "cropped of filter 3")
    with pytest.raises(LurkError, match=r"cannot read cropped of filter 3 in '.*a.bin' \(No such file"):
        picture.read()
    picture.path.write_bytes(b"0" * 14)
    with pytest.raises(LurkError, match="too short"):
        picture.read()
    picture.path.write_bytes(b"0" * 15)
    assert picture.read() == b"0" * 10
    with pytest.raises(LurkError, match="cannot read cropped of filter 3 in"):
        picture.open()
    with pytest.raises(LurkError, match="too short"):
        StoredPicture(picture.path, 0, 10**30, "x").read()


def test_the_expected_store_has_a_thumb_of_each_kind_for_each_filter() -> None:
    store = EXPECTED / "branching"
    names = unpacked(store).keys()
    for layer in read_manifest(store).layers:
        entry: Filter
        for entry in read_layer(store, layer).filters:
            thumbs = {
                kind
                for kind in ("cropped", "gradient", "max_activ", "image")
                if f"thumbs/{kind}/{layer.name}/{entry.channel}.jpg" in names
            }
            computed = {"gradient", "max_activ"} if entry.channel < 2 else set()
            assert thumbs == {"cropped", "image"} | computed
    assert max(place.length for name, place in places(store).items() if "thumbs" in name) < 4000
