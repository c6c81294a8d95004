"""Tests of the run of a network with one channel in docs/explanation/networks.md, on the photographs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import torchlurk
from torchlurk.cli.main import main
from torchlurk.store.inspect import inspect

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> torchlurk.Lurk:
    text = (ROOT / "docs/explanation/networks.md").read_text("utf-8").replace("\\\n", " ")
    (line,) = re.findall(r"^torchlurk (precompute .*small\.py:gray .*)$", text, re.MULTILINE)
    out = tmp_path_factory.mktemp("saved_model") / "gray"
    arguments = shlex.split(line.replace("data/", f"{ROOT}/data/").replace("saved_model/gray", str(out)))
    told = CliRunner().invoke(main, [*arguments, "--device", "cpu", "--workers", "0"])
    assert told.exit_code == 0, told.output
    return torchlurk.Lurk.load(out)


def test_the_store_is_complete_and_crops_explain_their_scores(gray: torchlurk.Lurk) -> None:
    report = inspect(gray.store.path)
    assert report.problems == ()
    assert report.worst_certificate is not None
    assert report.worst_certificate < 1e-5
    assert gray.store.manifest.input.shape == (1, 32, 32)


def test_top_images_show_what_the_network_has_learnt(gray: torchlurk.Lurk) -> None:
    first = {entry.name: [top.path for top in entry.max] for entry in gray["classifier"]}
    assert first["bird"][0] == "birds/kingfisher.jpg"
    assert set(first["deer"][:2]) == {"wildlife/moose.jpg", "wildlife/nubian-ibex.jpg"}
    assert {"farm/horses.jpg", "farm/sheep.jpg"} <= set(first["horse"])


def test_all_pictures_are_gray(gray: torchlurk.Lurk) -> None:
    entry = gray["features.3"][0]
    for picture in (entry.image, entry.gradient(0), entry.crop(0), entry.photo(0)):
        pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert np.ptp(pixels, axis=2).max() == 0
        assert np.ptp(pixels[..., 0]) > 60
