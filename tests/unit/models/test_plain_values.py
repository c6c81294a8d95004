"""Plain values survive JSON."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch

from torchlurk.models.plain_values import NotPlainError, from_json, to_json


def test_plain_values_survive_json() -> None:
    value = {"a": [1, 2**70, -0.5, float("inf"), (True, None)], 3: b"\0x", "d": torch.bfloat16}
    assert from_json(to_json(value)) == value
    for tensor in (
        torch.arange(6).reshape(2, 3),
        torch.tensor(1.5).half(),
        torch.empty(0, 2),
        torch.ones(2) * 1j,
    ):
        again = from_json(to_json(tensor))
        assert again.dtype is tensor.dtype
        assert torch.equal(again, tensor)
    for other in ({1, 2}, object(), np.float64(1), {"a": [argparse.Namespace()]}):
        with pytest.raises(NotPlainError):
            to_json(other)
    for damaged in (["tensor", "float32", [9], ""], ["none"], 3, ["dict", 1]):
        with pytest.raises(ValueError, match=r"no value"):
            from_json(damaged)
