"""Comparisons next to their stores: published, served while they are computed, or refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.browser.made_up_comparison import make_comparison, make_moment
from tests.unit.web.stores import asking, tree
from torchlurk.cli.main import main
from torchlurk.errors import LurkError
from torchlurk.web.live_server import LiveServer
from torchlurk.web.publish import build_site
from torchlurk.web.snapshot import watch_stores

LAYERS = [("a", 3), ("b%c", 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two stores and their comparison."""
    path = tmp_path_factory.mktemp("stores") / "saved_model"
    stores = [make_moment(path, name, moment, LAYERS) for moment, name in enumerate(("one", "two"))]
    make_comparison(path, "one-to-two", stores)
    return path


@pytest.fixture
def saved(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder, which a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "saved_model"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_comparison_is_published_next_to_its_stores(folder: Path, tmp_path: Path) -> None:
    folders = [folder / name for name in ("two", "one-to-two", "one")]
    report = build_site(folders, tmp_path / "site")
    assert report.networks == ("two", "one")
    assert report.comparisons == ("one-to-two",)
    written = tree(tmp_path / "site")
    own = {name for name in written if name.startswith("saved_model/one-to-two/")}
    assert own == {
        f"saved_model/one-to-two/{name}" for name in ("comparison.json", "layers/a.json", "layers/b%25c.json")
    }
    for name in own:
        assert written[name] == (folder.parent / name).read_bytes()
    listed = {"name": "one-to-two", "path": "one-to-two", "title": "one → two"}
    assert json.loads(written["saved_model/comparisons.json"]) == {"comparisons": [listed], "format": 2}
    assert json.loads(written["saved_model/index.json"])["networks"][0]["name"] == "two"


def refused(folders: list[Path], out: Path) -> str:
    with pytest.raises(LurkError) as caught:
        build_site(folders, out)
    assert not out.exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_stores_of_a_comparison_must_be_published_too(folder: Path, tmp_path: Path) -> None:
    message = refused([folder / "one", folder / "one-to-two"], tmp_path / "site")
    assert "one-to-two" in message
    assert "'two', which is not among the stores" in message
    assert "at least one" in refused([folder / "one-to-two"], tmp_path / "site")


def test_a_comparison_of_a_store_that_has_changed_is_refused(saved: Path, tmp_path: Path) -> None:
    folders = [saved / name for name in ("one", "two", "one-to-two")]
    manifest = json.loads((saved / "two/network.json").read_text())
    cases = [
        ({"model": {**manifest["model"], "weights_sha256": "f" * 64}}, "has other weights now"),
        ({"dataset": {**manifest["dataset"], "digest": "f" * 64}}, "has other images now"),
        ({"k": 9}, "keeps 9 images"),
        ({"layers": manifest["layers"][:1], "edges": []}, "has no layer 'b%c' with 2 filters now"),
    ]
    for values, word in cases:
        change(saved / "two/network.json", **{**manifest, **values})
        message = refused(folders, tmp_path / "site")
        assert f"compares 'two', which {word}" in message
        assert "run torchlurk compare again" in message


@pytest.mark.parametrize(
    ("path", "text", "word"),
    [
        ("comparison.json", "{", "is damaged"),
        ("comparison.json", '{"format": 3}', "format 3"),
        ("layers/a.json", None, "cannot read"),
        ("layers/a.json", "[]", "is damaged"),
    ],
)
def test_a_damaged_comparison_is_refused(
    saved: Path, tmp_path: Path, path: str, text: str | None, word: str
) -> None:
    (saved / "one-to-two" / path).unlink()
    if text is not None:
        (saved / "one-to-two" / path).write_text(text)
    message = refused([saved / name for name in ("one", "two", "one-to-two")], tmp_path / "site")
    assert "one-to-two" in message
    assert word in message


def test_names_must_be_unique(saved: Path, tmp_path: Path) -> None:
    folders = [saved / name for name in ("one", "two", "one-to-two")]
    for name in ("one-to-two", "other", "two"):
        shutil.copytree(saved / "one-to-two", tmp_path / "more" / name)
    message = refused([*folders, tmp_path / "more/one-to-two"], tmp_path / "site")
    assert "have the same name; leave one of them out" in message
    assert "rename the folder back to the name of the comparison" in refused(
        [*folders, tmp_path / "more/other"], tmp_path / "site"
    )
    change(tmp_path / "more/two/comparison.json", name="two")
    assert "a store is named 'two' too" in refused([*folders[:2], tmp_path / "more/two"], tmp_path / "site")


def test_a_site_is_not_written_into_a_comparison(saved: Path) -> None:
    folders = [saved / name for name in ("one", "two", "one-to-two")]
    before = tree(saved)
    assert "is inside the comparison" in refused(folders, saved / "one-to-two/site")
    assert tree(saved) == before


def test_by_default_comparisons_without_their_stores_are_left_out(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["site"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "_site: one, two, one-to-two"
    assert "warning" not in result.output
    shutil.copytree(saved / "one-to-two", saved / "copied")
    shutil.rmtree(saved / "two")
    result = CliRunner().invoke(main, ["site"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "_site: one"
    warnings = [line for line in result.output.splitlines() if line.startswith("warning: left out: ")]
    assert len(warnings) == 2
    assert "'two', which is not among the stores" in warnings[1]
    assert json.loads(Path("_site/saved_model/comparisons.json").read_text())["comparisons"] == []


def test_a_new_comparison_appears_while_its_stores_are_served(saved: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    (saved / "one-to-two").rename(later)
    with LiveServer([saved / name for name in ("one", "two", "one-to-two")]) as server:
        ask = asking(server)

        def fetch(name: str) -> dict:
            return json.loads(ask(f"/saved_model/{name}")[2])

        assert fetch("live.json")["waiting"] == ["one-to-two"]
        assert fetch("comparisons.json")["comparisons"] == []
        assert ask("/saved_model/one-to-two/comparison.json")[0] == 404
        later.rename(saved / "one-to-two")
        live = fetch("live.json")
        assert live["waiting"] == []
        (comparison,) = live["comparisons"]
        assert comparison["path"] == "one-to-two"
        assert set(comparison["files"]) == {"comparison.json", "layers/a.json", "layers/b%25c.json"}
        assert [one["name"] for one in fetch("comparisons.json")["comparisons"]] == ["one-to-two"]
        assert fetch("one-to-two/comparison.json")["name"] == "one-to-two"
        assert fetch("one-to-two/layers/b%2525c.json")["layer"] == "b%c"
        assert ask("/saved_model/one-to-two/SHA256SUMS")[0] == 404
        assert [network["name"] for network in fetch("index.json")["networks"]] == ["one", "two"]


def test_a_comparison_of_other_weights_is_not_served(saved: Path) -> None:
    stores = watch_stores([saved / name for name in ("one", "two", "one-to-two")])
    (before,) = stores.live().comparisons
    change(saved / "one-to-two/layers/a.json", k=1)
    (after,) = stores.live().comparisons
    assert [name for name in before.files if before.files[name] != after.files[name]] == ["layers/a.json"]
    manifest = json.loads((saved / "two/network.json").read_text())
    change(saved / "two/network.json", model={**manifest["model"], "weights_sha256": "f" * 64})
    assert stores.live().comparisons == []
    assert stores.live().waiting == ["one-to-two"]
    assert stores.comparisons().comparisons == []
