"""The layout of the package: its folders, its file sizes, and that no name has two meanings."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "torchlurk"

SAME_MEANING = {
    "compare": "the click command, and the function of the Python API",
    "explain": "the click command, and the function of the Python API",
    "inspect": "the click command, and the function that it calls",
    "precompute": "the click command, and the function that it calls",
    "transfer": "the click command, and the function of the Python API",
    "delete_results": "the function of a stage of the pipeline that deletes what it has written",
    "run": "the function of a stage of the pipeline that runs it",
    "is_complete": "the function of a stage of the pipeline that checks whether a filter lacks anything",
    "TASKS": "the tasks of a stage of the pipeline, as partial results and progress name them",
}
"""Public names that are defined in several modules with one meaning, and what that is."""


def public_names(path: Path) -> Iterator[str]:
    """Yield the public top-level names that a module defines, without those that it imports."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def test_a_public_name_is_defined_in_one_module() -> None:
    modules = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in dict.fromkeys(public_names(path)):
            modules[name].append(path.relative_to(PACKAGE).as_posix())
    several = {name: found for name, found in modules.items() if len(found) > 1}
    assert {name: found for name, found in several.items() if name not in SAME_MEANING} == {}
    assert set(SAME_MEANING) <= set(several), "an exception that is not needed any more"


def test_the_package_has_three_files_and_the_folders_of_the_architecture() -> None:
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "__main__.py", "errors.py"]
    text = "".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").rglob("architecture.md")))
    named = re.findall(r"^\| `([a-z_]+)/` \|", text, re.MULTILINE)
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert sorted(named) == sorted(folders)


def test_files_have_at_most_300_lines() -> None:
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_the_store_and_the_command_line_do_not_import_torch() -> None:
    for folder in ("store", "cli"):
        for path in (PACKAGE / folder).rglob("*.py"):
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = (
                        {alias.name for alias in node.names}
                        if isinstance(node, ast.Import)
                        else {node.module}
                    )
                    assert not any(str(name).split(".")[0] == "torch" for name in names), path
