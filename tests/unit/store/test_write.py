"""Temporary files and locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from torchlurk.errors import LurkError
from torchlurk.store.write import exclusive_lock, remove_temporary_files, write_bytes


def test_temporary_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    write_bytes(tmp_path / "layers/a.json", b"kept")
    (tmp_path / "layers/.xyz.part").write_bytes(b"half")
    remove_temporary_files(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.json"]


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
