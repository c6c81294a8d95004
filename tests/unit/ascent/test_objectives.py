"""The objectives of gradient ascent and their registry."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import torch

from torchlurk.ascent.objectives import OBJECTIVES, ObjectiveName, centre_unit, channel_mean, unit_at

MAPS = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
CHANNELS = torch.tensor([2, 0])


def test_channel_mean_is_the_mean_of_the_own_map() -> None:
    assert channel_mean(MAPS, CHANNELS).tolist() == [MAPS[0, 2].mean(), MAPS[1, 0].mean()]


def test_centre_unit_is_in_the_middle_of_the_own_map() -> None:
    assert centre_unit(MAPS, CHANNELS).tolist() == [MAPS[0, 2, 2, 2], MAPS[1, 0, 2, 2]]


def test_unit_at_is_the_unit_in_that_row_and_column() -> None:
    assert unit_at(3, 1)(MAPS, CHANNELS).tolist() == [MAPS[0, 2, 3, 1], MAPS[1, 0, 3, 1]]


def test_the_registry_has_exactly_the_typed_names() -> None:
    assert tuple(OBJECTIVES) == get_args(ObjectiveName)


def test_the_choices_are_listed_without_loading_torch() -> None:
    code = "import sys, torchlurk.ascent.objectives; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
