"""Tables, torchvision's data sets, and what classes are called."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from torchlurk.datasets.batches import batches, first_image, load_pixels
from torchlurk.datasets.class_names import name_classes, read_class_names
from torchlurk.datasets.csv_table import read_table
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.open import open_images
from torchlurk.datasets.torchvision_dataset import IndexedImages, index_dataset, open_torchvision
from torchlurk.errors import LurkError

GRAY = Preprocess(size=28, resize=28, mean=(0.1,), std=(0.3,))


def pictures(folder: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (20 * index, 80, 200)).save(folder / name)
    return folder


# names


@pytest.mark.parametrize("name", ["images", "train", "VAL", "data", "test"])
def test_a_folder_of_a_common_name_is_named_after_the_one_above(tmp_path: Path, name: str) -> None:
    found = list_images(pictures(tmp_path / "pets" / name, "cat/a.png"))
    assert (found.name, found.classes) == ("pets", ("cat",))


def test_words_one_a_line(tmp_path: Path) -> None:
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
    with pytest.raises(LurkError, match=r"3 class words and 5 classes \(0, 1, 2, \.\.\.\): .*--words"):
        name_classes([str(n) for n in range(5)], ("x", "y", "z"))
    images = pictures(tmp_path / "set", "a/1.png", "b/2.png")
    (tmp_path / "words").write_text("one\ntwo\nthree\n")
    with pytest.raises(LurkError, match=r"3 class words and 2 classes \(a, b\)"):
        open_images(str(images), class_names_file=tmp_path / "words", data_root=tmp_path)


# tables


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


def test_separators_in_names_and_labels_are_left_alone(tmp_path: Path) -> None:
    pictures(tmp_path, "a;b.png", "im/c.png")
    (tmp_path / "t.csv").write_text('path,label\na;b.png,x|y\nim\\c.png,"q, r"\n')
    found = read_table(tmp_path / "t.csv")
    assert (found.paths, found.classes) == (("a;b.png", "im/c.png"), ("q, r", "x|y"))


def test_the_digest_of_a_table_sees_labels_and_bytes(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    path, seen = tmp_path / "t.csv", set()
    for text in ("a.png,x\nb.png,y\n", "a.png,y\nb.png,x\n", "b.png,y\na.png,x\n"):
        path.write_text(text)
        seen.add(read_table(path).digest)
    pictures(tmp_path, "b.png")
    seen.add(read_table(path).digest)
    assert len(seen) == 4


def test_a_table_tells_no_absolute_path(tmp_path: Path) -> None:
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
        ("", "names no images"),
        ("path,label\n", "names no images"),
        ("a.png,x\na.png,y\n", r"line 2: 'a\.png' is on line 1 already"),
        ("a.png,x\n,y\n", r"line 2, is ',y': write path,label"),
        ("a.png,x,more\n", "line 1, is 'a.png,x,more': write"),
        ("who,what\na.png,x\n", r"line 1, is 'who,what': neither headers"),
        (
            "file,class_id,class_name\na.png,0,x\n",
            r"'class_id' and 'class_name' may each be the label, rename",
        ),
        (
            "path,image,label\na.png,a.png,x\n",
            r"columns 'path', 'image', 'label': 'path' and 'image' may each",
        ),
        (
            "file,breed,age\na.png,x,1\n",
            r"columns 'file', 'breed', 'age': none is known to hold the labels, write",
        ),
        ("image,x,y\na.png,1,2\n", r"columns 'image', 'x', 'y': none is known to hold the labels"),
        ("who;what\na.png;x\n", r"line 1, is 'who,what': neither headers"),
        ("z.png,x\n", r"none of its 1 images is there, 'z\.png' for one; paths are relative to"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, text: str, message: str) -> None:
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


# torchvision


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Two splits of MNIST in the raw format of its authors: 12 and 6 images of 28 x 28."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 12), ("t10k", 6)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, count, 28, 28) + pixels.tobytes()
        )
        labels = bytes(index % 10 for index in range(count))
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)
    return tmp_path


def test_mnist_by_name(mnist: Path) -> None:
    found = open_images("torchvision:MNIST", class_names_file=None, data_root=mnist)
    assert isinstance(found, IndexedImages)
    assert found.name == "MNIST-test"
    assert found.paths[:2] == ("00000", "00001")
    assert found.labels == (0, 1, 2, 3, 4, 5)
    assert found.classes[:2] == ("0 - zero", "1 - one")
    own = torchvision.datasets.MNIST(str(mnist), train=False, transform=torchvision.transforms.ToTensor())
    for workers in (0, 2):
        (batch,) = batches(found, GRAY, workers=workers)
        expected = (torch.stack([own[i][0] for i in range(6)]) - 0.1) / 0.3
        torch.testing.assert_close(GRAY.to_input(batch.pixels), expected)
    assert first_image(found).mode == "RGB"
    taken = found.take([5, 2]).take([1, 0])
    assert (taken.paths, taken.labels) == (("00002", "00005"), (2, 5))
    assert torch.equal(load_pixels(taken, GRAY, [0]), batch.pixels[2:3])
    train = open_torchvision("torchvision:MNIST:train", mnist)
    assert (train.name, len(train.paths)) == ("MNIST-train", 12)
    assert train.digest != found.digest
    assert open_torchvision("torchvision:MNIST:train", mnist) == train
    (mnist / "words").write_text("\n".join("abcdefghij"))
    assert (
        open_images("torchvision:MNIST", class_names_file=mnist / "words", data_root=mnist).classes[9] == "j"
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvision:MINST", "no data set 'MINST': did you mean .*MNIST"),
        ("torchvision:MNIST:val", "'MNIST' has no split 'val': it has train and test"),
        ("torchvision:", "no data set ''"),
        ("torchvision:os", "no data set 'os'"),
    ],
)
def test_an_unknown_data_set_or_split(mnist: Path, spec: str, message: str) -> None:
    with pytest.raises(LurkError, match=message):
        open_torchvision(spec, mnist)


class Fake(torchvision.datasets.FakeData):
    """No targets, no pixels kept: all of it is asked for item by item."""

    def __init__(self) -> None:
        super().__init__(size=5, image_size=(3, 10, 12), num_classes=3)


def test_a_data_set_that_keeps_nothing(tmp_path: Path) -> None:
    found = open_torchvision("torchvision:Fake", tmp_path, available={"Fake": Fake})
    assert (found.name, len(found.paths)) == ("Fake", 5)
    assert found == open_torchvision("torchvision:Fake", tmp_path, available={"Fake": Fake})
    assert set(found.classes) <= {"0", "1", "2"}
    with pytest.raises(LurkError, match="'Fake' has no splits: leave out ':train'"):
        open_torchvision("torchvision:Fake:train", tmp_path, available={"Fake": Fake})


class Away:
    def __init__(self, root: str, download: bool = False) -> None:
        assert download
        raise RuntimeError("Dataset not found.\nMore of it")

    def __getitem__(self, at: int) -> Any:
        raise AssertionError


def test_a_data_set_out_of_reach_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match=r"'Away' of torchvision cannot be had \(Dataset not found\.\): put"):
        open_torchvision("torchvision:Away", tmp_path / "new", available={"Away": Away})


class Boxes(list[Any]):
    pass


def test_labels_that_are_no_classes_and_items_that_are_no_images() -> None:
    with pytest.raises(LurkError, match="labels of data set 'boxes' are not numbers of classes"):
        index_dataset(Boxes([(Image.new("L", (4, 4)), {"box": 1})]), "boxes")
    with pytest.raises(LurkError, match="is empty"):
        index_dataset(Boxes(), "none")
    mixed = index_dataset(Boxes([(Image.new("L", (9, 9), 40), 1), (torch.zeros(3), 0)]), "mixed")
    (batch,) = batches(mixed, Preprocess(size=8, resize=8), workers=1)
    assert batch.indices == (0,)
    assert batch.skipped[0].reason == "a Tensor, not an image"
    assert batch.pixels.unique().tolist() == [40]
