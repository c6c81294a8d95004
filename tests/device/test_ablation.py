"""Ablation on any device: the values of the CPU, in every memory format."""

from __future__ import annotations

import pytest
import torch

from tests.device.helpers import check_close
from tests.networks import BRANCHING_LAYERS, Branching, seeded
from torchlurk.circuits.ablation import FixedChannels, channel_means
from torchlurk.circuits.ablation_effects import AblationBatch, ablation_effects
from torchlurk.circuits.ablation_means import AblationEffects
from torchlurk.models.runner import MemoryFormat, Runner

pytestmark = pytest.mark.device

CPU = torch.device("cpu")


def measure(device: torch.device, memory_format: MemoryFormat) -> tuple[tuple[float, ...], AblationEffects]:
    x = torch.randn(5, 3, 21, 26, generator=torch.Generator().manual_seed(0))
    runner = Runner(seeded(Branching).to(device), memory_format=memory_format)
    with torch.no_grad(), runner.in_memory_format():
        values = channel_means(runner, "first", [1, 4], [x.to(device)])
        names = tuple(f"{row}.png" for row in range(len(x)))
        batch = AblationBatch(x.to(device), names, torch.arange(5) % 3)
        fixed = FixedChannels("first", (1, 4), (values[0], 0.0))
        return values, ablation_effects(runner, fixed, list(BRANCHING_LAYERS), [batch], logits=True)


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_values_are_those_of_the_cpu(device: torch.device, memory_format: MemoryFormat) -> None:
    values, found = measure(device, memory_format)
    expected_values, expected = measure(CPU, "contiguous")
    assert values == pytest.approx(expected_values, rel=1e-4)
    assert found.images == expected.images == 5
    assert found.logits is not None
    assert expected.logits is not None
    for mine, theirs in [
        (found.logits, expected.logits),
        *((found.layers[name], expected.layers[name]) for name in BRANCHING_LAYERS),
    ]:
        check_close(mine.before, theirs.before, CPU)
        check_close(mine.after, theirs.after, CPU)
    assert found.logits.agreement == expected.logits.agreement
    assert found.logits.accuracy == expected.logits.accuracy
