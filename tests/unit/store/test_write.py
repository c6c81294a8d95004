"""Temporary files and locks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from torchlurk.errors import LurkError
from torchlurk.store.write import exclusive_lock, remove_temporary_files, write_bytes, write_files


def test_temporary_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    write_bytes(tmp_path / "layers/a.json", b"kept")
    (tmp_path / "layers/.xyz.part").write_bytes(b"half")
    remove_temporary_files(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.json"]


def test_several_files_appear_after_all_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def noted_flush(handle: int) -> None:
        events.append("flush")
        fsync(handle)

    def noted_replace(old: Path, new: Path) -> Path:
        events.append(new.name)
        return replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_files((tmp_path / folder / name, name.encode()) for folder in "xy" for name in "ab")
    assert events == ["flush"] * 4 + ["a", "b", "a", "b"]
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*/*"))] == [b"a", b"b", b"a", b"b"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*/*")} == {0o644}


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_no_file_appears_if_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write_bytes(tmp_path / "a", b"old")
    real = getattr(os, call)

    def fail(handle: int, *rest: int) -> None:
        # Threads flush the files, in any order.
        if os.fstat(handle).st_ino in [path.stat().st_ino for path in tmp_path.glob(".b-*")]:
            raise OSError(28, "No space left on device")
        real(handle, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(LurkError, match=r"cannot write '.*/b' \(No space left on device\)"):
            write_files([(tmp_path / "a", b"new"), (tmp_path / "b", b"new")])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_a_lock_names_its_holder_and_ends_with_its_process(tmp_path: Path) -> None:
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
