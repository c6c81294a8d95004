"""Gradient ascent on problems with a known solution, and the leaky ReLU compared with plain algebra."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import colour_filters, two_convolutions
from torchlurk import graph
from torchlurk.ascent.naive import naive_ascend
from torchlurk.ascent.objectives import centre_unit, channel_mean
from torchlurk.ascent.optimise import (
    AscentParams,
    ascend,
    canvas_size,
    filter_generator,
    size_schedule,
    supported_canvas_size,
)
from torchlurk.ascent.parametrisation import (
    decode_spectrum,
    frequency_scale,
    grow_spectrum,
    initial_spectrum,
)
from torchlurk.ascent.transforms import Jitter, draw_jitter, jitter_images
from torchlurk.attribution.backward import LeakyRelu
from torchlurk.graph.receptive_field import Field, input_axis, slide_window
from torchlurk.models.isolation import isolated

SIZE = (24, 24)


def identity(images: Tensor) -> Tensor:
    return images


def run(net: nn.Module, layer: str, channels: list[int], *, seed: int = 0, steps: int = 48):
    with isolated(net):
        return ascend(
            net, layer, channels, SIZE, identity, channel_mean, AscentParams(steps=steps),
            [filter_generator(seed, layer, c) for c in channels],
        )  # fmt: skip


def test_the_best_colour_is_found() -> None:
    net = colour_filters()
    found = run(net, "0", [0, 1, 2, 3], steps=400)
    weights = net[0].weight[:, :, 0, 0]
    best = weights.clamp(min=0).sum(1)  # each colour in [0, 1], 1 where its weight is positive
    worst = weights.clamp(max=0).sum(1)
    # The ends of a sigmoid are approached slowly, and the axes of colour are shorter than that of brightness.
    assert ((found.scores - worst) / (best - worst) > 0.75).all()
    means = found.images.mean(dim=(2, 3))
    heavy = weights.abs() >= 1
    assert torch.equal(means[heavy] > 0.5, weights[heavy] > 0)


def test_the_naive_method_finds_the_best_colour() -> None:
    net = colour_filters()
    with isolated(net):
        found = naive_ascend(
            net,
            "0",
            [0, 1],
            SIZE,
            identity,
            identity,
            channel_mean,
            [filter_generator(0, "0", c) for c in (0, 1)],
        )
    weights = net[0].weight[:2, :, 0, 0]
    best = weights.clamp(min=0).sum(1)
    torch.testing.assert_close(found.scores, best, rtol=0, atol=0.02)


def test_scores_are_those_of_the_images() -> None:
    net = two_convolutions()
    found = run(net, "3", [0, 5])
    with torch.no_grad():
        maps = net(found.images)
    for row, channel in enumerate([0, 5]):
        torch.testing.assert_close(found.scores[row], maps[row, channel].mean())


def test_every_filter_is_excited_more_than_by_noise() -> None:
    net = two_convolutions()
    found = run(net, "3", list(range(6)))
    with torch.no_grad():
        noise = net(torch.rand(64, 3, *SIZE, generator=torch.Generator().manual_seed(1)))
    assert (found.scores > noise.mean(dim=(2, 3)).amax(0)).all()


def test_an_image_does_not_depend_on_the_others_of_its_batch() -> None:
    net = two_convolutions()
    together = run(net, "3", [1, 2, 4], steps=12)
    alone = run(net, "3", [2], steps=12)
    torch.testing.assert_close(together.images[1], alone.images[0], rtol=1e-3, atol=1e-4)


def test_the_seed_decides_the_image() -> None:
    net = two_convolutions()
    first, again, other = (run(net, "3", [1], seed=s, steps=6).images for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


def test_generators_differ_by_seed_layer_channel_and_attempt() -> None:
    names = [(0, "a", 0, 0), (1, "a", 0, 0), (0, "b", 0, 0), (0, "a", 1, 0), (0, "a", 0, 1)]
    seeds = {filter_generator(*name).initial_seed() for name in names}
    assert len(seeds) == len(names)


def test_a_zero_spectrum_is_the_gray_image() -> None:
    size = (10, 7)
    spectrum = torch.zeros(2, 3, 10, 4, 2)
    image = decode_spectrum(spectrum, size, frequency_scale(size), None)
    assert image.shape == (2, 3, 10, 7)
    assert (image == 0.5).all()


@pytest.mark.parametrize("size", [(8, 8), (9, 12)])
def test_a_coefficient_is_a_wave_of_its_frequency(size: tuple[int, int]) -> None:
    height, width = size
    spectrum = torch.zeros(1, 1, height, width // 2 + 1, 2)
    spectrum[0, 0, 2, 1, 0] = 0.1
    image = torch.logit(decode_spectrum(spectrum, size, frequency_scale(size), None))[0, 0]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    wave = torch.cos(2 * torch.pi * (2 * y / height + x / width))
    frequency = ((2 / height) ** 2 + (1 / width) ** 2) ** 0.5
    expected = 2 * 0.1 / frequency * wave / (height * width) ** 0.5
    torch.testing.assert_close(image, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"), [((6, 6), (9, 11)), ((8, 6), (16, 12)), ((7, 8), (7, 9)), ((8, 9), (8, 9))]
)
def test_a_grown_image_repeats_the_smaller_one_around_its_centre(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    spectrum = torch.randn(2, 3, old[0], old[1] // 2 + 1, 2, generator=torch.Generator().manual_seed(0))
    small = decode_spectrum(spectrum, old, frequency_scale(old), None)
    grown = decode_spectrum(grow_spectrum(spectrum, old, new), new, frequency_scale(new), None)
    tiles = np.tile(small.numpy(), (1, 1, 3, 3))
    top, left = (side + side // 2 - longer // 2 for side, longer in zip(old, new, strict=True))
    expected = tiles[:, :, top : top + new[0], left : left + new[1]]
    torch.testing.assert_close(grown, torch.from_numpy(expected), rtol=0, atol=1e-5)


def test_the_sizes_of_an_ascent_take_equal_shares_of_its_time() -> None:
    # 5/8 and 13/16 of 176 are 110 and 143; 1 / 112² to 1 / 144² to 1 / 176² as 16.1 to 9.8 to 6.5.
    assert size_schedule((176, 176), 64, 3) == [((112, 112), 16), ((144, 144), 10), ((176, 176), 6)]
    # 1 / 64² to 1 / 80² to 1 / 96² as 15.4 to 9.8 to 6.8.
    assert size_schedule((96, 96), 64, 3) == [((64, 64), 15), ((80, 80), 10), ((96, 96), 7)]
    assert size_schedule((176, 176), 64, 1) == [((176, 176), 64)]
    # No side is below 48: both smaller sizes of 64 are 48, with 1 / 48² to 1 / 64² as 16 to 9.
    assert size_schedule((64, 64), 50, 3) == [((48, 48), 16), ((64, 64), 9)]
    assert size_schedule((48, 40), 64, 3) == [((48, 40), 64)]
    assert size_schedule((176, 48), 64, 3) == [((112, 48), 13), ((144, 48), 11), ((176, 48), 8)]
    for steps in range(1, 9):
        counts = [count for _, count in size_schedule((176, 176), steps, 3)]
        assert sum(counts) == -(-steps // 2)


class FixedSize(nn.Module):
    """Accepts images of 64 x 64 px only; records the sizes of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 2, 3)
        self.any_size = False
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if not self.any_size and x.shape[2:] != (64, 64):
            raise ValueError("the size must be 64 x 64")
        if x.requires_grad:
            self.sizes.append(x.shape[2])
        return self.conv(x)


@pytest.mark.parametrize("any_size", [False, True])
def test_a_network_of_one_size_is_run_at_that_size_alone(any_size: bool) -> None:
    net = FixedSize()
    net.any_size = any_size
    generators = [filter_generator(0, "conv", 0)]
    params = AscentParams(steps=20)
    found = ascend(net, "conv", [0], (64, 64), identity, channel_mean, params, generators)
    assert found.images.shape == (1, 3, 64, 64)
    assert net.sizes == ([48] * 6 + [64] * 4 if any_size else [64] * 20)


def test_initial_spectra_depend_on_their_own_generator() -> None:
    a, b = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    both = initial_spectrum([a, b], 3, (6, 6))
    alone = initial_spectrum([torch.Generator().manual_seed(2)], 3, (6, 6))
    assert torch.equal(both[1], alone[0])


def test_zero_jitter_keeps_the_image() -> None:
    images = torch.rand(2, 3, 9, 14)
    torch.testing.assert_close(jitter_images(images, torch.zeros(2, 4), Jitter()), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("draws", "shift"), [([1.0, 0, 0, 0], (0, 2)), ([0, -1.0, 0, 0], (-2, 0))])
def test_a_shift_is_in_pixels(draws: list[float], shift: tuple[int, int]) -> None:
    images = torch.rand(1, 1, 12, 20)
    moved = jitter_images(images, torch.tensor([draws]), Jitter(shift=2, scale=0, turn=0))
    expected = images.roll((-shift[0], -shift[1]), dims=(2, 3))
    torch.testing.assert_close(moved[..., 3:-3, 3:-3], expected[..., 3:-3, 3:-3], rtol=0, atol=1e-4)


def test_a_rotation_by_90_degrees_is_that_of_the_array() -> None:
    images = torch.rand(1, 2, 11, 11)
    moved = jitter_images(images, torch.tensor([[0.0, 0, 0, 1]]), Jitter(shift=0, scale=0, turn=90))
    candidates = [torch.rot90(images, turns, (2, 3)) for turns in (1, -1)]
    assert any(torch.allclose(moved, candidate, atol=1e-4) for candidate in candidates)


def test_draws_are_those_of_each_generator() -> None:
    a, b = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    both = draw_jitter([a, b], 5)
    assert both.shape == (5, 2, 4)
    assert both.abs().max() <= 1
    assert torch.equal(both[:, 1], draw_jitter([torch.Generator().manual_seed(2)], 5)[:, 0])


def test_objectives_select_the_own_map() -> None:
    maps = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
    channels = torch.tensor([2, 0])
    assert channel_mean(maps, channels).tolist() == [maps[0, 2].mean(), maps[1, 0].mean()]
    assert centre_unit(maps, channels).tolist() == [maps[0, 2, 2, 2], maps[1, 0, 2, 2]]


def test_the_canvas_grows_with_the_receptive_field_up_to_the_input() -> None:
    sides = []
    for kernel in (3, 14, 40, 92, 132, 196, 400):
        axis = slide_window(input_axis(512), kernel, 1, 0, 1, 512 - kernel + 1)
        height, width = canvas_size(Field(axis, axis), (224, 224))
        assert height == width
        assert height % 16 == 0
        sides.append(height)
    assert all(a <= b for a, b in pairwise(sides))
    assert sides[0] == 48
    assert sides[-1] == 224


@pytest.mark.parametrize("form", ["module", "function", "in place", "relu6"])
def test_leaky_relu_passes_its_share_where_the_relu_is_inactive(form: str) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(7, 5, dtype=torch.float64) * 3, torch.randn(7, dtype=torch.float64)
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    with LeakyRelu(0.25):
        hidden = first @ x
        if form == "in place":
            F.relu_(hidden)
            y = hidden
        else:
            y = {"module": nn.ReLU(), "function": F.relu, "relu6": F.relu6}[form](hidden)
    (gradient,) = torch.autograd.grad(y @ second, x)
    before = first @ x.detach()
    on = (before > 0) & (before < (6 if form == "relu6" else float("inf")))
    expected = first.T @ (second * torch.where(on, 1.0, 0.25))
    torch.testing.assert_close(gradient, expected)
    assert torch.equal(y.detach(), before.clamp(0, 6 if form == "relu6" else None))


def test_a_filter_behind_inactive_relus_is_excited() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        net[0].weight.fill_(0.1)
        net[0].bias.fill_(
            -1.8
        )  # gray gives -0.45: inactive; only an image brighter than two thirds activates it
        net[2].weight.fill_(1.0)
        net[2].bias.fill_(0.0)
    assert float(net(torch.full((1, 3, *SIZE), 0.5)).detach().amax()) == 0
    assert float(run(net, "2", [0], steps=64).scores[0]) > 0.3


def test_an_output_class_can_be_the_objective() -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    with isolated(net):
        found = ascend(
            net, "4", [0, 1, 2, 3], SIZE, identity, channel_mean, AscentParams(steps=48),
            [filter_generator(0, "4", c) for c in range(4)],
        )  # fmt: skip
        with torch.no_grad():
            logits = net(found.images)
            noise = net(torch.rand(64, 3, *SIZE, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(found.scores, logits.diagonal())
    assert (found.scores > noise.amax(0)).all()


def test_a_network_of_one_size_gets_images_of_that_size() -> None:
    """A layer with small receptive fields has a small canvas, which a transformer does not accept."""
    torch.manual_seed(0)
    model = torchvision.models.VisionTransformer(64, 16, 1, 2, 16, 16).eval()
    (layer,) = graph.select(model, (3, 64, 64), ["conv_proj"]).layers
    assert canvas_size(layer.field, (64, 64)) == (48, 48)
    assert supported_canvas_size(model, "conv_proj", layer.field, (64, 64), 3) == (64, 64)
    free = nn.Sequential(nn.Conv2d(3, 4, 16, 16)).eval()
    (layer,) = graph.select(free, (3, 64, 64), ["0"]).layers
    assert supported_canvas_size(free, "0", layer.field, (64, 64), 3) == (48, 48)
