"""The docstrings of the public API are complete, and the examples in them run."""

from __future__ import annotations

import doctest
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
import matplotlib
import pytest
from matplotlib import pyplot

import torchlurk

REFERENCE = Path(__file__).parents[2] / "docs/reference"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PAGES = {
    page.stem: re.findall(r"^::: torchlurk\.(\w+)$", page.read_text("utf-8"), re.MULTILINE)
    for page in sorted(REFERENCE.glob("*.md"))
}
PAGES = {page: names for page, names in PAGES.items() if names}


def objects(name: str) -> Iterator[object]:
    """Yield an export and, for a class, its public methods and properties in the order of the source."""
    value = getattr(torchlurk, name)
    yield value
    if inspect.isclass(value):
        for member, found in vars(value).items():
            if member in ("__call__", "__getitem__") or not member.startswith("_"):
                yield getattr(found, "__func__", found)


def test_the_reference_lists_every_export_once() -> None:
    listed = [name for names in PAGES.values() for name in names]
    assert sorted(listed) == sorted(set(torchlurk.__all__) - {"__version__"})


def test_the_preamble_of_the_reference_is_that_of_the_package() -> None:
    assert torchlurk.__doc__ is not None
    lines = re.findall(r"^ +(>>> .*|<All .*)$", torchlurk.__doc__, re.MULTILINE)
    assert "\n".join(lines) in (REFERENCE / "index.md").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(set(torchlurk.__all__) - {"__version__"}))
def test_every_export_has_a_docstring(name: str) -> None:
    for found in objects(name):
        magic = getattr(found, "__name__", "").startswith("__")
        if (callable(found) or isinstance(found, property)) and not magic:
            assert inspect.getdoc(found), f"{found} has no docstring"


WITHOUT_EXAMPLE = {
    *("ClassEffect", "ComparisonRow", "Contribution", "DownstreamFilter", "Explanation", "FilterEffect"),
    *("FilterView", "Gradients", "LayerView", "StoreView", "TopImage", "UnitContributions"),
    "UpstreamFilter",
    *("photos_folder", "networks_folder"),  # in the example of the package
    "__version__",
}
EXAMPLES = sorted(set(torchlurk.__all__) - WITHOUT_EXAMPLE)
"""Exports that a user creates or calls; the others are what those return."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_users_call_has_an_example(name: str) -> None:
    value = getattr(torchlurk, name)
    documented = [inspect.getdoc(found) or "" for found in objects(name)]
    assert any(">>> " in text for text in documented), f"{value} has no example"


def test_docstrings_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    package = griffe.load(
        "torchlurk", search_paths=[str(REFERENCE.parents[1])], docstring_parser="google",
        docstring_options={"returns_named_value": False},
    )  # fmt: skip
    waiting: list[griffe.Object | griffe.Alias] = [package]
    while waiting:
        found = waiting.pop()
        if found.is_alias:
            continue
        if found.docstring:
            found.docstring.parsed  # noqa: B018
        waiting += found.members.values()
    assert caplog.text == ""


GROUPS = [["lurk", "stores"], *([page] for page in PAGES if page not in ("lurk", "stores"))]
"""Pages whose examples share their names and files."""


@pytest.mark.parametrize("pages", GROUPS, ids=" ".join)
def test_the_examples_run(
    pages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    matplotlib.use("Agg")
    names: dict[str, object] = {}
    for found in [torchlurk, *(one for page in pages for name in PAGES[page] for one in objects(name))]:
        text = inspect.getdoc(found) or ""
        title = getattr(found, "__qualname__", "torchlurk")
        example = doctest.DocTestParser().get_doctest(text, names, title, title, 0)
        failed = doctest.DocTestRunner(optionflags=FLAGS).run(example, clear_globs=False).failed
        assert failed == 0, capsys.readouterr().out
        names = example.globs
    pyplot.close("all")
    sys.modules.pop("small", None)
