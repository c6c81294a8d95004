"""Spectra of whole runs: compared with a plain sort, and independent of how they are computed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.run import golden_run
from tests.golden.test_golden import files
from torchlurk import open_store
from torchlurk.errors import LurkError
from torchlurk.pipeline.stages import activations, spectrum
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_manifest
from torchlurk.store.read_spectrum import read_spectrum
from torchlurk.store.write import write_checksums
from torchlurk.web.publish import build_site


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spectrum") / "branching"
    golden_run(out, stages=("scan",))
    return out


def test_entries_are_those_of_a_plain_sort(made: Path) -> None:
    store = open_store(made)
    assert store.manifest.spectra
    for layer in map(store.layer, range(len(store.manifest.layers))):
        maxima, positions = layer.activations("max"), layer.activations("position")
        readable = [i for i in range(len(maxima)) if not np.isnan(maxima[i, 0])]
        for entry in layer:
            order = sorted(readable, key=lambda i: (maxima[i, entry.channel], i))
            assert [one.quantile for one in entry.spectrum] == [0, 0.05, 0.25, 0.5, 0.75, 0.95]
            for one in entry.spectrum:
                rank = int(one.quantile * (len(order) - 1) + 0.5)
                first, second = one.images
                assert first.image == order[rank]
                assert second.image in order[max(0, rank - 1) : rank + 2]
                for image in one.images:
                    assert image.score == pytest.approx(float(maxima[image.image, entry.channel]), rel=1e-6)
                    place = int(positions[image.image, entry.channel])
                    assert image.position == divmod(place, layer.facts.shape[2])
                    assert image.path == layer.images()[image.image].path
        # The box of a unit is that of the top list where both name the same unit.
        boxes = {(e.image, e.position): e.box for f in layer.data.filters for e in f.max}
        for entry in layer:
            for image in (image for one in entry.spectrum for image in one.images):
                assert image.position is not None
                expected = boxes.get((image.image, image.position), image.box)
                assert image.box == expected


def test_the_images_of_spectra_are_in_the_store(made: Path, tmp_path: Path) -> None:
    assert inspect(made).problems == ()
    store = open_store(made)
    used = {i.image for f in store.layer("stem") for one in f.spectrum for i in one.images}
    assert {str(image) for image in used} <= store.images.keys()
    site = build_site([made], tmp_path / "site").out
    assert len(list((site / "saved_model/branching/spectrum").iterdir())) == 4


def test_few_filters_at_once_give_the_same_files(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum, "_NUMBERS_IN_MEMORY", 1)
    golden_run(tmp_path / "branching", stages=("scan",))
    assert files(tmp_path / "branching") == files(made)


def test_a_store_without_activations_has_none_until_they_are_requested(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "branching"
    monkeypatch.setattr(activations, "_AUTOMATIC_BYTES", 0)
    golden_run(out, stages=("scan",))
    assert not (out / "spectrum").exists()
    with pytest.raises(LurkError, match="has no spectra"):
        _ = open_store(out).layer("stem")[0].spectrum
    golden_run(out, stages=("scan",), keep_activations="yes")
    assert files(out) == files(made)


@pytest.mark.parametrize(
    ("by", "text"),
    [
        (lambda d: d.update(layer="stem"), "does not have the spectra of 'head' with its 5 filters"),
        (lambda d: d["filters"].pop(), "does not have the spectra of 'head' with its 5 filters"),
        (lambda d: d["filters"][1].pop(), "filter 1 does not have images for each quantile"),
        (lambda d: d["quantiles"].reverse(), "its quantiles do not ascend"),
        (lambda d: d["filters"][2].reverse(), "the scores of filter 2 do not ascend"),
        (lambda d: d["filters"][0][0].append(d["filters"][0][0][0]), "filter 0 has more than 2 images"),
        (lambda d: d["filters"][0][1][0].__setitem__(2, [0, 99]), "filter 0 has a position outside its map"),
        (lambda d: d["filters"][0][1][0].__setitem__(0, 99), "refers to image 99"),
        (lambda d: d["filters"][0][1][0].pop(), "is damaged"),
        (lambda d: d.update(format=3), "format 3"),
    ],
)
def test_a_damaged_file_is_reported(
    made: Path, tmp_path: Path, by: Callable[[dict[str, Any]], object], text: str
) -> None:
    out = tmp_path / "branching"
    shutil.copytree(made, out)
    path = out / "spectrum/head.json"
    data = json.loads(path.read_text())
    by(data)
    path.write_text(json.dumps(data))
    write_checksums(out)
    assert any(text in problem for problem in inspect(out).problems)
    if "image 99" not in text:
        with pytest.raises(LurkError, match=r"head\.json"):
            read_spectrum(out, read_manifest(out).layers[-1])
