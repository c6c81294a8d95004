"""The names that the package exports: seen by type checkers, imported when first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import torchlurk

SOURCE = Path(torchlurk.__file__).read_text("utf-8")


def test_type_checkers_and_the_interpreter_find_the_same_names_in_the_same_modules() -> None:
    (block,) = (
        node for node in ast.parse(SOURCE).body if isinstance(node, ast.If) and "import " in ast.unparse(node)
    )
    found = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert found == torchlurk._EXPORTS
    assert sorted({*found, "__version__"}) == sorted(torchlurk.__all__)


@pytest.mark.parametrize("name", torchlurk.__all__)
def test_every_export_can_be_imported(name: str) -> None:
    assert getattr(torchlurk, name) is not None
    assert name in dir(torchlurk)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'torchlurk' has no attribute 'nothing'"):
        torchlurk.nothing  # noqa: B018


@pytest.mark.parametrize(
    "code",
    ["import torchlurk", "from torchlurk import LurkError", "from torchlurk import open_store, StoreView",
     "import torchlurk; torchlurk.photos_folder()", "from torchlurk import Comparison"],
)  # fmt: skip
def test_reading_does_not_load_torch(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; sys.exit('torch' in sys.modules)"], check=False
    )
    assert done.returncode == 0
