"""The images of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runs import photos, train
from torchlurk.errors import LurkError
from torchlurk.runtime.reporting import Reporter


def test_the_error_names_an_image_that_becomes_unreadable_during_a_run(tmp_path: Path) -> None:
    images = photos(tmp_path / "photos")

    @contextmanager
    def losing(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        yield lambda n: (images / "red/0.png").write_bytes(b"")

    shown = Reporter(report=lambda line: None, bar=losing)
    with pytest.raises(
        LurkError, match=r"image 'red/0.png' could be read when the run started, but cannot be read now"
    ):
        train(images, tmp_path / "run", shown=shown)
