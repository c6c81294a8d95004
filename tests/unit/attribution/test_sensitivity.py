"""Tests of `gradients`: what it refuses."""

from __future__ import annotations

import pytest
import torch

import torchlurk
from torchlurk.errors import LurkError


def net() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )


@pytest.mark.parametrize("x", ["x", torch.zeros(1, 3, 10, 12, dtype=torch.uint8)])
def test_the_input_must_be_a_tensor_of_floats(x: object) -> None:
    with pytest.raises(LurkError, match=r"x is a (str|torch\.uint8); give a tensor of floats"):
        torchlurk.gradients(net(), x, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "more", "words"),
    [
        (9, {}, "0 to 3"),
        ("0:9", {}, "4 filters"),
        ("7", {}, "no layer '7'"),
        (0, {"layers": ["x"]}, "no layer 'x'"),
        (0, {"parameters": ["1"]}, "no parameters"),
        ("0", {}, r"\(2, 4, 8, 10\); give weights= of that shape"),
        ("0", {"weights": torch.ones(3)}, r"weights have the shape \(3,\)"),
        (lambda output: 3.0, {}, "returns a float"),
        (lambda output: torch.ones(2), {}, "has no gradient"),
    ],
)
def test_bad_arguments_are_refused(target: object, more: dict[str, object], words: str) -> None:
    with pytest.raises(LurkError, match=words):
        torchlurk.gradients(net(), torch.zeros(2, 3, 10, 12), target, **more)
