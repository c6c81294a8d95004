"""Files of class names, in the forms that tools write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.datasets.conftest import NAMES, pictures
from torchlurk.datasets.class_names import name_classes, names_in_order, read_class_names
from torchlurk.datasets.matching import name_folders
from torchlurk.datasets.open import open_images
from torchlurk.datasets.torchvision_dataset import index_dataset
from torchlurk.errors import LurkError

FOLDERS = tuple(sorted(map(str, range(12))))

BY_NUMBER = {str(number): name for number, name in enumerate(NAMES)}

RIGHT = tuple(BY_NUMBER[folder] for folder in FOLDERS)


def read_text(path: Path, text: str, name: str = "names.txt") -> dict[str, str] | tuple[str, ...]:
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
    found = read_text(tmp_path, text)
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
        assert read_text(tmp_path, text) == tuple(text.splitlines())


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("names:\n  0: tench\n", "data.yaml", "are YAML, which is not read; write one name on each line"),
        ('{"0": {"a": 1}}', "x.json", "JSON of an unknown form; write one name on each line"),
        ("[]", "x.json", "JSON of an unknown form"),
        ('{"0": "a",', "x.txt", "begin like JSON, but are not JSON"),
        ("tench\n", "x.json", "begin like JSON, but are not JSON"),
        ("n01\ttench\nn01\tshark\n", "x.txt", "name 'n01' twice, 'tench' and 'shark'; keep one of them"),
        ("n01\t0\ttench\n", "x.txt", "line 1, is .*; write the folder's name, a tab, then the class name"),
        ("0: a\n0: b\n", "x.txt", "name '0' twice"),
        ('{"0": "a", "0": "b"}', "x.json", "name '0' twice; keep one of them"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, name: str, message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        read_text(tmp_path, text, name)
    assert "\n" not in str(caught.value)


def test_outputs_are_named_by_their_numbers() -> None:
    assert names_in_order({str(n): f"x{n}" for n in (10, 2, 1, 0, 3, 4, 5, 6, 7, 8, 9)})[2] == "x2"
    assert names_in_order({"n02": "b", "n01": "a"}) == ("a", "b")
    with pytest.raises(LurkError, match="are numbered 0, 2; number them from 0 to 1"):
        names_in_order({"0": "a", "2": "b"})


def test_a_data_set_keeps_its_own_order() -> None:
    assert name_classes(["class10", "class2"], ("a", "b")) == ("a", "b")
    assert name_classes(["dog", "cat"], {"0": "dogs", "1": "cats"}) == ("dogs", "cats")
    with pytest.raises(LurkError, match="none of the 1 class names"):
        name_classes(["dog", "cat"], {"7": "x"})

    class MapStyleDataset(list[Any]):
        pass

    items = MapStyleDataset((Image.new("L", (4, 4)), label) for label in (0, 11))
    assert index_dataset(items, "twelve", class_names=NAMES).classes == NAMES
    assert index_dataset(items, "twelve", class_names=(*NAMES, "emu")).classes[11:] == ("magpie", "emu")


def test_one_name_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("tench, Tinca tinca\n\ngoldfish\n")
    assert read_class_names(path) == ("tench, Tinca tinca", "goldfish")
    path.write_text("tench, Tinca tinca\ngoldfish, Carassius auratus\n")
    assert read_class_names(path) == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    path.write_text("n01,tench\nn02,goldfish, gold\n")
    assert read_class_names(path) == {"n01": "tench", "n02": "goldfish, gold"}
    path.write_text("\n \n")
    with pytest.raises(LurkError, match="are empty"):
        read_class_names(path)


def test_a_list_of_another_length_names_both_lengths(tmp_path: Path) -> None:
    assert name_classes(["b", "a"], ("birds", "ants")) == ("birds", "ants")
    with pytest.raises(LurkError, match=r"3 class names and 5 classes \(0, 1, 2, \.\.\.\); .*words="):
        name_classes([str(n) for n in range(5)], ("x", "y", "z"))
    images = pictures(tmp_path / "set", "a/1.png", "b/2.png")
    (tmp_path / "words").write_text("one\ntwo\nthree\n")
    with pytest.raises(LurkError, match=r"3 class names and 2 classes \(a, b\)"):
        open_images(str(images), class_names_file=tmp_path / "words", data_root=tmp_path)


def test_names_by_folder(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("n01\tgoldfish, Carassius auratus\r\n\nn02,frog\nn03\tnaïve\n", encoding="utf-8")
    assert read_class_names(path) == {
        "n01": "goldfish, Carassius auratus",
        "n02": "frog",
        "n03": "naïve",
    }
    path.write_text("n01\tx\nalone\n")
    with pytest.raises(LurkError, match="line 2, is 'alone'"):
        read_class_names(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(LurkError, match="not UTF-8"):
        read_class_names(path)
    with pytest.raises(LurkError, match="cannot be read: No such file"):
        read_class_names(tmp_path / "missing")
