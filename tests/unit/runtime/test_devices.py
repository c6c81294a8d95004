"""Defaults of a device, for CPUs with and without instructions for bfloat16."""

from __future__ import annotations

import pytest
import torch

from torchlurk.runtime.devices import fastest_precision


@pytest.mark.parametrize(
    ("amx", "avx", "expected"),
    [
        (False, False, "float32"),
        (True, False, "bfloat16"),
        (False, True, "bfloat16"),
        (True, True, "bfloat16"),
    ],
)
def test_bfloat16_is_chosen_if_the_cpu_has_instructions_for_it(
    amx: bool, avx: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert fastest_precision(torch.device("cpu")) == expected
