"""The stores that the page is measured with have the pictures of the stores that they repeat."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.widened import compared, layers_of, read_json, widened
from tests.golden.run import EXPECTED
from tests.stored import unpacked
from torchlurk.store.inspect import inspect

BRANCHING = EXPECTED / "branching"
FORMAT_1 = EXPECTED.parent / "format1" / "branching"
COUNT = 70
"""More filters than one pack of small pictures has."""


def files(store: Path) -> dict[str, bytes]:
    """Return the pictures of a store of format 1 by their paths."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*.jpg")}


@pytest.mark.parametrize(("store", "pictures"), [(BRANCHING, unpacked), (FORMAT_1, files)])
def test_a_widened_layer_repeats_the_filters(store, pictures, tmp_path):
    (layer,) = layers_of(widened(store, COUNT, tmp_path / "wide"))
    original = max(layers_of(store), key=lambda one: one["channels"])
    folder, channels = Path(layer["data"]).stem, original["channels"]
    before, after = pictures(store), pictures(tmp_path / "wide")
    kinds = {name.rpartition(f"/{folder}/")[0] for name in before if f"/{folder}/" in name}
    expected = {
        f"{kind}/{folder}/{i}.jpg": before[name]
        for kind in kinds
        for i in range(COUNT)
        if (name := f"{kind}/{folder}/{i % channels}.jpg") in before
    }
    images = {name: data for name, data in before.items() if name.startswith("images/")}
    assert after == {**expected, **images}
    assert (layer["channels"], layer["name"]) == (COUNT, original["name"])


def test_the_compared_store_has_the_filters_reversed(tmp_path):
    wide = widened(BRANCHING, COUNT, tmp_path / "wide")
    twin, comparison = compared(wide)
    (layer,) = layers_of(twin)
    folder = Path(layer["data"]).stem
    before, after = unpacked(wide), unpacked(twin)
    for name, data in before.items():
        kind, _, file = name.rpartition(f"{folder}/")
        assert (
            after[name if name.startswith("images/") else f"{kind}{folder}/{COUNT - 1 - int(file[:-4])}.jpg"]
            == data
        )
    assert len(before) == len(after)
    assert read_json(comparison / "comparison.json")["layers"][0]["channels"] == COUNT


def test_the_packs_of_a_widened_store_are_whole(tmp_path):
    report = inspect(widened(BRANCHING, COUNT, tmp_path / "wide"))
    lacking = ("SHA256SUMS", "classes.json")  # the page does without them here
    assert [line for line in report.problems if not any(name in line for name in lacking)] == []
