"""The measures, as the documentation lists them."""

from __future__ import annotations

import re
from pathlib import Path

from torchlurk.comparing.measures import MEASURES

ROOT = Path(__file__).parents[3]


def test_the_documentation_lists_every_measure_with_its_range() -> None:
    text = (ROOT / "docs/reference/measures.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \|.*\| (.*?) \|$", text, re.MULTILINE)
    listed = {name: limits for names, limits in rows for name in re.findall(r"`(\w+)`", names)}
    assert list(listed) == list(MEASURES)
    for name, measure in MEASURES.items():
        low, high = (
            None if end is None else f"{end:g}".replace("-", "−") for end in (measure.low, measure.high)
        )
        limits = f"{low} to {high}" if high else f"from {low}" if low else "any"
        assert listed[name] == limits, name
        assert measure.signed == ("signed" in next(line for line in text.splitlines() if f"`{name}`" in line))
        assert measure.edges == sorted(set(measure.edges))
