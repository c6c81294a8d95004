"""Images by id: decoded once while there is room, and copied to the device together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden.network import golden_network, write_images
from tests.golden.run import golden_run
from torchlurk.datasets import batches
from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.image_folder import list_images
from torchlurk.pipeline import image_source
from torchlurk.pipeline.image_source import ImageSource, open_source

CPU = torch.device("cpu")
BYTES = 32 * 32 * 3
"""Of an image of the golden network."""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every image that is decoded, in order."""
    found: list[int] = []

    def record(folder: object, preprocess: object, indices: list[int]) -> torch.Tensor:
        found.extend(indices)
        return load_pixels(folder, preprocess, indices)  # type: ignore[arg-type]

    monkeypatch.setattr(image_source, "load_pixels", record)
    return found


def source(folder: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> ImageSource:
    """Return a source with room for a number of images in memory."""
    write_images(folder)
    (folder / "plain/broken.png").unlink()
    monkeypatch.setattr(image_source, "image_memory", lambda device: room * BYTES)
    return open_source(golden_network(), list_images(folder), CPU)


def test_the_latest_images_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[int]
) -> None:
    images = source(tmp_path, monkeypatch, room=2)
    for image in (0, 1, 0, 2, 0, 1):
        images.load(image)
    assert decoded == [0, 1, 2, 1]


def test_what_is_decoded_already_is_kept_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[int]
) -> None:
    images = source(tmp_path, monkeypatch, room=3)
    pixels = load_pixels(list_images(tmp_path), golden_network().preprocess, range(5))
    assert images.remember([4, 0], pixels[[4, 0]])
    assert not images.remember([0, 1, 2, 3], pixels[:4])
    assert images.in_memory() == {4, 0, 1}
    for image in (4, 0, 1):
        assert np.array_equal(images.load(image), pixels[image].numpy())
    assert decoded == []
    images.load(2)
    assert decoded == [2]
    pixels.zero_()  # the images are copies
    assert images.load(1).any()


def test_inputs_are_those_of_single_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = source(tmp_path, monkeypatch, room=9)
    preprocess = golden_network().preprocess
    pixels = load_pixels(list_images(tmp_path), preprocess, [3, 0, 3])
    together = images.inputs([3, 0, 3])
    assert torch.equal(torch.stack(together), preprocess.to_input(pixels))
    assert torch.equal(images.input(0), together[1])
    assert images.inputs([]) == ()


def test_a_scan_on_a_cpu_keeps_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    monkeypatch.setattr(image_source._Cache, "remember", lambda _, images, pixels: kept.extend(images))
    golden_run(tmp_path / "store/branching", stages=("scan",))
    assert kept == []


@pytest.mark.parametrize(("workers", "alone"), [(2, False), (0, True)])
def test_other_processes_decode_the_images_of_a_stage(
    workers: int, alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    decode = batches._decode

    def record(folder: object, preprocess: object, indices: list[int]) -> object:
        opened.extend(indices)
        return decode(folder, preprocess, indices)  # type: ignore[arg-type]

    golden_run(tmp_path / "store/branching", stages=("scan",))
    monkeypatch.setattr(batches, "_decode", record)
    golden_run(tmp_path / "store/branching", workers=workers, stages=("gradients",))
    # The images that the network is tried on are decoded in this process always.
    assert (len(opened) > 8) == alone
