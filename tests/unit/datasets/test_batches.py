"""Batches: fixed by the folder and the sizes alone, with bad images recorded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.unit.datasets.conftest import noise
from torchlurk.datasets.batches import Batch, batches, load_pixels
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError

SMALL = Preprocess(size=16, resize=20)


def flat(found: list[Batch]) -> list[object]:
    return [dataclasses.replace(b, pixels=b.pixels.numpy().tobytes()) for b in found]  # type: ignore[arg-type]


def test_batches_depend_on_the_folder_and_the_sizes_alone(pets: Path) -> None:
    images = list_images(pets)
    found = list(batches(images, SMALL, batch_size=3, shard_size=4, workers=0))
    assert [(b.shard, b.indices) for b in found] == [
        (0, (0, 1, 2)),
        (0, (3,)),
        (1, (4, 5, 6)),
        (1, (7,)),
        (2, (10,)),
    ]
    assert [tuple(s.path for s in b.skipped) for b in found[-2:]] == [(), ("b/02.jpg", "b/03.jpg")]
    assert [s.reason for s in found[-1].skipped] == [
        "not an image of a known format",
        "the file is empty",
    ]
    assert found[2].labels == (0, 0, 1)
    assert found[0].pixels.shape == (3, 16, 16, 3)
    assert found[0].pixels.dtype == torch.uint8
    for workers in (1, 2, 9):
        again = list(batches(images, SMALL, batch_size=3, shard_size=4, workers=workers))
        assert flat(again) == flat(found)
    chosen = list(batches(images, SMALL, batch_size=3, shard_size=4, workers=1, shards=(2, 0)))
    assert flat(chosen) == flat(found[-1:] + found[:2])
    assert list(batches(images, SMALL, shards=())) == []


def test_several_processes_decode_one_batch(pets: Path) -> None:
    """Parts of a batch arrive one after the other; bad images leave no gap between them."""
    images = list_images(pets)
    many = images.take([index % len(images.paths) for index in range(150)])
    found = list(batches(many, SMALL, batch_size=80, shard_size=100, workers=0))
    assert [len(b.indices) + len(b.skipped) for b in found] == [80, 20, 50]
    assert all(b.skipped for b in found)
    for workers in (1, 2, 3, 9):
        again = list(batches(many, SMALL, batch_size=80, shard_size=100, workers=workers))
        assert flat(again) == flat(found)


def test_pinned_memory_is_asked_for(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinning needs a CUDA device; what is asked of torch does not."""
    asked = []
    empty = torch.empty

    def record(*size: object, pin_memory: bool = False, **more: object) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(*size, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "empty", record)
    images = list_images(pets)
    assert len(list(batches(images, SMALL, batch_size=8, workers=1, pin_memory=True))) == len(asked)
    assert set(asked) == {True}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_bad_images_still_reports_them(pets: Path, workers: int) -> None:
    images = list_images(pets)
    found = list(batches(images, SMALL, batch_size=2, shard_size=8, workers=workers))[4]
    assert found.indices == ()
    assert found.pixels.shape == (0, 16, 16, 3)
    assert len(found.skipped) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch size 0"),
        ({"shard_size": 0}, "shard size 0"),
        ({"workers": -1}, "-1 workers"),
        ({"shards": (1,)}, "shard 1 of 'pets' does not exist; choose 0 to 0"),
    ],
)
def test_options_are_checked_before_anything_starts(
    pets: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(LurkError, match=message):
        batches(list_images(pets), SMALL, **options)  # type: ignore[arg-type]


def test_pixels_by_index(pets: Path) -> None:
    images = list_images(pets)
    everything = next(batches(images, SMALL, workers=0))
    found = load_pixels(images, SMALL, [4, 0, 4])
    assert torch.equal(found, everything.pixels[[4, 0, 4]])
    assert load_pixels(images, SMALL, []).shape == (0, 16, 16, 3)
    with pytest.raises(LurkError, match=r"'b/02\.jpg' cannot be read again"):
        load_pixels(images, SMALL, [0, 8])


def test_every_worker_gives_the_same_gray_and_flat_pixels(tmp_path: Path) -> None:
    for index in range(5):
        noise(index, 30 + index, 40).save(tmp_path / f"{index}.png")
    images = list_images(tmp_path)
    wide = Preprocess(size=(16, 40), resize=24, mean=(0.5,), std=(0.25,), interpolation="bicubic")
    first = list(batches(images, wide, batch_size=2, workers=0))
    assert first[0].pixels.shape == (2, 16, 40, 1)
    assert wide.to_input(first[0].pixels).shape == (2, 1, 16, 40)
    for workers in (1, 3):
        again = list(batches(images, wide, batch_size=2, workers=workers))
        assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
