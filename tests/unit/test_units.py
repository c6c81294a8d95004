"""Finished pieces: what is kept comes back, and what is damaged does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlurk.errors import LurkError
from torchlurk.runtime.distributed import ProcessGroup
from torchlurk.store.partial import PartialResults, count_partial_results, digest_records
from torchlurk.store.write import exclusive_lock, remove_temporary_files, write_bytes

CONFIG = digest_records("a")


@given(content=st.binary(max_size=200), at=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=150)
def test_a_piece_comes_back_or_is_found_damaged(
    content: bytes, at: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pieces = PartialResults(tmp_path_factory.mktemp("store"), "scan", CONFIG)
    pieces.write("0", content)
    assert pieces.has("0")
    assert pieces.read("0") == content
    path = pieces.folder / "0"
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(LurkError, match="start the same command again"):
        pieces.read("0")
    said: list[str] = []
    assert pieces.collect_valid(["0", "1"], said.append) == set()
    assert len(said) == 1
    assert str(path) in said[0]
    assert "this run computes it anew" in said[0]
    assert not path.exists()


def test_a_piece_of_another_configuration_does_not_count(tmp_path: Path) -> None:
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


@given(count=st.integers(0, 40), size=st.integers(1, 9))
def test_a_team_shares_all_pieces_and_none_twice(count: int, size: int) -> None:
    shares = [ProcessGroup(rank, size).local_share(range(count)) for rank in range(size)]
    assert sorted(piece for share in shares for piece in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_alone_waits_for_nobody() -> None:
    group = ProcessGroup()
    group.barrier()
    assert group.is_main
    assert group.broadcast(lambda: 7) == group.main_first(lambda: 7) == 7


def test_what_a_killed_process_left_unfinished_is_swept(tmp_path: Path) -> None:
    write_bytes(tmp_path / "layers/a.json", b"kept")
    (tmp_path / "layers/.xyz.part").write_bytes(b"half")
    remove_temporary_files(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.json"]


def test_a_lock_says_who_holds_it_and_ends_with_its_process(tmp_path: Path) -> None:
    holding = "import sys, time, pathlib; from torchlurk.store.write import exclusive_lock\n"
    holding += "with exclusive_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", holding, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(LurkError, match=rf"another run \(process {process.pid}\)"),
            exclusive_lock(tmp_path),
        ):
            pass
        process.kill()
    with exclusive_lock(tmp_path):
        pass
