"""A store of format 1, which has a file for each picture: it is read as before, and upgraded by a run."""

from __future__ import annotations

import json
import random
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.golden.run import EXPECTED, golden_run
from tests.golden.test_golden import files, same
from tests.golden.test_resume import stopped_at
from tests.stored import picture, unpacked
from torchlurk.api.reading import open_store
from torchlurk.errors import LurkError, Terminated
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.web.publish import build_site

FORMAT1 = Path(__file__).parent / "format1"
STOPS = 12

run = partial(golden_run, resolutions=1)
"""A run with the options that the store was computed with; they are recorded since."""


def pictures(store: Path) -> dict[str, bytes]:
    """Return the JPEG files of a store of format 1, by name."""
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*.jpg")}


def without_thumbs(store: Path) -> dict[str, bytes]:
    return {name: data for name, data in unpacked(store).items() if not name.startswith("thumbs/")}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the store."""
    shutil.copytree(FORMAT1, tmp_path / "old")
    return tmp_path / "old/branching"


def test_both_formats_have_the_same_pictures_byte_for_byte() -> None:
    assert without_thumbs(EXPECTED / "branching") == pictures(FORMAT1 / "branching")


def test_it_is_read_inspected_and_published(tmp_path: Path) -> None:
    store = FORMAT1 / "branching"
    assert inspect(store).problems == ()
    assert inspect(store).pictures == inspect(EXPECTED / "branching").pictures
    view = open_store(store).layer("stem")[1]
    assert view.file("cropped") == (store / "cropped/stem/1.jpg").read_bytes()
    assert view.tiles("max_grads").size == (3 * 64, 64)
    best = view.max[0].image
    with Image.open(store / f"images/{best}.jpg") as photo:
        assert view.photo(0).tobytes() == photo.tobytes()
    assert "data:image/jpeg" in view._repr_html_()
    out = build_site([store], tmp_path / "site").out / "saved_model/branching"
    published = files(out)
    assert pictures(store).items() <= published.items()
    previews = json.loads(published["previews.json"])
    assert {one["thumb"] for one in previews["layers"]["stem"]} == {None}
    assert published["previews.bin"] == b""


def test_a_run_upgrades_it_without_changing_a_picture(old: Path) -> None:
    run(old)
    assert read_manifest(old).format == 2
    assert without_thumbs(old) == pictures(FORMAT1 / "branching")
    assert inspect(old).problems == ()
    assert not list(old.rglob("*.jpg"))
    new = EXPECTED / "branching"
    for name in ("images.json", "classes.json"):
        assert (old / name).read_bytes() == (new / name).read_bytes()
    manifest = json.loads((new / "network.json").read_text())
    del manifest["stages"]["ascent"]["config"]["resolutions"]
    # A store without them stays without, unless they are requested.
    manifest["activations"] = manifest["spectra"] = False
    assert json.loads((old / "network.json").read_text()) == manifest
    assert unpacked(old).keys() == unpacked(new).keys()


def test_the_small_pictures_of_an_upgrade_show_the_first_tile_of_the_decoded_pictures(old: Path) -> None:
    run(old)
    kinds = {"cropped": "cropped", "gradient": "cropped_grad", "max_activ": "max_activ", "image": "images"}
    names = unpacked(old).keys()
    checked = 0
    for layer in read_manifest(old).layers:
        for entry in read_layer(old, layer).filters:
            for kind, source in kinds.items():
                thumb = f"thumbs/{kind}/{layer.name}/{entry.channel}.jpg"
                whole = f"{source}/{layer.name}/{entry.channel}.jpg"
                if kind == "image":
                    whole = f"images/{entry.max[0].image}.jpg"
                assert (thumb in names) == (whole in names)
                if whole not in names:
                    continue
                shown, small = picture(old, whole), picture(old, thumb)
                tiles = 3 if source in ("cropped", "cropped_grad") else 1
                tile = shown.crop((0, 0, shown.width // tiles, shown.height))
                assert small.size == tile.size  # no tile is larger than 80 pixels
                difference = np.abs(np.asarray(small).astype(int) - np.asarray(tile).astype(int))
                assert difference.mean() < 10, thumb
                checked += 1
    assert checked == 15 + 8 + 8 + 15


def test_it_grows_to_the_pictures_of_one_run(old: Path, tmp_path: Path) -> None:
    run(old, filters=5)
    run(tmp_path / "new/branching", filters=5)
    assert inspect(old).problems == ()
    assert without_thumbs(old) == without_thumbs(tmp_path / "new/branching")


def test_a_stage_of_it_is_computed_again(old: Path) -> None:
    run(old, filters=1, stages=("gradients",), method="guided", overwrite=True)
    assert inspect(old).problems == ()
    left = without_thumbs(old)
    kept = {n: d for n, d in pictures(FORMAT1 / "branching").items() if "grad" not in n}
    assert kept.items() <= left.items()
    assert {n for n in left if n.startswith("max_grads/stem")} == {"max_grads/stem/0.jpg"}


def test_a_refused_run_does_not_touch_it(old: Path) -> None:
    before = files(old)
    with pytest.raises(LurkError, match="method=deconv"):
        run(old, method="guided")
    assert files(old) == before


def test_an_upgrade_that_is_killed_at_any_file_is_resumed(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_at(-1, monkeypatch) as written:
        run(old)
    whole, count = files(old), len(written)
    rng = random.Random(3)
    for at in sorted(rng.sample(range(count), STOPS)):
        store = tmp_path / str(at) / "branching"
        shutil.copytree(FORMAT1 / "branching", store)
        with stopped_at(at, monkeypatch), pytest.raises(Terminated):
            run(store)
        # The store can be read at any time, also while its files have different formats.
        assert [p for p in inspect(store, sleep=lambda _: None).problems if "SHA256SUMS" not in p] == []
        run(store)
        assert files(store) == whole, f"stopped at writing {at} of {count}"


def test_an_interrupted_scan_of_it_is_completed(old: Path) -> None:
    path = old / "network.json"
    manifest = json.loads(path.read_text())
    waiting = {"complete": False, "config": None, "made": {}, "fitted": None}
    manifest["stages"] = {
        "scan": {**manifest["stages"]["scan"], "complete": False}, "gradients": waiting, "ascent": waiting
    }  # fmt: skip
    path.write_text(json.dumps(manifest))
    for name in ("max_grads", "cropped_grad", "avg_grads", "max_activ", "cropped/head"):
        shutil.rmtree(old / name)
    (old / "images.json").unlink()
    for layer in (old / "layers").iterdir():
        data = json.loads(layer.read_text())
        for entry in data["filters"]:
            entry["ascent"] = None
            entry["pictures"] = [] if layer.stem == "head" else ["cropped"]
            for one in entry["max"]:
                one["certificate"] = None
        layer.write_text(json.dumps(data))
    golden_run(old)
    assert inspect(old).problems == ()
    # Its scores are those of an older version, and may differ in the last digits; its pictures are the same.
    new = EXPECTED / "branching"
    assert unpacked(old) == unpacked(new)
    for path in (new / "layers").iterdir():
        assert same(json.loads((old / "layers" / path.name).read_text()), json.loads(path.read_text()))
