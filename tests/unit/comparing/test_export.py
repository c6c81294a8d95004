"""A comparison as a pandas DataFrame and as HTML."""

from __future__ import annotations

import re

from torchlurk import Comparison


def test_to_pandas(with_networks: Comparison, stores_only: Comparison) -> None:
    frame = with_networks.sort("weights").to_pandas()
    assert list(frame.columns) == [
        "layer",
        "channel",
        *with_networks.measures,
        "partner_channel",
        "partner_correlation",
    ]
    assert len(frame) == 22
    row = with_networks.sort("weights")[0]
    assert frame["weights"].iloc[0] == row["weights"] == frame["weights"].max()
    assert (frame["layer"].iloc[0], frame["partner_channel"].iloc[0]) == (row.layer, row.partner)
    assert (frame.dtypes[list(with_networks.measures)] == "float64").all()
    assert "partner_channel" not in stores_only.to_pandas()


def test_html_for_a_notebook(with_networks: Comparison) -> None:
    html = with_networks.sort("maps")._repr_html_()
    assert html.count("<tr>") == 13
    assert "and 10 more filters" in html
    assert (
        "and "
        not in re.sub(r"<[^>]*>", " ", with_networks.head(2)._repr_html_()).split("more filters")[0][-20:]
    )
    assert "more filters" not in with_networks.head(2)._repr_html_()
