"""Gradient ascent on any device: known solutions, and the same numbers as on the CPU where it starts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.device.helpers import check_close, needs_cuda
from tests.networks import colour_filters, two_convolutions
from torchlurk.ascent.naive import naive_ascend
from torchlurk.ascent.objectives import channel_mean
from torchlurk.ascent.optimise import AscentParams, AscentResult, ascend, filter_generator
from torchlurk.ascent.transforms import Jitter
from torchlurk.datasets.inputs import Preprocess
from torchlurk.models.isolation import isolated

pytestmark = pytest.mark.device

SIZE = (24, 24)
STILL = Jitter(shift=0, scale=0, turn=0)


def identity(images: Tensor) -> Tensor:
    return images


def run(
    net: nn.Module, layer: str, channels: list[int], device: torch.device, params: AscentParams
) -> AscentResult:
    generators = [filter_generator(0, layer, channel) for channel in channels]
    with isolated(net, device):
        return ascend(net, layer, channels, SIZE, identity, channel_mean, params, generators)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_best_colour_is_found(device: torch.device, bfloat16: bool) -> None:
    net = colour_filters()
    found = run(net, "0", [0, 1, 2, 3], device, AscentParams(steps=400, bfloat16=bfloat16))
    assert found.scores.device.type == found.images.device.type == device.type
    weights = net[0].weight[:, :, 0, 0]
    best, worst = weights.clamp(min=0).sum(1), weights.clamp(max=0).sum(1)
    assert ((found.scores.cpu() - worst) / (best - worst) > 0.75).all()
    heavy = weights.abs() >= 1
    assert torch.equal(found.images.cpu().mean(dim=(2, 3))[heavy] > 0.5, weights[heavy] > 0)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_scores_are_those_of_the_images_in_float32(device: torch.device, bfloat16: bool) -> None:
    net, channels = two_convolutions(), [0, 5, 2]
    found = run(net, "3", channels, device, AscentParams(steps=12, bfloat16=bfloat16))
    with torch.no_grad():
        maps = net.double()(found.images.cpu().double())
    expected = torch.stack([maps[row, channel].mean() for row, channel in enumerate(channels)])
    check_close(found.scores, expected, device)


def test_the_first_steps_are_those_of_the_cpu(device: torch.device) -> None:
    """All random numbers are drawn on the CPU. (Later, rounding grows.)"""
    for jitter in (STILL, Jitter()):
        params = AscentParams(steps=2, jitter=jitter)
        found, expected = (
            run(two_convolutions(), "3", [1, 4], where, params) for where in (device, torch.device("cpu"))
        )
        check_close(found.images, expected.images, device, relative=1e-3)


def test_a_large_batch_gives_the_images_of_small_ones(device: torch.device) -> None:
    params = AscentParams(steps=4, jitter=STILL)
    together = run(two_convolutions(), "3", [0, 1, 2, 3, 4, 5], device, params)
    alone = [run(two_convolutions(), "3", [channel], device, params) for channel in range(6)]
    check_close(together.images, torch.cat([one.images.cpu() for one in alone]), device, relative=1e-3)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
def test_steps_do_not_wait_for_the_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_cuda(device)
    step = torch.optim.Adam.step

    def forbid_waiting(self: torch.optim.Adam) -> object:
        result = step(self)
        torch.cuda.set_sync_debug_mode("error")  # the first step chooses algorithms
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", forbid_waiting)
    net, generators = two_convolutions(), [filter_generator(0, "3", channel) for channel in (0, 1)]
    with isolated(net, device):
        try:
            found = ascend(
                net, "3", [0, 1], SIZE, Preprocess(size=24, resize=24).normalise, channel_mean,
                AscentParams(steps=12), generators,
            )  # fmt: skip
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert found.scores.isfinite().all()


def test_the_naive_method_finds_the_best_colour(device: torch.device) -> None:
    net = colour_filters()
    generators = [filter_generator(0, "0", channel) for channel in (0, 1)]
    with isolated(net, device):
        found = naive_ascend(net, "0", [0, 1], SIZE, identity, identity, channel_mean, generators)
    best = net[0].weight[:2, :, 0, 0].clamp(min=0).sum(1)
    torch.testing.assert_close(found.scores.cpu(), best, rtol=0, atol=0.02)
