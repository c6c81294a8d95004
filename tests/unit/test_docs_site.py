"""The documentation builds without warnings, loads nothing from other hosts, and links to the demo."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

from torchlurk.cli.main import main
from torchlurk.runtime.resources import site_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with the page of the demo, and the documentation beside it."""
    site = tmp_path_factory.mktemp("site")
    (site / "index.html").write_text((site_folder() / "index.html").read_text("utf-8"), "utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", site / "docs"]
    environment = {"TORCHLURK_DEMO": "../index.html", "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env={**environment, "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return site


class Loaded(HTMLParser):
    """Collects what a page loads or runs by itself, and where it links to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.links: list[str] = []
        self.inline = 0
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "script" and values.get("type", "") != "application/json":
            self.inline += "src" not in values
        if tag == "a":
            self.links.append(values.get("href") or "")
        elif tag == "link" and values.get("rel") in ("canonical", "prev", "next"):
            return
        else:
            self.addresses += [values[name] or "" for name in ("src", "href") if name in values]


def test_no_page_loads_anything_from_another_host_or_runs_an_inline_script(built: Path) -> None:
    pages = sorted((built / "docs").rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loaded = Loaded(page)
        assert loaded.inline == 0, page
        for address in loaded.addresses:
            assert not re.match(r"(https?:)?//", address), (page, address)
            assert (page.parent / address.partition("#")[0]).exists(), (page, address)


def test_documentation_and_demo_link_to_each_other(built: Path) -> None:
    assert "docs/index.html" in Loaded(built / "index.html").links
    for page in ("index.html", "reference/lurk.html"):
        path = built / "docs" / page
        assert built / "index.html" in {(path.parent / link).resolve() for link in Loaded(path).links}


def commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    for inner in getattr(command, "commands", {}).values():
        yield from commands(inner)


def test_the_command_line_reference_has_every_option(built: Path) -> None:
    text = re.sub(r"<[^>]*>", "", (built / "docs/reference/cli.html").read_text("utf-8"))
    for command in commands(main):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert re.search(rf"^ +.*{parameter.opts[0]}\b", text, re.MULTILINE), parameter.opts
    assert "Sentinel" not in text
