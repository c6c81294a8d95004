"""Tables of paths and labels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.datasets.conftest import NAMES, picture, pictures
from torchlurk.datasets.batches import batches
from torchlurk.datasets.csv_table import read_table
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.open import open_images
from torchlurk.errors import LurkError


def test_labels_of_a_table_are_named_by_number(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{n}.png" for n in range(13)))
    rows = "".join(f"{n}.png,{n}\n" for n in range(12))
    (tmp_path / "t.csv").write_text(f"filename,class_id\n{rows}12.png,\n")
    found = read_table(tmp_path / "t.csv", class_names=NAMES)
    assert [found.classes[label] for label in found.labels] == [*NAMES, "no label"]
    assert found.notes[0].endswith("'0' is 'tench', '11' is 'magpie'")
    (tmp_path / "t.csv").write_text("path\n0.png\n")
    with pytest.raises(LurkError, match="has no labels that the class names could name"):
        read_table(tmp_path / "t.csv", class_names=NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "img/a.png,cat\nimg/b.png,dog\nimg/c.png,\n",
        "label,path\ncat,img/a.png\ndog,img/b.png\n,img/c.png\n",
        "Path,Label,photographer\nimg/a.png,cat,me\nimg/b.png,dog,you\nimg/c.png\n",
        "\ufeffimg/a.png,cat\r\n\r\n./img/b.png, dog \r\nimg/c.png\r\n",
    ],
)
def test_a_table_of_paths_and_labels(tmp_path: Path, text: str) -> None:
    pictures(tmp_path, "img/a.png", "img/b.png", "img/c.png")
    path = tmp_path / "pets.csv"
    path.write_text(text, encoding="utf-8")
    found = read_table(path)
    assert found.name == "pets"
    assert found.paths == ("img/a.png", "img/b.png", "img/c.png")
    assert [found.classes[label] for label in found.labels] == ["cat", "dog", "no label"]
    assert [b.indices for b in batches(found, Preprocess(size=8, resize=8), workers=1)] == [(0, 1, 2)]
    assert open_images(str(path), class_names_file=None, data_root=tmp_path) == found


@pytest.mark.parametrize(
    "text",
    [
        "filename,class_id\na.png,cat\nb.png,dog\n",
        "Split,File Name,Class\ntrain,a.png,cat\nval,b.png,dog\n",
        ",image_path,TARGET\n0,a.png,cat\n1,b.png,dog\n",
        "img;y\na.png;cat\nb.png;dog\n",
        "sep=;\npath;label\na.png;cat\nb.png;dog\n",
        "filepath\tcategory\na.png\tcat\nb.png\tdog\n",
        "a.png\tcat\nb.png\tdog\n",
        '"file_name"|"label"\n"a.png"|"cat"\n"b.png"|"dog"\n',
    ],
)
def test_headers_and_separators_that_tools_write(tmp_path: Path, text: str) -> None:
    pictures(tmp_path, "a.png", "b.png")
    for name in ("t.csv", "t.tsv"):
        (tmp_path / name).write_text(text)
        found = open_images(str(tmp_path / name), class_names_file=None, data_root=tmp_path)
        assert (found.paths, found.labels, found.classes) == (("a.png", "b.png"), (0, 1), ("cat", "dog"))


def test_other_separators_in_names_and_labels_are_kept(tmp_path: Path) -> None:
    pictures(tmp_path, "a;b.png", "im/c.png")
    (tmp_path / "t.csv").write_text('path,label\na;b.png,x|y\nim\\c.png,"q, r"\n')
    found = read_table(tmp_path / "t.csv")
    assert (found.paths, found.classes) == (("a;b.png", "im/c.png"), ("q, r", "x|y"))


def test_the_digest_covers_labels_and_bytes(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    path, seen = tmp_path / "t.csv", set()
    for text in ("a.png,x\nb.png,y\n", "a.png,y\nb.png,x\n", "b.png,y\na.png,x\n"):
        path.write_text(text)
        seen.add(read_table(path).digest)
    pictures(tmp_path, "b.png")
    seen.add(read_table(path).digest)
    assert len(seen) == 4


def test_paths_are_relative(tmp_path: Path) -> None:
    pictures(tmp_path / "elsewhere", "a.png")
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "t.csv"
    path.write_text(f"{tmp_path / 'elsewhere' / 'a.png'},x\n")
    found = read_table(path)
    assert found.paths == ("../elsewhere/a.png",)
    assert found.open(0).size == (12, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no images"),
        ("path,label\n", "lists no images"),
        ("a.png,x\na.png,y\n", r"line 2: 'a\.png' is already on line 1; list it once"),
        ("a.png,x\n,y\n", r"line 2, is ',y'; write path,label"),
        ("a.png,x,more\n", "line 1, is 'a.png,x,more'; write"),
        ("who,what\na.png,x\n", r"line 1, is 'who,what': neither headers"),
        (
            "file,class_id,class_name\na.png,0,x\n",
            r"'class_id' and 'class_name' may each be the label; rename",
        ),
        (
            "path,image,label\na.png,a.png,x\n",
            r"columns 'path', 'image', 'label': 'path' and 'image' may each",
        ),
        (
            "file,breed,age\na.png,x,1\n",
            r"columns 'file', 'breed', 'age': none of them is known to hold the labels; write",
        ),
        ("image,x,y\na.png,1,2\n", r"columns 'image', 'x', 'y': none of them is known to hold the labels"),
        ("who;what\na.png;x\n", r"line 1, is 'who,what': neither headers"),
        ("z.png,x\n", r"none of its 1 images exists, 'z\.png' for example; write paths relative to"),
    ],
)
def test_a_malformed_table_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    pictures(tmp_path, "a.png")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(LurkError, match=message) as caught:
        read_table(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match="No such file"):
        open_images(str(tmp_path / "t.csv"), class_names_file=None, data_root=tmp_path)
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(LurkError, match="cannot be read"):
        read_table(tmp_path / "t.csv")


def test_a_table_that_lists_a_pipe_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    picture().save(tmp_path / "good.png")
    (tmp_path / "t.csv").write_text("pipe.png,a\ngood.png,a\n")
    table = read_table(tmp_path / "t.csv")
    (batch,) = batches(table, Preprocess(size=16, resize=20), workers=1)
    assert batch.indices == (1,)
    assert [s.reason for s in batch.skipped] == ["a pipe or a device, not a file"]
