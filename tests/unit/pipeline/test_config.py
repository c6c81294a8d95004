"""Tests of the options of a run, and of their form in a store."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.processes import run_without_torch
from torchlurk import Lurk
from torchlurk.pipeline.config import (
    AscentConfig,
    CircuitsConfig,
    GradientsConfig,
    ScanConfig,
    SessionOptions,
    config_to_record,
    same_results,
)


def test_the_store_keeps_the_names_of_its_format() -> None:
    assert config_to_record(AscentConfig(strategy="naive")) == {
        "way": "naive", "objective": "mean", "steps": 42, "resolutions": 3, "seed": 0, "batch_size": 4,
        "precision": "float32",
    }  # fmt: skip
    assert config_to_record(GradientsConfig(certify="all")) == {"method": "deconv", "batch_size": 16}
    assert config_to_record(ScanConfig())["layers"] == ["kind:Conv2d"]


def test_the_precision_of_gradients_is_recorded_if_it_is_not_that_of_early_versions() -> None:
    early = {"method": "deconv", "batch_size": 16}
    rounded = config_to_record(GradientsConfig(precision="bfloat16"))
    assert rounded == {**early, "precision": "bfloat16"}
    assert same_results(early, config_to_record(GradientsConfig()))
    assert not same_results(early, rounded)


def test_options_that_select_filters_do_not_affect_results() -> None:
    recorded = config_to_record(GradientsConfig())
    assert same_results(recorded, {**recorded, "certify": "all", "filters": 3})
    assert not same_results(recorded, {**recorded, "method": "guided"})
    # Earlier stores have images that were made at one size and do not say so.
    former = {"way": "fourier", "steps": 64}
    assert same_results(former, {**former, "resolutions": 1})
    assert same_results({**former, "resolutions": 1}, former)
    assert not same_results(former, {**former, "resolutions": 3})
    assert same_results(None, None)
    assert not same_results(recorded, None)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (Lurk.__init__, SessionOptions()),
        (Lurk.compute_grads, GradientsConfig()),
        (Lurk.compute_viz, AscentConfig()),
    ],
)
def test_lurk_has_the_defaults_of_the_dataclasses(method: Any, options: Any) -> None:
    parameters = inspect.signature(method).parameters
    of_store_or_device = {"precision", "steps"}
    shared = parameters.keys() & vars(options).keys() - of_store_or_device
    assert len(shared) >= 2
    for name in shared:
        assert parameters[name].default == getattr(options, name), name


def test_circuits_have_the_default_of_the_dataclass() -> None:
    assert inspect.signature(Lurk.compute_circuits).parameters["images"].default == CircuitsConfig().images


def test_the_defaults_are_read_without_torch() -> None:
    run_without_torch("from torchlurk.pipeline.config import ScanConfig; assert ScanConfig.k == 4")
