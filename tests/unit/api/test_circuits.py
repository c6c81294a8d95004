"""What a filter is made of and used for, from Python: the tables say what the JSON says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as pyplot
import numpy as np
import pytest

from tests.golden.run import EXPECTED
from tests.helpers import refusal
from tests.processes import run_without_torch
from torchlurk import LayerView, Lurk, open_store
from torchlurk.api.circuit_plot import plot_circuit

STORE = EXPECTED / "branching"


def record(layer: str) -> dict[str, Any]:
    return json.loads((STORE / f"circuits/{layer}.json").read_text())  # type: ignore[no-any-return]


def layer(name: str) -> LayerView:
    return open_store(STORE).layer(name)


def test_made_of_has_the_rows_of_both_lists() -> None:
    data, view = record("head"), layer("head")
    for channel, entry in enumerate(data["filters"]):
        rows = view[channel].made_of()
        listed = [*entry["excited_by"], *entry["inhibited_by"]]
        total = entry["excitation"] - entry["inhibition"]
        assert [(r.layer, r.channel, r.contribution) for r in rows] == [
            (data["upstream"][u]["layer"], p, c) for u, p, c, _ in listed
        ]
        assert [r.share for r in rows] == pytest.approx([c / total for _, _, c, _ in listed])
        # All filters are in the lists, so the shares are whole.
        assert sum(abs(r.share) for r in rows) == pytest.approx(1, rel=5e-4)
        for row, (_, _, _, letters) in zip(rows, listed, strict=True):
            weights = [(ord(letter) - ord("i")) / 8 * entry["scale"] for letter in letters]
            assert row.kernel is not None
            assert row.kernel.tolist() == np.reshape(weights, (3, 3)).tolist()


def test_used_by_has_the_rows_of_its_list() -> None:
    data, view = record("stem"), layer("stem")
    for channel, entry in enumerate(data["filters"]):
        rows = view[channel].used_by()
        assert [(r.layer, r.channel, r.share) for r in rows] == [
            (data["downstream"][d], f, share) for d, f, share in entry["used_by"]
        ]
    assert layer("head")[0].used_by() == ()


def test_numbers_of_filters_and_layers() -> None:
    view = layer("left")
    for key in ("excitation", "inhibition", "rest"):
        expected = [entry[key] for entry in record("left")["filters"]]
        assert list(getattr(view, key)) == [getattr(entry, key) for entry in view] == expected
    assert view[1].circuit.score == record("left")["filters"][1]["score"]
    assert layer("stem")[0].made_of() == ()
    assert layer("stem")[0].rest == layer("stem")[0].circuit.score


def test_tables_become_data_frames() -> None:
    made = layer("head")[0].made_of()
    frame = made.to_pandas()
    assert list(frame) == ["layer", "channel", "contribution", "share", "kernel"]
    assert frame["contribution"].tolist() == [row.contribution for row in made]
    used = layer("stem")[1].used_by().to_pandas()
    assert list(used) == ["layer", "channel", "share"]
    assert list(layer("head")[0].used_by().to_pandas()) == ["layer", "channel", "share"]


def test_a_table_without_pandas_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert "pip install pandas" in refusal(layer("head")[0].made_of().to_pandas)


def test_a_store_without_circuits_says_how_to_get_them(tmp_path: Path) -> None:
    shutil.copytree(STORE, tmp_path / "old")
    shutil.rmtree(tmp_path / "old/circuits")
    manifest = json.loads((STORE / "network.json").read_text())
    del manifest["stages"]["circuits"]
    (tmp_path / "old/network.json").write_text(json.dumps(manifest))
    view = open_store(tmp_path / "old").layer("head")
    for ask in (view[0].made_of, view[0].used_by, lambda: view[0].excitation, lambda: view.rest):
        line = refusal(ask)
        assert "has no circuits yet" in line
        assert "compute_circuits()" in line


def test_torch_is_not_needed() -> None:
    run_without_torch(
        f"""
        import torchlurk
        store = torchlurk.open_store({str(STORE)!r})
        assert store.layer("head")[0].made_of()[0].share > 0
        """
    )


def test_the_plot_shows_the_crop_and_the_kernel_of_each_filter() -> None:
    view = layer("head")[0]
    rows = view.made_of()
    ax = plot_circuit(view, exciting=2, inhibiting=1)
    excited = [row for row in rows if row.contribution > 0][:2]
    inhibited = [row for row in rows if row.contribution < 0][:1]
    labels = [tick.get_text() for tick in ax.get_xticklabels()]
    assert labels == [
        "head\n0",
        *(f"{row.layer}\n{row.channel}: {row.share:+.0%}" for row in (*excited, *inhibited)),
    ]
    (image,) = ax.get_images()
    canvas = np.asarray(image.get_array())
    assert canvas.shape == (198, len(labels) * 102 - 6, 3)
    assert (canvas[102:, :96] == 255).all()  # the filter itself has no kernel
    for number, row in enumerate((*excited, *inhibited), 1):
        assert row.kernel is not None
        drawn = canvas[102:, number * 102 : number * 102 + 96].astype(int)
        height, width = row.kernel.shape
        centres = drawn[96 // height // 2 :: 96 // height, 96 // width // 2 :: 96 // width]
        warmth = centres[:height, :width, 0] - centres[:height, :width, 2]
        assert (np.sign(warmth) == np.sign(row.kernel))[abs(row.kernel) > 0.1 * abs(row.kernel).max()].all()
    assert f"{view.circuit.score:.4g} = {view.excitation:.4g} excitation" in ax.get_title()
    assert Lurk.load(STORE).plot_circuit("head", 0, ax=ax) is ax
    pyplot.close("all")
