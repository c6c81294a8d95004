"""A comparison as a table: rows, columns, other pairs of stores, and errors."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib import pyplot

from torchlurk import Comparison
from torchlurk.comparing import ComparisonRow, table
from torchlurk.errors import LurkError


def test_rows_are_sorted_by_the_absolute_value_of_a_measure(with_networks: Comparison) -> None:
    assert len(with_networks) == 22
    for measure in with_networks.measures:
        sizes = [None if v is None else abs(v) for v in with_networks.sort(measure)[measure]]
        some = [size for size in sizes if size is not None]
        assert sizes == [*sorted(some, reverse=True), *[None] * (len(sizes) - len(some))]
    assert with_networks.sort()["maps"] == with_networks.sort("maps")["maps"]
    up = with_networks.sort("weights", ascending=True)
    assert up["weights"] == sorted(with_networks["weights"])
    assert (up[0].layer, up[0].channel) == (
        with_networks.sort("weights")[-1].layer,
        with_networks.sort("weights")[-1].channel,
    )
    wide = with_networks.layer("wide").sort("difference").head(3)
    assert len(wide) == 3
    assert wide.layers == ("wide",)
    assert wide[0]["difference"] == max(with_networks.layer(2)["difference"])
    assert [(row.layer, row.channel) for row in with_networks][:7] == [
        *(("first", c) for c in range(6)),
        ("narrow", 0),
    ]
    assert with_networks.pair == ("start", "end")
    assert "22 filters of 4 layers" in repr(with_networks)


def test_other_pairs_of_stores(stores_only: Comparison) -> None:
    assert stores_only.pair == ("start", "end")
    step = stores_only.between("middle", "end")
    assert step.pair == stores_only.between(1, -1).pair == ("middle", "end")
    assert step["mean_shift"] != stores_only["mean_shift"]
    assert stores_only.between(0, 1).summary.splitlines()[1].startswith("first: ")
    assert step.layer("last").sort("active").pair == ("middle", "end")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda found: found.sort("luck"), ["'luck'", "top_max"]),
        (lambda found: found["luck"], ["'luck'"]),
        (lambda found: found[0]["luck"], ["'luck'", "top_max"]),
        (lambda found: found.layer("frist"), ["'frist'", "first, narrow"]),
        (lambda found: found.layer(4), ["no layer 4"]),
        (lambda found: found.between(2, 1), ["not compared", "start → middle"]),
        (lambda found: found.between("begin", 1), ["'begin'", "start, middle, end"]),
        (lambda found: found.between(0, 3), ["no store 3", "0 to 2"]),
        (lambda found: found.plot_time("wide", 5), ["no filter 5", "0 to 4"]),
        (lambda found: found.plot_hist(ax=7), ["ax is a int"]),
    ],
)
def test_unknown_names_and_positions_are_refused(stores_only: Comparison, ask: Any, words: list[str]) -> None:
    with pytest.raises(LurkError) as problem:
        ask(stores_only)
    assert all(word in str(problem.value) for word in words), problem.value
    with pytest.raises(IndexError):
        stores_only[22]


def test_former_names_of_arguments_and_classes_warn(with_networks: Comparison) -> None:
    old: Any = with_networks
    with pytest.warns(DeprecationWarning, match="wanted= is now layer="):
        assert list(old.layer(wanted="wide")) == list(with_networks.layer("wide"))
    with pytest.warns(DeprecationWarning, match="across= is now x="):
        assert old.plot_against(across="maps", y="weights").get_xlabel() == "activation maps"
    pyplot.close("all")
    with pytest.warns(DeprecationWarning, match="Row is now ComparisonRow"):
        assert table.Row is ComparisonRow
