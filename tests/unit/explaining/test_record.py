"""Tests of the records of `scores.json`."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

import torchlurk
from torchlurk.explaining import METHODS
from torchlurk.explaining.record import ScoresFile


def test_the_documentation_names_every_key() -> None:
    text = (Path(torchlurk.__file__).parents[1] / "docs/reference/attribution.md").read_text("utf-8")

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return {*value, *(key for inner in value.values() for key in keys(inner))}
        return {key for inner in value for key in keys(inner)} if isinstance(value, list) else set()

    schema = json.loads(msgspec.json.encode(msgspec.json.schema(ScoresFile)))
    for definition in schema["$defs"].values():
        for key in definition["properties"]:
            assert f"`{key}`" in text, key
    for name in METHODS:
        assert f"`{name}`" in text
