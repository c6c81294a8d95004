"""Partial results: valid ones are read, invalid ones are reported and computed again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlurk.errors import LurkError
from torchlurk.store.partial import PartialResults, count_partial_results, digest_records

CONFIG = digest_records("a")


@given(content=st.binary(max_size=200), at=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=150)
def test_a_partial_result_is_read_or_reported_as_damaged(
    content: bytes, at: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    results = PartialResults(tmp_path_factory.mktemp("store"), "scan", CONFIG)
    results.write("0", content)
    assert results.has("0")
    assert results.read("0") == content
    path = results.folder / "0"
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(LurkError, match="start the same command again"):
        results.read("0")
    reported: list[str] = []
    assert results.collect_valid(["0", "1"], reported.append) == set()
    assert len(reported) == 1
    assert str(path) in reported[0]
    assert "this run computes it anew" in reported[0]
    assert not path.exists()


def test_a_partial_result_of_another_configuration_is_invalid(tmp_path: Path) -> None:
    PartialResults(tmp_path, "scan", CONFIG).write("a/0.json", b"x")
    assert count_partial_results(tmp_path) == {"scan": 1}
    other = PartialResults(tmp_path, "scan", digest_records("b"))
    assert not other.has("a/0.json")
    with pytest.raises(LurkError, match="other options"):
        other.read("a/0.json")
    with pytest.raises(LurkError, match="cannot read"):
        other.read("a/1.json")
    other.remove_all()
    assert list(tmp_path.iterdir()) == []
