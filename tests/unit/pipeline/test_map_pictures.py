"""The pictures of the average gradients do not depend on how they are computed."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.golden.run import EXPECTED, golden_run
from torchlurk.errors import LurkError
from torchlurk.pipeline import map_pictures
from torchlurk.pipeline.stages import blocks
from torchlurk.store.pictures import layer_pictures
from torchlurk.store.read import read_layer, read_manifest


def strips(store: Path) -> dict[tuple[str, int], np.ndarray]:
    found = {}
    for layer in read_manifest(store).layers:
        for (channel, kind), picture in layer_pictures(store, read_layer(store, layer)).items():
            if kind in ("avg_grads", "max_grads"):
                with Image.open(io.BytesIO(picture.read())) as image:
                    found[f"{layer.name} {kind}", channel] = np.asarray(image, dtype=int)
    return found


def run(out: Path) -> dict[tuple[str, int], np.ndarray]:
    golden_run(out / "branching", stages=("scan", "gradients"), filters=None)
    return strips(out / "branching")


@pytest.mark.parametrize("images", [2, 64])
@pytest.mark.parametrize("per_forward", [1, 3])
def test_batches_give_the_pictures_of_single_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, per_forward: int
) -> None:
    """As on CUDA: several images share a forward, and the next ones are started before these are drawn."""
    expected = run(tmp_path / "single")
    monkeypatch.setattr(map_pictures, "images_at_once", lambda _: images)
    monkeypatch.setattr(map_pictures, "_MAPS_PER_FORWARD", per_forward)
    for module in (map_pictures, blocks):
        monkeypatch.setattr(module, "batches_in_flight", lambda _: 1)
    found = run(tmp_path / "batches")
    assert found.keys() == expected.keys()
    assert len(found) > 20
    for key, strip in expected.items():
        assert np.abs(found[key] - strip).max() <= 4, key


def test_a_batch_that_does_not_fit_is_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(tmp_path / "single")
    compute, sizes = map_pictures.gradients.gradients_of_maps, []

    def limited(model, images, *args, **options):  # type: ignore[no-untyped-def]
        sizes.append(len(images))
        if len(images) > 2:
            raise MemoryError
        return compute(model, images, *args, **options)

    monkeypatch.setattr(map_pictures, "images_at_once", lambda _: 6)
    monkeypatch.setattr(map_pictures.gradients, "gradients_of_maps", limited)
    found = run(tmp_path / "batches")
    assert max(sizes) == 6
    assert sizes[-1] <= 2
    for key, strip in expected.items():
        assert np.abs(found[key] - strip).max() <= 4, key


def test_one_image_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(map_pictures.gradients, "gradients_of_maps", fail)
    with pytest.raises(LurkError, match="a batch of one image does not fit into memory"):
        run(tmp_path / "none")


def shared(*lengths: int) -> list[map_pictures._SharedForward]:
    return [
        map_pictures._SharedForward(image, [("conv", channel, image) for channel in range(length)])
        for image, length in enumerate(lengths)
    ]


def test_batches_hold_images_with_equally_many_entries() -> None:
    parts = shared(1, 9, 2, 4, 1)
    assert list(map_pictures._batches(parts, 1, {"conv": 0})) == [[part] for part in parts]
    batches = list(map_pictures._batches(parts, 3, {"conv": 0}))
    lengths = [[len(part.entries) for part in batch] for batch in batches]
    assert lengths == [[8, 4, 2], [1, 1, 1]]
    entries = sorted(entry for batch in batches for part in batch for entry in part.entries)
    assert entries == sorted(entry for part in parts for entry in part.entries)


def test_batches_hold_images_with_entries_in_equally_deep_layers() -> None:
    parts = [
        map_pictures._SharedForward(image, [("shallow", 0, image), (layer, 0, image)])
        for image, layer in enumerate(["deep", "shallow", "middle", "deep", "shallow"])
    ]
    batches = map_pictures._batches(parts, 2, {"shallow": 0, "middle": 1, "deep": 2})
    last = [[part.entries[-1][0] for part in batch] for batch in batches]
    assert last == [["shallow", "shallow"], ["middle", "deep"], ["deep"]]


@pytest.mark.parametrize("tiles", [0, 15, 20, 10_000])
def test_layers_that_share_forward_passes_give_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiles: int
) -> None:
    monkeypatch.setattr(map_pictures, "tiles_in_memory", lambda _: 0)
    expected = run(tmp_path / "alone")
    compute, forwards = map_pictures.gradients.gradients_of_maps, []

    def counted(model, images, maps, *args, **options):  # type: ignore[no-untyped-def]
        forwards.append(len({layer for of_image in maps for layer, _ in of_image}))
        return compute(model, images, maps, *args, **options)

    monkeypatch.setattr(map_pictures.gradients, "gradients_of_maps", counted)
    monkeypatch.setattr(map_pictures, "tiles_in_memory", lambda _: tiles)
    monkeypatch.setattr("torchlurk.pipeline.stages.gradients._MAPS_PER_BLOCK", 2)
    found = run(tmp_path / "shared")
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert max(forwards) == {0: 1, 15: 2, 20: 3, 10_000: 4}[tiles]


def test_blocks_are_grouped_while_their_tiles_fit() -> None:
    store = EXPECTED / "branching"
    entry = read_layer(store, read_manifest(store).layers[0]).filters[0]
    sizes = [("a", 2), ("b", 3), ("b", 1), ("b", 4), ("c", 4)]
    blocks = [(SimpleNamespace(name=name), [entry] * count) for name, count in sizes]

    def groups(filters: int) -> list[int]:
        return map_pictures._group_blocks(blocks, filters * len(entry.avg))  # type: ignore[arg-type]

    # A layer with more tiles than fit is divided, so that memory is bounded.
    assert groups(0) == [0, 1, 2, 3, 4]
    assert groups(4) == [0, 1, 1, 2, 3]
    assert groups(6) == [0, 0, 0, 1, 2]
    assert groups(8) == [0, 0, 0, 1, 1]
    assert groups(99) == [0, 0, 0, 0, 0]
    assert map_pictures._group_blocks([], 5) == []


@pytest.mark.parametrize("images", [1, 4])
def test_few_tiles_are_in_memory_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    """However many filters a layer has."""
    held: list[int] = []
    draw = map_pictures.MapPictures.draw

    def counted(self, layer, filters):  # type: ignore[no-untyped-def]
        for result in draw(self, layer, filters):
            held.append(len(self._tiles))
            yield result

    monkeypatch.setattr(map_pictures.MapPictures, "draw", counted)
    monkeypatch.setattr(map_pictures, "images_at_once", lambda _: images)
    monkeypatch.setattr(map_pictures, "tiles_in_memory", lambda _: 12)
    monkeypatch.setattr("torchlurk.pipeline.stages.gradients._MAPS_PER_BLOCK", 2)
    run(tmp_path / "store")
    assert max(held) <= 12
