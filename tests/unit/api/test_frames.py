"""Tests of `FrameRecorder`."""

from __future__ import annotations

import copy
import random
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import torchlurk
from torchlurk.api.frames import FrameRecorder, encode_animation, sample_frames
from torchlurk.ascent.optimise import AscentParams
from torchlurk.errors import LurkError

SIDE = 16
FEW = AscentParams(steps=2)


def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Conv2d(6, 4, 3),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        )  # fmt: skip


def photo() -> Image.Image:
    y, x = np.mgrid[:SIDE, :SIDE] * 15
    return Image.fromarray(np.stack([y, x, 255 - y], -1).astype(np.uint8))


def train(model: nn.Module, recorder: Any, steps: int = 9) -> None:
    """Train with random numbers, and accumulate the gradients of two batches in each step."""
    torch.manual_seed(1)
    random.seed(1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    model.train()
    for step in range(steps):
        for half in (0, 1):
            x, y = torch.randn(8, 3, SIDE, SIDE), torch.randint(3, (8,))
            nn.functional.cross_entropy(model(x), y).backward()
            if half == 0:
                recorder(step)  # between two backward passes: the gradients have to stay
        optimiser.step()
        optimiser.zero_grad()


@pytest.mark.parametrize("image", [None, "photo"])
@pytest.mark.parametrize("name", ["training.gif", "training.webp"])
def test_recording_does_not_affect_the_training(tmp_path: Path, image: str | None, name: str) -> None:
    plain, recorded = net(), net()
    train(plain, lambda step: None)
    after = torch.get_rng_state()
    with torchlurk.FrameRecorder(
        recorded, tmp_path / name, 1, image=photo() if image else None, every=2, size=SIDE, params=FEW
    ) as recorder:
        train(recorded, recorder)
    assert torch.equal(torch.get_rng_state(), after)
    assert plain.state_dict().keys() == recorded.state_dict().keys()
    for key, value in plain.state_dict().items():
        assert torch.equal(value, recorded.state_dict()[key]), key
    assert [m.training for m in plain.modules()] == [m.training for m in recorded.modules()]
    assert all(p.requires_grad for p in recorded.parameters())
    with Image.open(tmp_path / name) as moving:
        assert moving.n_frames == 5  # type: ignore[attr-defined]
        assert moving.size == (SIDE, SIDE)
        assert moving.info["loop"] == 0
    with Image.open(tmp_path / "training.png") as strip:
        assert strip.size == (5 * SIDE, SIDE)


def test_equal_training_runs_give_equal_bytes(tmp_path: Path) -> None:
    made = []
    for folder in ("one", "two"):
        model = net()
        recorder = FrameRecorder(model, tmp_path / folder / "a.gif", 1, image=photo(), every=3, size=SIDE)
        train(model, recorder)
        made.append([path.read_bytes() for path in recorder.close()])
    assert made[0] == made[1]
    assert len(made[0]) == 2


def test_a_frame_shows_the_gradient_of_the_current_network(tmp_path: Path) -> None:
    model = net()
    x = torch.randn(3, SIDE, SIDE)
    recorder = FrameRecorder(model, tmp_path / "a.gif", 2, image=x[None], every=1, size=SIDE)
    recorder(0)
    with torch.no_grad():
        model[8].weight.neg_()
    recorder(1)
    first, second = (frame.astype(int) for frame in recorder.frames)
    assert np.abs((first - 128) + (second - 128)).max() <= 2  # of the opposite sign: gray is zero
    assert np.abs(first - 128).max() > 100


def test_an_image_can_be_a_file(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    frames = []
    for image in (photo(), tmp_path / "a.png", str(tmp_path / "a.png")):
        recorder = FrameRecorder(net(), tmp_path / "a.gif", 1, image=image, size=SIDE)
        recorder(0)
        frames.append(recorder.frames[0])
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])


def test_any_layer_can_be_recorded(tmp_path: Path) -> None:
    model = copy.deepcopy(net())
    for layer in ("0", "4"):
        recorder = FrameRecorder(
            model, tmp_path / "a.gif", 3, image=photo(), layer=layer, method="guided", size=SIDE
        )
        recorder(0)
        assert recorder.frames[0].shape == (SIDE, SIDE, 3)


def test_the_frames_of_an_interrupted_training_are_written(tmp_path: Path) -> None:
    model = net()

    def stop() -> None:
        with FrameRecorder(model, tmp_path / "a.gif", 0, image=photo(), every=1, size=SIDE) as recorder:
            recorder(0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.png"]


def test_without_frames_nothing_is_written(tmp_path: Path) -> None:
    with FrameRecorder(net(), tmp_path / "a.gif", 0, image=photo(), size=SIDE):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_strip_samples_frames_evenly() -> None:
    frames = [np.full((1, 1, 3), i, np.uint8) for i in range(30)]
    picked = [int(frame[0, 0, 0]) for frame in sample_frames(frames, 4)]
    assert picked == [0, 10, 19, 29]
    assert len(sample_frames(frames[:3], 12)) == 3
    assert int(sample_frames(frames, 1)[0][0, 0, 0]) == 29


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_colour_animations_are_encoded(kind: str, channels: int) -> None:
    frames = [np.full((8, 8, channels), i * 60, np.uint8) for i in range(4)]
    assert encode_animation(frames, kind, 50) == encode_animation(frames, kind, 50) != b""
    assert encode_animation(frames[:1], kind, 50)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"out": "a.mp4"}, "one of .gif, .webp"),
        ({"every": 0}, "every=0: must be at least 1"),
        ({"act_idx": 3}, "has 3 filters"),
        ({"layer": "nothing"}, "no layer"),
        ({"image": torch.zeros(5)}, "shape \\(C, H, W\\)"),
        ({"image": "gone.png"}, "'gone.png' cannot be read"),
        ({"method": "lrp"}, "there is no ReLU rule 'lrp'; choose one of deconv"),
        ({"layer": "kind:Conv2d"}, "matches 2 layers"),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, Any], word: str) -> None:
    arguments = {"out": "a.gif", "act_idx": 0, "image": photo(), "size": SIDE, **changes}
    with pytest.raises(LurkError, match=word), nullcontext():
        FrameRecorder(net(), **arguments)
