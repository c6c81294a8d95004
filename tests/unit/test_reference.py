"""The reference says what the docstrings say, leaves nothing out that it names, and its examples run."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib import pyplot

import torchlurk

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/reference.md").read_text("utf-8")
BEFORE, *SECTIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)
TITLES = [section.split("\n", 1)[0] for section in SECTIONS]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples(part: str) -> str:
    return "\n".join(re.findall(r"^```pycon\n(.*?)^```", part, re.MULTILINE | re.DOTALL))


def test_it_is_what_the_docstrings_say() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import make_reference as m; print(m.render(), end='')"],
        cwd=ROOT / "docs", capture_output=True, encoding="utf-8", check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a docstring that cannot be read"
    assert done.stdout == TEXT, "the docstrings have changed: make reference"


@pytest.mark.parametrize(
    "title", [title for title, part in zip(TITLES, SECTIONS, strict=True) if ">>>" in part]
)
def test_its_examples_run(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    matplotlib.use("Agg")
    names: dict[str, object] = {}
    for part in (BEFORE, SECTIONS[TITLES.index(title)]):
        example = doctest.DocTestParser().get_doctest(examples(part), names, title, "docs/reference.md", 0)
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        failed = runner.run(example, clear_globs=False).failed
        names = example.globs
        assert failed == 0, capsys.readouterr().out
    pyplot.close("all")
    sys.modules.pop("small", None)


def test_every_exported_name_is_listed_and_told_with_an_example() -> None:
    entries = {
        part.split("`", 1)[0]: part for part in re.split(r"^### `torchlurk\.", TEXT, flags=re.MULTILINE)
    }
    for name in torchlurk.EXPORTS:
        assert f"| [`{name}`](#torchlurk{name.lower()}) |" in BEFORE
        assert ">>> " in entries[name], name


def test_every_link_in_it_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", TEXT, flags=re.M | re.S), re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(set(anchors)) == len(anchors), "GitHub would number them"
    links = re.findall(r"(?:\]\(|href=\")#([^)\"]+)", TEXT)
    assert len(links) > 50
    assert set(links) <= set(anchors)


def test_the_readme_leads_to_it() -> None:
    assert "](docs/reference.md)" in (ROOT / "README.md").read_text("utf-8")
