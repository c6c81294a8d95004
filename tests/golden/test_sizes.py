"""The sizes of the filter images of a store that is extended by a version with other sizes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.golden.run import golden_run
from torchlurk.pipeline.stages import ascent
from torchlurk.store.inspect import inspect
from torchlurk.store.pictures import layer_pictures
from torchlurk.store.read import read_layer, read_manifest


def image_sizes(store: Path) -> dict[str, set[tuple[int, int]]]:
    """Return height and width of the filter images of each layer."""
    found: dict[str, set[tuple[int, int]]] = {}
    for layer in read_manifest(store).layers:
        for (_, kind), picture in layer_pictures(store, read_layer(store, layer)).items():
            if kind == "max_activ":
                with Image.open(io.BytesIO(picture.read())) as image:
                    found.setdefault(layer.name, set()).add((image.height, image.width))
    return found


def test_a_layer_that_has_filter_images_keeps_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "branching"
    golden_run(store, layers=("stem", "head"), filters=1)
    before = image_sizes(store)
    monkeypatch.setattr(ascent, "supported_canvas_size", lambda *_: (56, 52))
    golden_run(store, filters=2)
    after = image_sizes(store)
    assert {name: after[name] for name in before} == before
    assert set(before) == {"stem", "head"}
    assert {name: sizes for name, sizes in after.items() if name not in before} == {
        name: {(56, 52)} for name in ("left", "right")
    }
    assert {name: {size} for name, size in read_manifest(store).tiles.max_activ.items()} == after
    assert inspect(store).problems == ()
    golden_run(store, filters=2, overwrite=True)
    assert set().union(*image_sizes(store).values()) == {(56, 52)}


def test_blocks_of_another_size_are_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was interrupted in the middle of a layer begins that layer again."""
    written = ascent.run_blocks.__globals__["write_block"]

    def stopped(partial, piece, results):  # type: ignore[no-untyped-def]
        written(partial, piece, results)
        if partial.work == "ascent":
            raise KeyboardInterrupt

    store = tmp_path / "branching"
    with monkeypatch.context() as patch:
        patch.setattr("torchlurk.pipeline.stages.blocks.write_block", stopped)
        with pytest.raises(KeyboardInterrupt):
            golden_run(store, filters=None)
    monkeypatch.setattr(ascent, "supported_canvas_size", lambda *_: (56, 52))
    golden_run(store, filters=None)
    assert all(len(sizes) == 1 for sizes in image_sizes(store).values())
    assert inspect(store).problems == ()
