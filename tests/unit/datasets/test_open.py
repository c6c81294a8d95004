"""Images that a user names, and the class names beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.datasets.conftest import jpegs
from torchlurk.datasets.image_folder import ImageFolder
from torchlurk.datasets.open import open_images
from torchlurk.errors import LurkError


def test_a_classes_file_of_other_folders_is_not_used(tmp_path: Path) -> None:
    root = jpegs(tmp_path / "set", "cat/1.jpg", "dog/1.jpg", "unsorted/1.jpg")
    (root / "classes.txt").write_text("cat\tcats\ndog\tdogs\n")
    found = open_images(str(root / "unsorted"), class_names_file=None, data_root=tmp_path)
    assert isinstance(found, ImageFolder)
    assert found.classes == ("unsorted",)
    assert found.notes[0].startswith("class names are not used: none of the 2 class names belongs to a class")
    assert open_images(str(root / "cat"), class_names_file=None, data_root=tmp_path).classes == ("cats",)
    with pytest.raises(LurkError, match="none of the 2 class names belongs to a class"):
        open_images(str(root / "unsorted"), class_names_file=root / "classes.txt", data_root=tmp_path)
