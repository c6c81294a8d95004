"""Sums of contributions: any division into batches and shards gives the sums over all units."""

from __future__ import annotations

import torch

from torchlurk.pipeline.contribution_sums import (
    ContributionSums,
    merge_contents,
    merge_sums,
    no_units,
    sum_units,
    sums_from_bytes,
    sums_to_bytes,
)

CHANNELS = torch.tensor([4, 1, 4, 0, 1, 1])
SCORES = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
VALUES = torch.arange(18.0).reshape(6, 3)


def sums(*units: int, name: str = "up", repeated: bool = False) -> ContributionSums:
    chosen = list(units)
    return sum_units(CHANNELS[chosen], SCORES[chosen], {name: VALUES[chosen]}, repeated=repeated)


def equal(a: ContributionSums, b: ContributionSums) -> bool:
    return (
        a.contributions.keys() == b.contributions.keys()
        and all(torch.equal(values, b.contributions[name]) for name, values in a.contributions.items())
        and all(torch.equal(getattr(a, key), getattr(b, key)) for key in ("channels", "counts", "scores"))
        and (a.repeated, a.left_out) == (b.repeated, b.left_out)
    )


def test_units_of_a_filter_are_added() -> None:
    found = sums(*range(6))
    assert found.channels.tolist() == [0, 1, 4]
    assert found.counts.tolist() == [1, 3, 2]
    assert found.scores.tolist() == [8.0, 50.0, 5.0]
    rows = [VALUES[3], VALUES[1] + VALUES[4] + VALUES[5], VALUES[0] + VALUES[2]]
    assert torch.equal(found.contributions["up"], torch.stack(rows).double())


def test_merged_parts_are_the_whole() -> None:
    whole = sums(*range(6))
    assert equal(merge_sums(sums(0, 1, 2), sums(3, 4, 5)), whole)
    assert equal(merge_sums(merge_sums(no_units(), sums(5, 0)), sums(1, 2, 3, 4)), whole)
    assert equal(merge_sums(whole, no_units()), whole)


def test_layers_upstream_of_one_part_alone_have_zeros_in_the_other() -> None:
    found = merge_sums(sums(0, name="left"), sums(1, name="right", repeated=True))
    assert found.repeated
    assert found.contributions["left"].tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 2.0]]
    assert found.contributions["right"].tolist() == [[3.0, 4.0, 5.0], [0.0, 0.0, 0.0]]


def test_units_that_are_not_finite_are_left_out_and_counted() -> None:
    values, scores = VALUES.clone(), SCORES.clone()
    values[0, 1], scores[1] = float("nan"), float("inf")
    found = sum_units(CHANNELS, scores, {"up": values}, repeated=False)
    rest = sums(2, 3, 4, 5)
    assert found.left_out == 2
    assert equal(
        found, ContributionSums(rest.channels, rest.counts, rest.scores, rest.contributions, False, 2)
    )
    assert merge_sums(found, found).left_out == 4


def test_bytes_give_the_sums_back() -> None:
    layers = {
        "a/\udcff": sums(0, 1, repeated=True),
        "first": sum_units(CHANNELS, SCORES, {}, repeated=False),
        "none": no_units(),
    }
    content = sums_to_bytes(layers)
    assert content == sums_to_bytes(layers)
    found = sums_from_bytes(content, layers)
    assert list(found) == list(layers)
    assert all(equal(found[name], layers[name]) for name in layers)
    assert list(sums_from_bytes(content, ["first"])) == ["first"]


def test_contents_are_merged_layer_by_layer() -> None:
    contents = [sums_to_bytes({"a": sums(0, 1), "b": sums(2)}), sums_to_bytes({"a": sums(2, 3)})]
    found = merge_contents(iter(contents), ["a", "b", "c"])
    assert equal(found["a"], sums(0, 1, 2, 3))
    assert equal(found["b"], sums(2))
    assert equal(found["c"], no_units())
