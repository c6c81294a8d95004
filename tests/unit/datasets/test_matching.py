"""Which class name belongs to which folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from torchlurk.datasets.class_names import names_in_order, read_class_names
from torchlurk.datasets.matching import name_folders
from torchlurk.errors import LurkError


def read_text(path: Path, text: str, name: str = "names.txt") -> dict[str, str] | tuple[str, ...]:
    (path / name).write_text(text, encoding="utf-8")
    return read_class_names(path / name)


@pytest.mark.parametrize(
    ("folders", "names", "found"),
    [
        # as far as the bytes' order is that of the numbers, nothing changes, and nothing is said
        ("0 1 2", "a b c", "a b c"),
        ("1 2 3", "a b c", "a b c"),
        ("n01440764 n01443537", "tench goldfish", "tench goldfish"),
        ("bird cat", "birds cats", "birds cats"),
        # a list of the folders' own names, in whatever order
        ("cat dog", "dog cat", "cat dog"),
        ("cat dog", "bird dog cat", "cat dog"),
        ("Zebra golden_retriever", "Golden_Retriever zebra", "zebra Golden_Retriever"),
    ],
)
def test_unambiguous_lists_are_assigned_without_a_note(folders: str, names: str, found: str) -> None:
    named = name_folders(folders.split(), names.split())
    assert named.classes == tuple(found.split())
    assert named.notes == ()


@pytest.mark.parametrize(
    ("folders", "names", "found", "note"),
    [
        ("1 10 2", "a b c", "a c b", r"numbers \(1, 2, 10\): '1' is 'a', '10' is 'c'"),
        (
            "0 1 10 2 3 4 5 6 7 8 9",
            "abcdefghijk",
            "abkcdefghij",
            "of the classes' numbers: '0' is 'a', '10' is 'k'",
        ),
        ("c_1 c_10 c_2", "a b c", "a c b", "'c_10' is 'c'"),
        ("0.0 1.0 10.0 2.0", "a b c d", "a b d c", "'10.0' is 'd'"),
        ("0 2 5", "a b c", "a b c", r"numbers \(0, 2, 5\): '0' is 'a', '5' is 'c'"),
        ("0 2", "a b c d", "a c", "from a list of 4, whose first is for 0: '0' is 'a', '2' is 'c'"),
        ("1 4", "a b c d", "a d", "from a list of 4, whose first is for 1: '1' is 'a', '4' is 'd'"),
        ("a1 a10 a2 b1", "q r s t", "q s r t", "natural order of the folders, 'a2' before 'a10'"),
    ],
)
def test_assumptions_about_a_list_are_reported(folders: str, names: str, found: str, note: str) -> None:
    given = names.split() if " " in names else list(names)
    named = name_folders(folders.split(), given)
    assert named.classes == tuple(found.split() if " " in found else found)
    (line,) = named.notes
    assert re.search(note, line)


@pytest.mark.parametrize(
    ("folders", "names", "message"),
    [
        ("1 2", "a b c d", "4 class names and 2 classes, numbered from 1 to 2, so the first name"),
        ("0 7", "a b c d", "4 class names and 2 classes"),
        ("0 1 2", "a b", "2 class names and 3 classes"),
        ("01 1", "a b", "the classes '01' and '1' have the same number"),
        ("cat dog", "dog horse", "in another order than the classes: 'dog' would be 'horse'"),
        ("0 1 2", {"1": "a", "2": "b", "3": "c"}, "numbered from 1 to 3 and have none for class 0"),
        ("1 2 3", {"0": "a", "1": "b", "2": "c"}, "numbered from 0 to 2 and have none for class 3"),
        ("cat dog", {"n01": "a", "n02": "b"}, "none of the 2 class names .*'n01', 'n02', .*'cat', 'dog'"),
        ("cat dog", {"0": "a", "1": "b", "2": "c"}, "none of the 3 class names"),
    ],
)  # fmt: skip
def test_ambiguous_names_are_refused(folders: str, names: Any, message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        name_folders(folders.split(), names.split() if isinstance(names, str) else names)
    assert "\n" not in str(caught.value)


def test_lines_that_begin_with_the_folder(tmp_path: Path) -> None:
    synsets = read_text(tmp_path, "n01443537 goldfish, Carassius auratus\nn01440764 tench, Tinca tinca\n")
    folders = ("n01440764", "n01443537")
    assert name_folders(folders, synsets).classes == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert name_folders(("A2", "B1"), read_text(tmp_path, "B1: bee\nA2: ant\n")).classes == ("ant", "bee")
    assert name_folders(("A2", "B1"), read_text(tmp_path, "bee B1\nant A2\n")).classes == ("ant", "bee")
    whole = read_text(tmp_path, "dog, Canis\ncat, Felis\n")
    assert name_folders(("cat", "dog"), whole).classes == ("cat, Felis", "dog, Canis")


def test_names_by_number_for_folders_without_numbers(tmp_path: Path) -> None:
    index = {"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}
    found = read_text(tmp_path, json.dumps(index))
    assert name_folders(("n01440764", "n01443537"), found).classes == ("tench", "goldfish")
    assert names_in_order(found) == ("tench", "goldfish")
    # torchvision's class_to_idx
    ids = read_text(tmp_path, json.dumps({"n01440764": 0, "n01443537": 1}))
    assert name_folders(("n01440764", "n01443537"), ids).classes == ("n01440764", "n01443537")
    assert name_folders(("class1", "class10", "class2"), {"1": "a", "2": "b", "10": "c"}).classes == (
        "a",
        "c",
        "b",
    )
    named = name_folders(("cat", "dog"), {"1": "dogs", "0": "cats"})
    assert named.classes == ("cats", "dogs")
    assert "by number, in the order of the folders: 'cat' is 'cats', 'dog' is 'dogs'" in named.notes[0]
