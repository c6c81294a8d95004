"""The plots of a comparison."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib import pyplot

from torchlurk import Comparison


def test_plots_return_axes_and_do_not_call_show(
    with_networks: Comparison, stores_only: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyplot, "show", lambda *a, **k: pytest.fail("shown"))
    draw: list[Any] = [
        lambda ax=None: with_networks.plot_layers("maps", ax=ax),
        lambda ax=None: with_networks.plot_layers(ax=ax),
        lambda ax=None: with_networks.layer("wide").plot_hist("weights", ax=ax),
        lambda ax=None: with_networks.plot_hist("active", ax=ax),
        lambda ax=None: with_networks.plot_against("weights", "maps", ax=ax),
        lambda ax=None: stores_only.plot_time("wide", 2, "top_max", ax=ax),
    ]
    for plot in draw:
        own = plot()
        assert own.get_title()
        figure, given = pyplot.subplots()
        assert plot(given) is given
        figure.canvas.draw()
        own.figure.canvas.draw()
    pyplot.close("all")
    bars = with_networks.layer("wide").plot_hist("weights").patches
    assert sum(bar.get_height() for bar in bars) == 5
    pyplot.close("all")
