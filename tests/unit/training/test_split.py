"""Training and validation images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.runs import CLASSES, photos
from torchlurk.datasets.image_folder import list_images
from torchlurk.training.split import hold_out, parse_share, separate_validation


@pytest.mark.parametrize(("share", "each"), [(0.01, 1), (0.2, 1), (0.25, 2), (0.5, 3), (0.84, 5), (0.99, 5)])
def test_a_share_of_each_class_is_held_out(tmp_path: Path, share: float, each: int) -> None:
    images = list_images(photos(tmp_path))
    found = hold_out(images, share, 0)
    assert Counter(found.val.labels) == dict.fromkeys(range(3), each)
    assert sorted(found.train.paths + found.val.paths) == sorted(images.paths)
    assert found.train.paths == tuple(sorted(found.train.paths))
    assert found.train.classes == found.val.classes == CLASSES


def test_which_images_are_held_out_depends_only_on_seed_and_name(tmp_path: Path) -> None:
    images = list_images(photos(tmp_path))
    first = hold_out(images, 0.5, 0)
    assert hold_out(images, 0.5, 0) == first
    assert any(hold_out(images, 0.5, seed).val.paths != first.val.paths for seed in range(1, 4))
    (tmp_path / "red/99.png").write_bytes((tmp_path / "red/0.png").read_bytes())
    more = hold_out(list_images(tmp_path), 0.5, 0)
    kept = [path for path in more.val.paths if not path.startswith("red")]
    assert kept == [path for path in first.val.paths if not path.startswith("red")]


@pytest.mark.parametrize(("text", "share"), [("0.2", 0.2), ("1", 1.0), ("photos", None), ("a.csv", None)])
def test_a_number_is_a_share_and_everything_else_names_images(text: str, share: float | None) -> None:
    assert parse_share(text) == share


def test_separate_validation_images_are_used_completely(tmp_path: Path) -> None:
    a, b = (list_images(photos(tmp_path / name, each)) for name, each in (("a", 3), ("b", 1)))
    assert separate_validation(a, b).val == b
