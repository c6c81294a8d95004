"""Classes among the outputs of the original network."""

from __future__ import annotations

import pytest

from torchlurk.training.class_mapping import match_outputs


@pytest.mark.parametrize(
    ("classes", "outputs"),
    [
        (("goldfish, Carassius auratus", "TABBY"), [1, 2]),
        (("tabby", "goldfish"), [2, 1]),
        (("crane", "goldfish"), None),
        (("goldfish", "unicorn"), None),
        (("goldfish", "goldfish, another"), None),
    ],
)
def test_classes_are_found_among_the_outputs(classes: tuple[str, ...], outputs: list[int] | None) -> None:
    assert match_outputs(classes, ("crane", "goldfish", "tabby, tabby cat", "crane")) == outputs
    assert match_outputs(classes, ()) is None
