"""The pictures of the average gradients do not depend on how they are computed."""

from __future__ import annotations

import io
from pathlib import Path

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
    assert list(map_pictures._batches(parts, 1)) == [[part] for part in parts]
    batches = list(map_pictures._batches(parts, 3))
    lengths = [[len(part.entries) for part in batch] for batch in batches]
    assert lengths == [[4, 4, 4], [2, 1, 1], [1]]
    entries = sorted(entry for batch in batches for part in batch for entry in part.entries)
    assert entries == sorted(entry for part in parts for entry in part.entries)


@pytest.mark.parametrize("tiles", [0, 20, 40, 10_000])
def test_layers_that_share_forward_passes_give_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiles: int
) -> None:
    monkeypatch.setattr(map_pictures, "_TILES_IN_MEMORY", 0)
    expected = run(tmp_path / "alone")
    compute, forwards = map_pictures.gradients.gradients_of_maps, []

    def counted(model, images, maps, *args, **options):  # type: ignore[no-untyped-def]
        forwards.append(len({layer for of_image in maps for layer, _ in of_image}))
        return compute(model, images, maps, *args, **options)

    monkeypatch.setattr(map_pictures.gradients, "gradients_of_maps", counted)
    monkeypatch.setattr(map_pictures, "_TILES_IN_MEMORY", tiles)
    monkeypatch.setattr("torchlurk.pipeline.stages.gradients._MAPS_PER_BLOCK", 2)
    found = run(tmp_path / "shared")
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert max(forwards) == {0: 1, 20: 2, 40: 3, 10_000: 4}[tiles]


def test_layers_are_grouped_while_their_tiles_fit() -> None:
    store = EXPECTED / "branching"
    manifest = read_manifest(store)
    layer, *_ = (golden_layer for golden_layer in manifest.layers)
    entry = read_layer(store, layer).filters[0]

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    blocks = [(Named(name), [entry] * count) for name, count in (("a", 2), ("b", 3), ("b", 1), ("c", 4))]
    per_filter = len(entry.avg)
    for capacity, groups in ((0, [0, 1, 2]), (6, [0, 0, 1]), (8, [0, 0, 1]), (10, [0, 0, 0])):
        found = map_pictures._group_layers(blocks, capacity * per_filter)  # type: ignore[arg-type]
        assert list(found.values()) == groups
