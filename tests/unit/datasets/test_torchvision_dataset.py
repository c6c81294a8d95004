"""Data sets of torchvision, and map-style datasets of pairs."""

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
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.open import open_images
from torchlurk.datasets.torchvision_dataset import IndexedImages, index_dataset, open_torchvision
from torchlurk.errors import LurkError
from torchlurk.pipeline.session import resolve_images

GRAY = Preprocess(size=28, resize=28, mean=(0.1,), std=(0.3,))


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
        ("torchvision:MINST", "no data set 'MINST'; did you mean .*MNIST"),
        ("torchvision:MNIST:val", "'MNIST' has no split 'val'; choose train or test"),
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


def test_a_data_set_without_targets_and_pixels(tmp_path: Path) -> None:
    found = open_torchvision("torchvision:Fake", tmp_path, available={"Fake": Fake})
    assert (found.name, len(found.paths)) == ("Fake", 5)
    assert found == open_torchvision("torchvision:Fake", tmp_path, available={"Fake": Fake})
    assert set(found.classes) <= {"0", "1", "2"}
    with pytest.raises(LurkError, match="'Fake' has no splits; leave out ':train'"):
        open_torchvision("torchvision:Fake:train", tmp_path, available={"Fake": Fake})


class Away:
    def __init__(self, root: str, download: bool = False) -> None:
        assert download
        raise RuntimeError("Dataset not found.\nMore of it")

    def __getitem__(self, at: int) -> Any:
        raise AssertionError


def test_a_data_set_that_cannot_be_downloaded_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LurkError, match=r"data set 'Away' cannot be opened \(Dataset not found\.\); put"):
        open_torchvision("torchvision:Away", tmp_path / "new", available={"Away": Away})


class Boxes(list[Any]):
    pass


def test_labels_that_are_no_classes_and_items_that_are_no_images() -> None:
    with pytest.raises(LurkError, match="labels of data set 'boxes' are not class numbers"):
        index_dataset(Boxes([(Image.new("L", (4, 4)), {"box": 1})]), "boxes")
    with pytest.raises(LurkError, match="is empty"):
        index_dataset(Boxes(), "none")
    mixed = index_dataset(Boxes([(Image.new("L", (9, 9), 40), 1), (torch.zeros(3), 0)]), "mixed")
    (batch,) = batches(mixed, Preprocess(size=8, resize=8), workers=1)
    assert batch.indices == (0,)
    assert batch.skipped[0].reason == "a Tensor, not an image"
    assert batch.pixels.unique().tolist() == [40]


def test_a_data_set_of_pairs_with_class_names(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"1": "dogs", "0": "cats"}')
    pairs = [(Image.new("L", (4, 4)), 1), (Image.new("L", (4, 4)), 0)]
    assert resolve_images(pairs, tmp_path / "names.json").classes == ("cats", "dogs")
