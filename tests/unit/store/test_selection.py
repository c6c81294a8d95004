"""Which layers and filters of a store a selection means."""

from __future__ import annotations

import pytest

from torchlurk.errors import LurkError
from torchlurk.store.schema import LayerRecord
from torchlurk.store.selection import Selection, check_channel, find_layer, selected_channels


def layer(name: str, kind: str, channels: int) -> LayerRecord:
    return LayerRecord(
        name=name, kind=kind, channels=channels, shape=(channels, 1, 1), receptive_field=None, data="layers/x"
    )


LAYERS = [
    layer("stem", "Conv2d", 3), layer("body.0", "Conv2d", 4), layer("body.1", "ReLU", 4),
    layer("head.0", "Linear", 9), layer("[odd]*", "Conv2d", 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (None, ["stem", "body.0", "body.1", "head.0", "[odd]*"]),
        (("head.0", "stem"), ["stem", "head.0"]),
        (("body.*",), ["body.0", "body.1"]),
        (("kind:conv*",), ["stem", "body.0", "[odd]*"]),
        (("kind:conv2d", "body.*"), ["body.0"]),
        (("kind:relu", "stem"), ["stem", "body.1"]),
        (("logits",), ["head.0"]),
        (("[odd]*",), ["[odd]*"]),
    ],
)
def test_patterns_select_layers(patterns: tuple[str, ...] | None, names: list[str]) -> None:
    assert list(selected_channels(Selection(patterns), LAYERS, "head.0")) == names


@pytest.mark.parametrize(
    ("filters", "channels"), [(None, (0, 1, 2)), (2, (0, 1)), (8, (0, 1, 2)), ((2, 0, 2), (0, 2)), ((), ())]
)
def test_filters_select_channels(filters: int | tuple[int, ...] | None, channels: tuple[int, ...]) -> None:
    assert selected_channels(Selection(("stem",), filters), LAYERS) == {"stem": channels}


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(("boddy.0",)), ["'boddy.0'", "did you mean body."]),
        (Selection(("zzz",)), ["'zzz'", "there are 3 Conv2d, 1 ReLU, 1 Linear, such as stem, body.0"]),
        (Selection(("kind:Conv2",)), ["kind:Conv2d"]),
        (Selection(("kind:ReLU", "head.*")), ["no scanned layer matches 'head.*' and 'kind:ReLU'"]),
        (Selection(("logits",)), ["'logits'"]),
        (Selection(None, (8,)), ["'stem'", "no filter 8", "choose from 0 to 2"]),
        (Selection(("stem",), (-1,)), ["no filter -1"]),
    ],
)
def test_a_selection_without_a_match_is_refused_with_the_nearest_names(
    selection: Selection, words: list[str]
) -> None:
    with pytest.raises(LurkError) as refused:
        selected_channels(selection, LAYERS)
    assert all(word in str(refused.value) for word in words), refused.value


def test_positions_and_channels_count_from_either_end() -> None:
    assert find_layer(LAYERS, 1) is find_layer(LAYERS, "body.0") is find_layer(LAYERS, -4)
    assert (check_channel(LAYERS[0], 2), check_channel(LAYERS[0], -1)) == (2, 2)
    for wrong in (5, -6, "body"):
        with pytest.raises(LurkError):
            find_layer(LAYERS, wrong)
    for channel in (3, -4):
        with pytest.raises(LurkError, match="0 to 2"):
            check_channel(LAYERS[0], channel)
