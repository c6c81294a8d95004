"""Distributions and sentences."""

from __future__ import annotations

import pytest

from torchlurk.comparing.measures import MEASURES
from torchlurk.comparing.summaries import distribution, layer_change, pair_sentences
from torchlurk.store.comparison import FilterChanges

Columns = dict[str, list[float | None]]


def test_a_histogram_counts_each_value_once() -> None:
    result = distribution(MEASURES["active"], [0.0, -0.5, 1.0, None, 1e-7])
    assert result is not None
    assert (result.counted, result.unchanged, result.max, result.most) == (4, 1, 1, 2)
    assert result.median == pytest.approx(0.25)
    assert sum(result.histogram) == 4
    middle = len(result.histogram) // 2
    assert result.histogram[middle] == 2
    assert distribution(MEASURES["active"], [None, None]) is None


def test_a_layer_with_one_replaced_filter_is_not_the_one_that_changed_least() -> None:
    columns = {"still": [0.0] * 9, "replaced": [0.0] * 8 + [1.0], "after": [0.01] * 9}
    changes = {
        name: layer_change(FilterChanges(0, 1, {"maps": list(values)}, None, None))
        for name, values in columns.items()
    }
    result = pair_sentences(changes, "maps")
    assert result.startswith(
        "Of 3 layers, 2 changed. By activation maps, replaced changed most (0.11 on average)"
    )


@pytest.mark.parametrize(
    ("values", "partners", "sentences"),
    [
        ({"maps": [0.0, 0.0]}, None, "Nothing changed in its 2 filters."),
        ({"maps": [0.0]}, None, "Nothing changed in its only filter."),
        (
            {"top_max": [0.25, 0.75]}, None,
            "All 2 filters changed. On average, 50% of their top images by max are replaced, most in filter "
            "1 (75%).",
        ),
        (
            {"maps": [0.25, 0.0, 0.0], "weights": [0.0, 0.0, 0.0]}, [(1, 0.875), (1, 1.0), (2, 1.0)],
            "1 of its 3 filters changed. Their own weights are the same: their input changed. Their maps "
            "before and after correlate at 1.00 in the median, least in filter 0 (0.75). 1 filter is more "
            "like another filter after than like the one in the same place.",
        ),
        (
            {"maps": [0.001], "weights": [0.00025]}, None,
            "Its only filter changed. Their weights changed by 0.025% in the median. Their maps before and "
            "after correlate at over 0.99 in the median.",
        ),
    ],
)  # fmt: skip
def test_the_sentences_of_a_layer(
    values: Columns, partners: list[tuple[int, float] | None] | None, sentences: str
) -> None:
    assert layer_change(FilterChanges(0, 1, values, partners, None)).summary == sentences
