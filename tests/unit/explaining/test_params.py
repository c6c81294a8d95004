"""Tests of the options of an explanation."""

from __future__ import annotations

import pytest

from tests.processes import run_without_torch
from torchlurk.errors import LurkError
from torchlurk.explaining import METHODS, AttributionParams
from torchlurk.explaining.params import METHOD_NAMES


@pytest.mark.parametrize(
    "given", [{"methods": ("x",)}, {"methods": ()}, {"methods": ("deconv", "deconv")}, {"samples": 0},
              {"steps": 0}, {"sigma": -1.0}, {"sigma": float("nan")}],
)  # fmt: skip
def test_bad_parameters_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(LurkError):
        AttributionParams(**given)  # type: ignore[arg-type]


def test_every_named_method_is_implemented() -> None:
    assert tuple(METHODS) == METHOD_NAMES


def test_the_defaults_are_read_without_torch() -> None:
    run_without_torch(
        """
        from torchlurk.explaining.params import AttributionParams
        assert (AttributionParams.samples, AttributionParams.steps) == (32, 64)
        """
    )
