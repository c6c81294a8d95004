"""Tests of targets by name."""

from __future__ import annotations

import pytest

from torchlurk.attribution.targets import LayerUnit, find_class, parse_unit
from torchlurk.errors import LurkError

NAMES = ("tabby", "tiger cat", "tiger", "bull mastiff", "crane", "crane", "König")


def test_a_class_is_found_by_number_name_or_part_of_a_name() -> None:
    assert find_class("3", NAMES, 7) == find_class(3, (), 7) == 3
    assert find_class("TABBY", NAMES, 7) == 0
    assert find_class("tiger", NAMES, 7) == 2, "a whole name goes before a part of another"
    assert find_class(" mastiff ", NAMES, 7) == 3
    assert find_class("könig", NAMES, 7) == 6


@pytest.mark.parametrize(
    ("wanted", "names", "words"),
    [
        ("7", NAMES, ["class 7", "0 to 6"]),
        (-1, NAMES, ["class -1", "0 to 6"]),
        ("tabbi", NAMES, ["'tabbi'", "did you mean tabby (0)?"]),
        ("xyz", NAMES, ["'xyz'", "tabby (0), tiger cat (1), ", "König (6)"]),
        ("", NAMES, ["''", "tabby (0)"]),
        ("ti", NAMES, ["'ti'", "3 classes", "tiger cat (1), tiger (2), bull mastiff (3)"]),
        ("crane", NAMES, ["2 classes (crane (4), crane (5))", "number"]),
        ("tabby", (), ["'tabby'", "0 to 6", "classes="]),
        ("dog", tuple(f"dog {i}" for i in range(40)), ["fits 40 classes", "dog 11 (11) and 28 more"]),
    ],
)
def test_unknown_and_ambiguous_classes_are_refused(
    wanted: str | int, names: tuple[str, ...], words: list[str]
) -> None:
    with pytest.raises(LurkError) as problem:
        find_class(wanted, names, len(names) or 7)
    for word in words:
        assert word in str(problem.value)
    assert "\n" not in str(problem.value)


def test_parse_unit() -> None:
    assert parse_unit("features.28:7") == LayerUnit("features.28", 7)
    assert parse_unit("a:0@12,3") == LayerUnit("a", 0, (12, 3))
    assert str(parse_unit("a.b:7@6,3")) == "a.b:7@6,3"
    assert str(parse_unit("a.b:7")) == "a.b:7"
    for wrong in ("features.28", "a:x", "a:1@2", "a:-1", ":1", "a:1@2,3,4", ""):
        with pytest.raises(LurkError, match="write LAYER:CHANNEL"):
            parse_unit(wrong)
