"""Pickles of numpy arrays are read without running code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.unit.models.conftest import Evil
from torchlurk.errors import LurkError
from torchlurk.models.pypi import read_pickle


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickle_with_other_names_than_numpy_is_refused(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "ran"
    with pytest.raises(LurkError, match=r"(posix|nt)\.system is not a numpy array"):
        read_pickle(pickle.dumps({"a": Evil(target)}, protocol))
    assert not target.exists()
    for data in (b"", b"\x80", b"cos\nsystem\n.", pickle.dumps(Path("x"))):
        with pytest.raises(LurkError, match="weights refused"):
            read_pickle(data)


def test_pickles_of_numpy_1_and_2_are_read() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = pickle.dumps({"a": array}, 3)  # names as text, without frames
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    for version in (data, old):
        assert np.array_equal(read_pickle(version)["a"], array)
