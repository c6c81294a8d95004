"""`data/vehicles.py`: ten classes of vehicles from tiny-ImageNet."""

from __future__ import annotations

import runpy
from pathlib import Path

from click.testing import CliRunner

from tests.runs import photos
from torchlurk.datasets.class_names import read_class_names
from torchlurk.datasets.image_folder import list_images


def test_vehicles_are_copied_from_tiny_imagenet(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "data/vehicles.py"
    names = runpy.run_path(str(script))
    refused = CliRunner().invoke(names["main"], [str(tmp_path), str(tmp_path / "out")])
    assert refused.exit_code == 1
    assert "has no n02917067: pass a copy of tiny-ImageNet" in refused.output
    photos(tmp_path / "all/images", each=3, classes=(*names["VEHICLES"], "n01443537"))
    (tmp_path / "all/classes.txt").write_text("n03100240\tconvertible\n")
    taken = CliRunner().invoke(names["main"], [str(tmp_path / "all"), str(tmp_path / "out"), "--each", "2"])
    assert taken.exit_code == 0, taken.output
    images = list_images(tmp_path / "out/images", class_names=read_class_names(tmp_path / "out/classes.txt"))
    assert len(images.paths) == 20
    assert images.classes[1] == "convertible"
