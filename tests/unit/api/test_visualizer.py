"""Tests of `FeatureVisualizer`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms as T

import torchlurk
from torchlurk.api.visualizer import FeatureVisualizer
from torchlurk.ascent.diversity import gram_matrix, mean_similarity
from torchlurk.ascent.optimise import AscentParams
from torchlurk.ascent.transforms import Jitter
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.models.isolation import isolated

SIDE = 24
PLAIN = Preprocess(size=SIDE, resize=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3)
QUICK = AscentParams(steps=12)


def net(channels: int = 3) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(channels, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(6, 5),
        )  # fmt: skip


def fed(image: Image.Image) -> Tensor:
    """Return an image as the network's input."""
    return (torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 - 0.5) / 0.5


def test_one_image_and_batches_of_classes_and_filters() -> None:
    show = torchlurk.FeatureVisualizer(net(), PLAIN, params=QUICK)
    image = show(act_idx=3)
    assert isinstance(image, Image.Image)
    assert (image.size, image.mode) == ((SIDE, SIDE), "RGB")
    assert show(np.int64(3)).tobytes() == show(torch.tensor(3)).tobytes() == image.tobytes()
    assert [one.size for one in show(torch.tensor([0, 3]))] == [(SIDE, SIDE)] * 2
    images = show([0, 3])
    assert [one.size for one in images] == [(SIDE, SIDE)] * 2
    assert (
        np.abs(np.asarray(images[1], int) - np.asarray(image, int)).mean() < 2
    )  # independent of the other images of the batch
    assert show(layer="4", act_idx=1, size=(16, 20)).size == (20, 16)


def test_the_seed_determines_the_image_and_steps_raise_the_score() -> None:
    show = FeatureVisualizer(net(), PLAIN, params=QUICK)
    assert show(1).tobytes() == show(1).tobytes()
    assert show(1).tobytes() != show(1, seed=1).tobytes()
    assert show(1, seed=1).tobytes() == FeatureVisualizer(net(), PLAIN, params=QUICK, seed=1)(1).tobytes()
    model = net().eval()
    still = Jitter(0, 0, 0)
    few, many = (fed(show(1, steps=steps, jitter=still)) for steps in (1, 40))
    with torch.no_grad():
        assert float(model(many[None])[0, 1]) > float(model(few[None])[0, 1])


def test_a_position_maximises_its_unit() -> None:
    model = net().eval()
    show = FeatureVisualizer(model, PLAIN, params=AscentParams(steps=40))
    image = fed(show(2, layer="0", position=(4, 19), jitter=Jitter(0, 0, 0)))
    with torch.no_grad():
        maps = model[0](image[None])[0, 2]
    assert divmod(int(maps.argmax()), SIDE) == (4, 19)


def test_a_transform_gives_the_image_of_an_equal_preprocess() -> None:
    transform = T.Compose(
        [T.Resize(SIDE), T.CenterCrop(SIDE), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)]
    )
    found = FeatureVisualizer(net(), transform, params=QUICK)(1)
    assert found.tobytes() == FeatureVisualizer(net(), PLAIN, params=QUICK)(1).tobytes()


def test_a_custom_objective_is_used() -> None:
    def dark(maps: Tensor, channels: Tensor) -> Tensor:
        return -maps[torch.arange(len(maps)), channels].mean(dim=(1, 2))

    show = FeatureVisualizer(net(), PLAIN, params=QUICK)
    assert show(1, objective=dark).tobytes() != show(1).tobytes()


@pytest.mark.parametrize("layer", ["4", "logits"])
def test_diverse_images_differ_and_activate_the_filter(layer: str) -> None:
    model = net().eval()
    show = FeatureVisualizer(model, PLAIN, params=AscentParams(steps=48))
    channel = 2
    together = show(channel, layer, diversity=4)
    apart = [show(channel, layer)]  # the same starts, each alone
    assert len(together) == 4
    alone = show(channel, layer, diversity=4, spread=0)
    assert np.abs(np.asarray(alone[0], int) - np.asarray(apart[0], int)).mean() < 2

    def judged(images: list[Image.Image]) -> tuple[float, float]:
        x = torch.stack([fed(image) for image in images])
        with torch.no_grad():
            maps = model[:5](x)
            scores = model(x)[:, channel] if layer == "logits" else maps[:, channel].mean(dim=(1, 2))
        return float(mean_similarity(maps).mean()), float(scores.mean())

    (alike, low), (before, high) = judged(together), judged(alone)
    assert alike < before - 0.05
    assert low > 0.5 * high
    assert high > 0


def test_mean_similarity() -> None:
    one, other = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    one[0, 0], other[0, 1] = 1.0, 3.0
    assert mean_similarity(torch.cat([one, one, one])).tolist() == pytest.approx([1, 1, 1])
    assert mean_similarity(torch.cat([one, other])).tolist() == [0, 0]
    assert mean_similarity(torch.cat([one, one.flip(3), -one])).tolist() == pytest.approx([0.5, 0.5, 0])
    assert gram_matrix(one).shape == (1, 4)
    zero = torch.zeros(2, 2, 2, 2, requires_grad=True)
    mean_similarity(zero).sum().backward()
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()


class Restless(nn.Module):
    """Counts its forward passes, always applies dropout, and replaces the tensor of a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("last", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.last = x.detach().mean()
        return self.head(F.dropout(self.conv(x), 0.1, training=True).mean(dim=(2, 3)))


def state(model: nn.Module) -> list[Any]:
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [
            (p.requires_grad, None if p.grad is None else p.grad.clone(), p.stride())
            for p in model.parameters()
        ],
        [len(module._forward_hooks) for module in model.modules()],
        torch.get_rng_state(),
    ]


@pytest.mark.parametrize("make", [net, Restless])
def test_the_state_of_the_network_is_restored(make: Any) -> None:
    model = make()
    model(torch.rand(2, 3, SIDE, SIDE)).sum().backward()
    model[0].eval() if isinstance(model, nn.Sequential) else model.head.requires_grad_(False)
    before = copy.deepcopy(state(model))
    own = [id(tensor) for tensor in (*model.parameters(), *model.buffers())]
    FeatureVisualizer(model, PLAIN, params=AscentParams(steps=2))(1, diversity=2)
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)
    assert [id(tensor) for tensor in (*model.parameters(), *model.buffers())] == own


def test_isolation_restores_the_network_after_a_failure() -> None:
    model = net()
    before = copy.deepcopy(state(model))

    def fail() -> None:
        with torch.autocast("cpu", torch.bfloat16), isolated(model):
            assert not torch.is_autocast_enabled("cpu")
            torch.rand(3)
            model[1].running_mean.add_(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("preprocess", "channels", "mode"),
    [
        (None, 1, "L"), (None, 3, "RGB"), ((0.5, 0.25), 3, "RGB"), (((0.1, 0.2, 0.3), (1, 1, 1)), 3, "RGB"),
        (T.Compose([T.Resize(40), T.CenterCrop(32), T.ToTensor(), T.Normalize([0.5], [0.5])]), 3, "RGB"),
        (T.Compose([T.Resize((40, 40)), T.ToTensor()]), 1, "L"),
    ],
)  # fmt: skip
def test_preprocess_arguments_are_resolved(preprocess: Any, channels: int, mode: str) -> None:
    show = FeatureVisualizer(net(channels), preprocess, size=SIDE, params=AscentParams(steps=1))
    assert show.preprocess.shape == (channels, SIDE, SIDE)
    assert show(0).mode == mode


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"act_idx": 5}, "has 5 filters"),
        ({"act_idx": -1}, "numbered 0 to 4"),
        ({"act_idx": []}, "empty"),
        ({"act_idx": "bee"}, "act_idx='bee'"),
        ({"act_idx": 0, "steps": 0}, "steps=0"),
        ({"act_idx": 0, "layer": "nothing"}, "no layer"),
        ({"act_idx": 0, "layer": "kind:Conv2d"}, "matches 2 layers"),
        ({"act_idx": 0, "layer": "4", "position": (12, 0)}, "12 rows"),
        ({"act_idx": 0, "layer": "4", "position": (1, 0), "size": 16}, "leave out size="),
        ({"act_idx": 0, "size": 0}, "size=0: must be at least 1 pixel"),
        ({"act_idx": 0, "objective": "beauty"}, "choose one of mean"),
        ({"act_idx": 0, "diversity": 1}, "at least 2 images"),
        ({"act_idx": [0, 1], "diversity": 2}, "one filter"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(LurkError, match=word) as caught:
        FeatureVisualizer(net(), PLAIN, params=QUICK)(**arguments)
    assert "\n" not in str(caught.value)


def test_networks_and_transforms_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(LurkError, match="7 channels"):
        FeatureVisualizer(net(7))
    with pytest.raises(LurkError, match="end it with a Normalize"):
        FeatureVisualizer(net(), lambda image: fed(image) * 9)
    with pytest.raises(LurkError, match="size=32: the network comes with its own transform"):
        FeatureVisualizer(net(), fed, size=32)
    with pytest.raises(LurkError, match="the model is a str; give a torch"):
        FeatureVisualizer("vgg16")  # type: ignore[arg-type]


def test_the_package_lists_its_exports() -> None:
    assert "FeatureVisualizer" in dir(torchlurk)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        torchlurk.Nothing  # noqa: B018
