"""Tests of the captions of a contact sheet."""

from __future__ import annotations

from torchlurk.explaining.files import format_probability


def test_probabilities_are_at_most_more_than_99_percent() -> None:
    assert [format_probability(p) for p in (1.0, 0.996, 0.99, 0.5, 0.0)] == [
        ">99%",
        ">99%",
        "99%",
        "50%",
        "0%",
    ]
