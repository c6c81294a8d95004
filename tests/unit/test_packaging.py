"""The package as pip sees it: all folders and files are in it, and its version stands in one place."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

import torchlurk

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ELSEWHERE = {
    "torchlurk.site": "site",
    "torchlurk.photos": "data/photos",
    "torchlurk.networks": "data/networks",
}


def test_every_folder_with_code_is_a_package_and_no_code_lies_outside() -> None:
    script = (
        "import setuptools; setuptools.setup = lambda **options: print(*options['packages']);"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'))"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {path.parent for path in (ROOT / "torchlurk").rglob("*.py")}
    assert sorted(found) == sorted(
        {".".join(folder.relative_to(ROOT).parts) for folder in folders} | ELSEWHERE.keys()
    )


def test_every_file_of_the_site_the_photographs_and_the_networks_is_packaged() -> None:
    for package, folder in ELSEWHERE.items():
        patterns = PROJECT["tool"]["setuptools"]["package-data"][package]
        packaged = {path for pattern in patterns for path in (ROOT / folder).glob(pattern)}
        there = {path for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts}
        left_out = {path for path in there - packaged if path.is_file() and path.suffix != ".py"}
        assert left_out == set(), f"{package} lacks files"


def test_the_version_stands_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "torchlurk.__version__"}
    assert version("torchlurk") == torchlurk.__version__


def test_workflows_have_least_permissions_and_test_every_supported_python() -> None:
    flows = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").iterdir()}
    assert set(flows) == {"pages.yml", "tests.yml"}
    for flow in flows.values():
        assert flow["permissions"] == {"contents": "read"}
        for job in flow["jobs"].values():
            assert job["timeout-minutes"] <= 60
    classifiers = [text.rsplit(" ")[-1] for text in PROJECT["project"]["classifiers"] if ":: 3." in text]
    assert flows["tests.yml"]["jobs"]["test"]["strategy"]["matrix"]["python-version"] == classifiers
