"""The curves of a run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest

from tests.runs import CLASSES, photos, reporter, train
from torchlurk.store import schema
from torchlurk.training import record
from torchlurk.training.plot import curves_figure, draw_curves


def history(
    *losses: float, epochs: int | None = None, original: float | None = None
) -> record.TransferRecord:
    """Return the record of a run with these training losses, of which the validation losses are twice."""
    images = record.TransferImages("photos", 6, "0" * 64, [])
    entries = [
        record.Epoch(at, at, record.Metrics(loss, 0.25), record.Metrics(2 * loss, 0.5), None)
        for at, loss in enumerate(losses)
    ]
    return record.TransferRecord(
        format=1, model=schema.ModelRecord("own", "own", "0" * 64),
        input=schema.InputRecord((3, 4, 4), [0.0] * 3, [1.0] * 3), classes=list(CLASSES), head="head",
        trained=["head.weight"], device="cpu", threads=1,
        options=record.TransferOptions([], epochs=epochs or max(len(losses) - 1, 1)),
        train=images, val=images, share=None, history=entries,
        original=None if original is None
        else record.Original([0], record.Metrics(1, 0.5), record.Metrics(1, original)),
    )  # fmt: skip


@pytest.mark.parametrize("highest", [0.003, 0.5, 0.9, 1.0, 2.7, 7.0, 12.0, 33.0, 1e6])
def test_the_ticks_of_the_loss_are_few_and_round_and_reach_the_highest_loss(highest: float) -> None:
    loss, _ = curves_figure(history(highest / 2, highest / 4)).axes
    ticks = loss.get_yticks()
    assert ticks[0] == loss.get_ylim()[0] == 0
    assert ticks[-2] < highest * (1 + 1e-9)
    assert ticks[-1] == loss.get_ylim()[1] >= highest * (1 - 1e-9)
    assert 4 <= len(ticks) <= 8
    labels = [label.get_text() for label in loss.get_yticklabels()]
    assert len(set(labels)) == len(labels)
    assert all(len(label) <= 8 for label in labels)


def test_the_ticks_of_epochs_are_whole_numbers() -> None:
    for epochs in (1, 2, 3, 10, 37, 200, 9999):
        for ax in curves_figure(history(1.0, 0.5, epochs=epochs)).axes:
            ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= epochs]
            assert ax.get_xlim() == (0, epochs)
            assert all(tick == round(tick) for tick in ticks)
            assert 2 <= len(ticks) <= 11


SVG = "{http://www.w3.org/2000/svg}"


def test_the_curves_are_a_plot_of_the_record(tmp_path: Path) -> None:
    found, _ = train(photos(tmp_path / "photos"), tmp_path / "run")
    data = (tmp_path / "run/curves.svg").read_bytes()
    assert data == draw_curves(found)
    root = ElementTree.fromstring(data)
    groups = {group.get("id"): group for group in root.iter(f"{SVG}g")}
    for name in ("loss", "accuracy"):
        for part in ("train", "val"):
            (path,) = groups[f"{name}-{part}"].iter(f"{SVG}path")
            points = re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", ""))
            assert len(points) == 4
            heights = [float(y) for _, y in points]
            values = [getattr(getattr(epoch, part), name) for epoch in found.history]
            order = sorted(range(4), key=lambda at: values[at], reverse=True)
            assert [heights[at] for at in order] == sorted(heights)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"loss", "accuracy", "epoch", "training", "validation", "chance"} <= set(texts)


def test_the_curves_show_the_original_network_if_its_accuracy_is_known() -> None:
    assert b"original network" not in draw_curves(history(1.0, 0.5))
    (line,) = [
        one for one in curves_figure(history(1.0, 0.5, original=0.75)).axes[1].lines
        if one.get_gid() == "original"
    ]  # fmt: skip
    assert list(line.get_ydata()) == [0.75, 0.75]
    assert b"validation, original network" in draw_curves(history(1.0, 0.5, original=0.75))


def test_the_curves_depend_on_the_record_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw_curves(history(1.0, 0.5))
    for name, value in {
        "font.size": 20,
        "svg.fonttype": "path",
        "axes.grid": True,
        "lines.linewidth": 9,
    }.items():
        monkeypatch.setitem(matplotlib.rcParams, name, value)
    assert draw_curves(history(1.0, 0.5)) == before
    assert b"prefers-color-scheme: dark" in before
    assert b"Matplotlib v" not in before


def test_every_colour_of_the_curves_has_a_dark_one() -> None:
    text = draw_curves(history(1.0, 0.5, original=0.75)).decode()
    rules, _, drawn = text.partition("</style>")
    used = set(re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", drawn))
    assert used
    for colour in used:
        assert f'[style*="{colour}"]' in rules


def test_without_matplotlib_the_run_reports_that_there_are_no_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said: list[str] = []
    found, _ = train(photos(tmp_path / "photos"), tmp_path / "run", shown=reporter(said=said))
    assert found.complete
    assert not (tmp_path / "run/curves.svg").exists()
    (line,) = [line for line in said if "curves.svg" in line]
    assert "pip install 'torchlurk[plot]'" in line
    assert "\n" not in line
