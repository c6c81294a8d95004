"""`torchlurk serve`, for a site and for stores."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.processes import hear_interrupts
from tests.unit.web.stores import make_store
from torchlurk.cli.main import main


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "stores")


def test_serve_watch_answers_until_interrupted(store: Path) -> None:
    later = store.parent / "later"
    command = [sys.executable, "-m", "torchlurk", "serve", "--watch", str(store), str(later), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        assert server.stdout.readline() == f"{later}: does not exist yet, waiting for it\n"
        with urllib.request.urlopen(f"{url}saved_model/live.json") as answer:
            live = json.load(answer)
        assert [network["name"] for network in live["networks"]] == ["toy"]
        assert live["waiting"] == ["later"]
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0


def test_wrong_folders_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, word in [
        (["a", "b"], "add --watch"),
        (["--watch"], "give the folder"),
        ([], "_site' is not"),
    ]:
        result = CliRunner().invoke(main, ["serve", *arguments])
        assert result.exit_code != 0
        assert re.search(word, result.output)


def test_serve_answers_until_interrupted(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>here</h1>")
    command = [sys.executable, "-m", "torchlurk", "serve", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == b"<h1>here</h1>"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0
