"""Which name is for which class: files of names as tools write them, and folders that are numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.test_datasets import pictures
from torchlurk.datasets.class_names import name_classes, names_in_order, read_class_names
from torchlurk.datasets.csv_table import read_table
from torchlurk.datasets.matching import name_folders
from torchlurk.datasets.torchvision_dataset import index_dataset
from torchlurk.errors import LurkError
from torchlurk.pipeline.session import resolve_images

NAMES = (
    "tench",
    "goldfish",
    "shark",
    "ray",
    "cock",
    "hen",
    "ostrich",
    "finch",
    "junco",
    "robin",
    "jay",
    "magpie",
)
FOLDERS = tuple(sorted(map(str, range(12))))
BY_NUMBER = {str(number): name for number, name in enumerate(NAMES)}
RIGHT = tuple(BY_NUMBER[folder] for folder in FOLDERS)


def words(path: Path, text: str, name: str = "names.txt") -> dict[str, str] | tuple[str, ...]:
    (path / name).write_text(text, encoding="utf-8")
    return read_class_names(path / name)


def lines(form: str) -> str:
    return "".join(form.format(number, name) + "\n" for number, name in enumerate(NAMES))


@pytest.mark.parametrize(
    "text",
    [
        lines("{1}"),
        "# classes\nname\n" + lines("{1}"),
        lines("{0}: '{1}'"),
        *(lines("{0}" + between + "{1}") for between in (" ", "  ", ": ", ":", ", ", ",", "\t")),
        *(lines("{0}" + between + "{1}") for between in ("; ", ". ", " - ", "=")),
        "class_id,name\n" + lines("{0},{1}"),
        "index\tlabel\n" + lines("{0}\t{1}"),
        *(lines("{1}" + between + "{0}") for between in (" ", ",", "\t", ": ")),
        lines('{0},"{1}"'),
        json.dumps(NAMES),
        json.dumps(BY_NUMBER),
        json.dumps({n: [f"n0144{n:04}", name] for n, name in enumerate(NAMES)}),
        json.dumps({name: number for number, name in enumerate(NAMES)}),
        json.dumps({"categories": [{"id": n, "name": name, "group": "x"} for n, name in enumerate(NAMES)]}),
        json.dumps({"model_type": "vit", "id2label": BY_NUMBER}),
        json.dumps(list(enumerate(NAMES))),
        str(dict(enumerate(NAMES))),
        "\n".join(sorted(lines("{0} {1}").splitlines())),
    ],
)  # fmt: skip
def test_folders_that_are_numbers_get_the_names_of_their_numbers(tmp_path: Path, text: str) -> None:
    found = words(tmp_path, text)
    assert name_folders(FOLDERS, found).classes == RIGHT
    padded = tuple(f"{number:02}" for number in range(12))
    assert name_folders(padded, found).classes == NAMES
    assert names_in_order(found if isinstance(found, tuple) else dict(sorted(found.items()))) == NAMES


def test_names_with_numbers_in_them_are_names(tmp_path: Path) -> None:
    for text in (
        "group 0\ngroup 1\n",
        "Boeing 707\nAirbus 320\n",
        "2 doors\n4 doors\n",
        "cat, Felis\ndog, Canis\n",
    ):
        assert words(tmp_path, text) == tuple(text.splitlines())


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
def test_lists_of_names_that_need_no_word(folders: str, names: str, found: str) -> None:
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
def test_what_is_assumed_of_a_list_is_said(folders: str, names: str, found: str, note: str) -> None:
    given = names.split() if " " in names else list(names)
    named = name_folders(folders.split(), given)
    assert named.classes == tuple(found.split() if " " in found else found)
    (line,) = named.notes
    assert re.search(note, line)


@pytest.mark.parametrize(
    ("folders", "names", "message"),
    [
        ("1 2", "a b c d", "4 class words and 2 classes, numbered from 1 to 2: whether the first word"),
        ("0 7", "a b c d", "4 class words and 2 classes"),
        ("0 1 2", "a b", "2 class words and 3 classes"),
        ("01 1", "a b", "the classes '01' and '1' have the same number"),
        ("cat dog", "dog horse", "in another order than the classes: 'dog' would be 'horse'"),
        ("0 1 2", {"1": "a", "2": "b", "3": "c"}, "numbered from 1 to 3 and have none for class 0"),
        ("1 2 3", {"0": "a", "1": "b", "2": "c"}, "numbered from 0 to 2 and have none for class 3"),
        ("cat dog", {"n01": "a", "n02": "b"}, "none of the 2 class words .*'n01', 'n02', .*'cat', 'dog'"),
        ("cat dog", {"0": "a", "1": "b", "2": "c"}, "none of the 3 class words"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused(folders: str, names: Any, message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        name_folders(folders.split(), names.split() if isinstance(names, str) else names)
    assert "\n" not in str(caught.value)


def test_lines_that_begin_with_the_folder(tmp_path: Path) -> None:
    synsets = words(tmp_path, "n01443537 goldfish, Carassius auratus\nn01440764 tench, Tinca tinca\n")
    folders = ("n01440764", "n01443537")
    assert name_folders(folders, synsets).classes == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert name_folders(("A2", "B1"), words(tmp_path, "B1: bee\nA2: ant\n")).classes == ("ant", "bee")
    assert name_folders(("A2", "B1"), words(tmp_path, "bee B1\nant A2\n")).classes == ("ant", "bee")
    whole = words(tmp_path, "dog, Canis\ncat, Felis\n")
    assert name_folders(("cat", "dog"), whole).classes == ("cat, Felis", "dog, Canis")


def test_numbers_of_classes_that_are_no_numbers(tmp_path: Path) -> None:
    index = {"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}
    found = words(tmp_path, json.dumps(index))
    assert name_folders(("n01440764", "n01443537"), found).classes == ("tench", "goldfish")
    assert names_in_order(found) == ("tench", "goldfish")
    # torchvision's class_to_idx
    ids = words(tmp_path, json.dumps({"n01440764": 0, "n01443537": 1}))
    assert name_folders(("n01440764", "n01443537"), ids).classes == ("n01440764", "n01443537")
    assert name_folders(("class1", "class10", "class2"), {"1": "a", "2": "b", "10": "c"}).classes == (
        "a",
        "c",
        "b",
    )
    named = name_folders(("cat", "dog"), {"1": "dogs", "0": "cats"})
    assert named.classes == ("cats", "dogs")
    assert "by number, in the order of the folders: 'cat' is 'cats', 'dog' is 'dogs'" in named.notes[0]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("names:\n  0: tench\n", "data.yaml", "are YAML: write a name a line"),
        ('{"0": {"a": 1}}', "x.json", "JSON of another form: write a name a line"),
        ("[]", "x.json", "JSON of another form"),
        ('{"0": "a",', "x.txt", "begin as JSON does, and are none"),
        ("tench\n", "x.json", "begin as JSON does, and are none"),
        ("n01\ttench\nn01\tshark\n", "x.txt", "name 'n01' twice, 'tench' and 'shark': keep one"),
        ("n01\t0\ttench\n", "x.txt", "line 1, is .*: write the folder's name, a tab, then the words"),
        ("0: a\n0: b\n", "x.txt", "name '0' twice"),
        ('{"0": "a", "0": "b"}', "x.json", "name '0' twice: keep one"),
    ],
)
def test_files_of_names_that_are_not_understood(tmp_path: Path, text: str, name: str, message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        words(tmp_path, text, name)
    assert "\n" not in str(caught.value)


def test_outputs_are_named_by_their_numbers() -> None:
    assert names_in_order({str(n): f"x{n}" for n in (10, 2, 1, 0, 3, 4, 5, 6, 7, 8, 9)})[2] == "x2"
    assert names_in_order({"n02": "b", "n01": "a"}) == ("a", "b")
    with pytest.raises(LurkError, match="are numbered 0, 2: number them from 0 to 1"):
        names_in_order({"0": "a", "2": "b"})


def test_a_data_set_keeps_its_own_order() -> None:
    assert name_classes(["class10", "class2"], ("a", "b")) == ("a", "b")
    assert name_classes(["dog", "cat"], {"0": "dogs", "1": "cats"}) == ("dogs", "cats")
    with pytest.raises(LurkError, match="none of the 1 class words"):
        name_classes(["dog", "cat"], {"7": "x"})

    class MapStyleDataset(list[Any]):
        pass

    items = MapStyleDataset((Image.new("L", (4, 4)), label) for label in (0, 11))
    assert index_dataset(items, "twelve", class_names=NAMES).classes == NAMES
    assert index_dataset(items, "twelve", class_names=(*NAMES, "emu")).classes[11:] == ("magpie", "emu")


def test_labels_of_a_table_are_named_by_number(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{n}.png" for n in range(13)))
    rows = "".join(f"{n}.png,{n}\n" for n in range(12))
    (tmp_path / "t.csv").write_text(f"filename,class_id\n{rows}12.png,\n")
    found = read_table(tmp_path / "t.csv", class_names=NAMES)
    assert [found.classes[label] for label in found.labels] == [*NAMES, "no label"]
    assert found.notes[0].endswith("'0' is 'tench', '11' is 'magpie'")
    (tmp_path / "t.csv").write_text("path\n0.png\n")
    with pytest.raises(LurkError, match="has no labels that class words could name"):
        read_table(tmp_path / "t.csv", class_names=NAMES)


def test_names_beside_a_data_set_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"1": "dogs", "0": "cats"}')
    pairs = [(Image.new("L", (4, 4)), 1), (Image.new("L", (4, 4)), 0)]
    assert resolve_images(pairs, tmp_path / "names.json").classes == ("cats", "dogs")
