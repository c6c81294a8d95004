"""Tests of the names that the package exports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import torchlurk


def test_exports_are_imported_when_they_are_first_used() -> None:
    code = (
        "import sys, torchlurk; assert 'torch' not in sys.modules; "
        "from torchlurk import explain, gradients; assert callable(explain) and callable(gradients)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(torchlurk.__file__).parents[1])
    with pytest.raises(AttributeError, match="explane"):
        _ = torchlurk.explane
