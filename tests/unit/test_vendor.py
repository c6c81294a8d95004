"""Every vendored file is the one that was taken in, and none is unaccounted for."""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "site" / "vendor"
FOLDERS = sorted(path for path in VENDOR.iterdir() if path.is_dir())


def test_there_is_something_to_check():
    assert [path.name for path in FOLDERS] == ["d3-7.9.0", "dagre-3.1.3"]
    assert {path.name for path in VENDOR.iterdir() if path.is_file()} == {"README.md"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_hashes(folder):
    listed = {}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    there = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert there == listed
    assert "LICENSE" in there


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_readme_gives_version_and_hash(folder):
    readme = (VENDOR / "README.md").read_text()
    script = next(folder.glob("*.js"))
    assert folder.name.rpartition("-")[2] in readme
    assert hashlib.sha256(script.read_bytes()).hexdigest() in readme


def test_the_script_of_the_page_contains_what_is_vendored():
    bundle = (ROOT / "site" / "dist" / "app.js").read_text("utf-8")
    head, _, _ = bundle.partition("*/")
    for folder in FOLDERS:
        script = next(folder.glob("*.js")).read_text("utf-8")
        assert script.partition("//# sourceMappingURL")[0] in bundle
        assert (folder / "LICENSE").read_text("utf-8").strip() in head
    assert (ROOT / "LICENSE").read_text("utf-8").strip() in head
