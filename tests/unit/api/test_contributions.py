"""Tests of `torchlurk.contributions`: its parts, its text, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import torchlurk
from tests.networks import seeded
from torchlurk.errors import LurkError


def net() -> nn.Sequential:
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(5, 3),
        )
    )  # fmt: skip


X = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(0))


def test_the_strongest_unit_is_taken_where_no_position_is_named() -> None:
    model = net()
    found = torchlurk.contributions(model, X, "2:3")
    maps = model[:3](X)[0, 3].detach()
    assert found.score == pytest.approx(float(maps.max()), abs=1e-6)
    assert found.unit.at == divmod(int(maps.argmax()), maps.shape[1])
    assert found == torchlurk.contributions(model, X, found.unit)
    assert found.score == pytest.approx(found.excitation + found.inhibition + found.rest, abs=1e-9)
    assert found.rest == pytest.approx(model[2].bias[3].item(), abs=1e-6)
    values = [abs(one.value) for one in found.filters]
    assert values == sorted(values, reverse=True)


def test_a_class_is_a_unit_of_the_logits() -> None:
    model = net()
    found = torchlurk.contributions(model, X, "logits:2")
    assert (found.unit.layer, found.unit.at, found.upstream) == ("6", (0, 0), ("2",))
    means = model[:5](X).flatten()
    wanted = (model[6].weight[2] * means).detach()
    for one in found.filters:
        assert one.value == pytest.approx(float(wanted[one.channel]), abs=1e-6)


def test_layers_choose_what_counts_as_upstream() -> None:
    found = torchlurk.contributions(net(), X, "6:0", layers=["0"])
    assert (found.upstream, len(found.filters)) == (("0",), 4)


def test_the_text_shows_the_sum_and_the_strongest_filters() -> None:
    lines = str(torchlurk.contributions(net(), X, "2:0@1,2")).splitlines()
    assert lines[0].startswith("2:0@1,2: ")
    assert " excitation - " in lines[0]
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("x", "unit", "words"),
    [
        ("x", "2:0", r"x is str; give one image as a tensor of floats, \(1, C, H, W\)"),
        (torch.zeros(2, 3, 9, 9), "2:0", r"x is \(2, 3, 9, 9\), torch.float32"),
        (torch.zeros(1, 3, 9, 9, dtype=torch.uint8), "2:0", r"x is \(1, 3, 9, 9\), torch.uint8"),
        (X, "2", "'2' is not a unit"),
        (X, "2:9", "5 filters"),
        (X, "2:0@99,0", "8 x 10"),
        (X, "7:0", "no layer '7'"),
    ],
)
def test_bad_arguments_are_refused(x: object, unit: str, words: str) -> None:
    with pytest.raises(LurkError, match=words):
        torchlurk.contributions(net(), x, unit)  # type: ignore[arg-type]
