"""`torchlurk inspect`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.golden.run import EXPECTED
from tests.helpers import refused, write_photos
from tests.unit.cli.conftest import Run


def test_inspect_fails_on_a_missing_file(scan: Run, run: Run, tmp_path: Path) -> None:
    scan(write_photos(tmp_path / "photos", "a.png"), "--stages", "scan")
    assert run("inspect", "saved_model/net").exit_code == 0
    (pack,) = (tmp_path / "saved_model/net/images").iterdir()
    pack.unlink()
    # the pack, and the only image in it
    refused(run("inspect", "saved_model/net"), "damaged or incomplete: 2 problems;", "--overwrite")


def test_a_closed_pipe_is_not_an_error() -> None:
    store = Path(EXPECTED) / "branching"
    command = [sys.executable, "-m", "torchlurk", "inspect", str(store)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.close()  # as `| head` does once it has enough
    _, errors = running.communicate(timeout=60)
    assert errors == b""
    assert running.returncode == 1
