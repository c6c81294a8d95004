"""The check that no image is bad, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.unit.datasets.conftest import jpegs, picture
from torchlurk.cli.main import main
from torchlurk.cli.terminal import SILENT
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.validate import check_readable
from torchlurk.errors import LurkError
from torchlurk.pipeline import pipeline


def test_strict_refuses_unsupported_formats(tmp_path: Path) -> None:
    images = list_images(jpegs(tmp_path / "set", "1.jpg", "2.heic"))
    with pytest.raises(
        LurkError, match=r"^1 of 2 images cannot be read, the first is '2\.heic' \(not read: the form"
    ):
        check_readable(images, Preprocess(size=8, resize=8), workers=0, bar=SILENT.bar)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(70):
        picture().save(tmp_path / f"{number:02}.png")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_strict_names_the_first_bad_image_and_counts_them(photos: Path, workers: int) -> None:
    def check() -> None:
        check_readable(list_images(photos), Preprocess(size=16, resize=20), workers=workers, bar=SILENT.bar)

    check()
    for number in (69, 34, 41):
        (photos / f"{number}.png").write_bytes(b"")
    with pytest.raises(LurkError) as caught:
        check()
    assert str(caught.value) == (
        "3 of 70 images cannot be read, the first is '34.png' (the file is empty); repair or remove them, "
        "or leave out strict= to skip them"
    )


@pytest.fixture
def precompute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        picture().save(tmp_path / f"photos/{number}.png")
    (tmp_path / "nets.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 2, 3))\n"
    )

    def run(*more: str) -> tuple[int, str]:
        given = ("--model", "nets.py:net", "--images", "photos", "--out", "saved/net", "--workers", "0")
        fixed = ("--device", "cpu", "--stages", "scan", "--size", "16", "--batch-size", "1", "--strict")
        done = CliRunner().invoke(main, ["precompute", *given, *fixed, *more])
        return done.exit_code, done.stderr.strip().splitlines()[-1]

    return run


def test_strict_refuses_before_anything_is_written(
    precompute: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "photos/2.png").write_bytes(b"text")
    code, line = precompute()
    assert code == 1
    assert line.startswith(
        "torchlurk: 1 of 3 images cannot be read, the first is '2.png' (not an image of a known"
    )
    assert not (tmp_path / "saved/net/network.json").exists()
    picture().save(tmp_path / "photos/2.png")
    assert precompute()[0] == 0


def test_strict_refuses_an_image_that_went_bad_during_the_scan(
    precompute: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = pipeline.precompute

    def after_all_were_decoded(*given: Any) -> Any:
        (tmp_path / "photos/1.png").unlink()
        return begin(*given)

    monkeypatch.setattr(pipeline, "precompute", after_all_were_decoded)
    code, line = precompute()
    assert code == 1
    assert "1 of 3 images cannot be read, the first is '1.png' (the file is gone)" in line
