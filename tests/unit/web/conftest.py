"""A store for the tests of publishing and serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.web.stores import make_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store named `toy`."""
    return make_store(tmp_path / "stores")
