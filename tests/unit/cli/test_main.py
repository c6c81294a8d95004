"""The command line as a whole: errors, exit codes, help, imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import refused
from tests.unit.cli.conftest import Run
from torchlurk.cli.main import main
from torchlurk.store import inspect as store_inspect


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    result = run("--debug", "inspect", str(tmp_path / "nowhere"))
    assert isinstance(result.exception, Exception)
    refused(run("inspect", str(tmp_path / "nowhere")), "nowhere")


def test_an_unexpected_exception_is_one_line_and_a_traceback_on_request(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(store_inspect, "inspect", fail)
    result = run("inspect", "anywhere")
    assert result.exit_code == 1
    line = (
        "torchlurk: ZeroDivisionError: division by zero (internal error; run with --debug for a traceback)\n"
    )
    assert result.stderr == line
    assert isinstance(run("--debug", "inspect", "anywhere").exception, ZeroDivisionError)


def test_every_option_has_help_and_a_default_or_is_required() -> None:
    for command in main.commands.values():
        for option in command.params:
            if option.param_type_name == "option":
                record = option.to_info_dict()
                assert record["help"], (command.name, option.name)


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, torchlurk.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
