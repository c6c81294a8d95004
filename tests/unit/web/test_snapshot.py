"""Snapshots of stores that are being computed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.web.stores import make_store, manifest_of
from torchlurk.store.schema import PreviewThumb
from torchlurk.web.snapshot import to_ranges, watch_stores

BEST = [{"image": 7, "position": [0, 1], "box": [0, 0, 3, 3], "score": 1.5}]


LAYER = json.dumps(
    {"filters": [{"channel": c, "pictures": ["cropped"], "max": BEST, "more": 1} for c in (0, 1, 3)]}
)


def test_a_snapshot_follows_a_growing_store(tmp_path: Path) -> None:
    store = tmp_path / "toy"
    stores = watch_stores([store])
    assert stores.live().waiting == ["toy"]
    assert stores.index().networks == []
    store.mkdir()
    (store / "network.json").write_text("{")
    assert stores.live().waiting == ["toy"]
    waiting = {"complete": False, "config": None}
    stages = dict.fromkeys(("scan", "gradients", "ascent"), waiting)
    (store / "network.json").write_text(manifest_of("toy", stages=stages))
    (network,) = stores.live().networks
    assert stores.live().waiting == []
    assert network.stages == {"scan": False, "circuits": False, "gradients": False, "ascent": False}
    assert set(network.files) == {"network.json"}
    assert network.layers == {}
    (store / "layers").mkdir()
    (store / "layers/0.json").write_text("{")
    assert stores.live().networks[0].layers == {}
    (store / "layers/0.json").write_text(LAYER)
    layer = stores.live().networks[0].layers["0"]
    assert (layer.data, layer.made) == ("layers/0.json", {"cropped": [(0, 2), (3, 4)]})
    assert [(one.channel, one.image) for one in layer.best] == [(0, 7), (1, 7), (3, 7)]
    assert stores.live().networks[0].layers["0"] is layer
    (store / "circuits").mkdir()
    (store / "circuits/0.json").write_text("{}")
    stamp = stores.live().networks[0].files["circuits/0.json"]
    (store / "circuits/0.json").write_text("{} ")
    assert stores.live().networks[0].files["circuits/0.json"] != stamp
    (store / "layers/0.json").write_text(LAYER + " ")
    assert stores.live().networks[0].layers["0"].stamp != layer.stamp


def test_a_snapshot_names_the_thumbs_of_previews(tmp_path: Path) -> None:
    store = tmp_path / "toy"
    (store / "layers").mkdir(parents=True)
    (store / "network.json").write_text(manifest_of("toy"))
    pack = {"path": "thumbs/0/cropped-0.0123456789ab.bin", "items": [1, 3], "kinds": ["cropped"]}
    layer = json.loads(LAYER)
    layer["packs"] = {"pictures": [], "thumbs": [{**pack, "lengths": [[10], [20]]}]}
    (store / "layers/0.json").write_text(json.dumps(layer))
    (network,) = watch_stores([store]).live().networks
    assert [one.thumb for one in network.layers["0"].best] == [
        None,
        PreviewThumb(path=pack["path"], offset=0, length=10, kind="cropped"),
        PreviewThumb(path=pack["path"], offset=10, length=20, kind="cropped"),
    ]
    layer["packs"]["thumbs"][0]["lengths"] = [[10]]
    (store / "layers/0.json").write_text(json.dumps(layer))
    assert watch_stores([store]).live().networks[0].layers == {}


def test_a_snapshot_has_the_progress_of_the_run(store: Path) -> None:
    stores = watch_stores([store])
    assert stores.live().networks[0].progress is None
    (store / "progress.json").write_text('{"format":1,"work":"scan","unit":"image","done":1,"total":9}')
    progress = stores.live().networks[0].progress
    assert progress is not None
    assert (progress.work, progress.done, progress.total) == ("scan", 1, 9)
    (store / "progress.json").write_text('{"format":1,')
    assert stores.live().networks[0].progress is None


def test_two_networks_of_one_name_are_not_confused(tmp_path: Path) -> None:
    one, two = make_store(tmp_path, "one"), make_store(tmp_path, "two")
    (two / "network.json").write_text(manifest_of("one"))
    live = watch_stores([one, two]).live()
    assert [network.path for network in live.networks] == ["one"]
    assert live.waiting == ["two"]
    assert [entry.path for entry in watch_stores([one, two]).index().networks] == ["one"]


def test_ranges() -> None:
    assert to_ranges([]) == []
    assert to_ranges([0, 1, 2, 7, 8]) == [(0, 3), (7, 9)]
