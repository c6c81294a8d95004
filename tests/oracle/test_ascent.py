"""Gradient ascent against problems whose answer is known, and the ReLU that leaks against plain algebra."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from torchlurk import graph
from torchlurk.ascent.naive import naive_ascend
from torchlurk.ascent.objectives import centre_unit, channel_mean
from torchlurk.ascent.optimise import (
    AscentParams,
    ascend,
    canvas_size,
    filter_generator,
    supported_canvas_size,
)
from torchlurk.ascent.parametrisation import decode_spectrum, frequency_scale, initial_spectrum
from torchlurk.ascent.transforms import Jitter, draw_jitter, jitter_images
from torchlurk.attribution.backward import LeakyRelu
from torchlurk.graph.receptive_field import Field, input_axis, slide_window
from torchlurk.models.isolation import isolated

SIZE = (24, 24)


def same(images: Tensor) -> Tensor:
    return images


def colours() -> nn.Sequential:
    """Four filters that weigh colours: the best image of each is known, all on or off by channel."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False))
    weights = torch.tensor([[1.0, -1.0, 0.5], [-0.5, 2.0, -1.0], [1.0, 1.0, 1.0], [-1.0, -2.0, -0.5]])
    with torch.no_grad():
        net[0].weight.copy_(weights[:, :, None, None])
    return net


def random_net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3))


def run(net: nn.Module, layer: str, channels: list[int], *, seed: int = 0, steps: int = 48):
    with isolated(net):
        return ascend(
            net, layer, channels, SIZE, same, channel_mean, AscentParams(steps=steps),
            [filter_generator(seed, layer, c) for c in channels],
        )  # fmt: skip


def test_the_best_colour_is_found() -> None:
    net = colours()
    found = run(net, "0", [0, 1, 2, 3], steps=400)
    weights = net[0].weight[:, :, 0, 0]
    best = weights.clamp(min=0).sum(1)  # each colour in [0, 1], on where its weight is positive
    worst = weights.clamp(max=0).sum(1)
    # The ends of a sigmoid are approached slowly, and the axes of colour are shorter than that of brightness.
    assert ((found.scores - worst) / (best - worst) > 0.75).all()
    means = found.images.mean(dim=(2, 3))
    heavy = weights.abs() >= 1
    assert torch.equal(means[heavy] > 0.5, weights[heavy] > 0)


def test_the_naive_way_climbs_too() -> None:
    net = colours()
    with isolated(net):
        found = naive_ascend(
            net, "0", [0, 1], SIZE, same, same, channel_mean, [filter_generator(0, "0", c) for c in (0, 1)]
        )
    weights = net[0].weight[:2, :, 0, 0]
    best = weights.clamp(min=0).sum(1)
    torch.testing.assert_close(found.scores, best, rtol=0, atol=0.02)


def test_scores_are_those_of_the_images() -> None:
    net = random_net()
    found = run(net, "3", [0, 5])
    with torch.no_grad():
        maps = net(found.images)
    for row, channel in enumerate([0, 5]):
        torch.testing.assert_close(found.scores[row], maps[row, channel].mean())


def test_every_filter_is_excited_more_than_by_noise() -> None:
    net = random_net()
    found = run(net, "3", list(range(6)))
    with torch.no_grad():
        noise = net(torch.rand(64, 3, *SIZE, generator=torch.Generator().manual_seed(1)))
    assert (found.scores > noise.mean(dim=(2, 3)).amax(0)).all()


def test_what_is_found_does_not_depend_on_the_company() -> None:
    net = random_net()
    together = run(net, "3", [1, 2, 4], steps=12)
    alone = run(net, "3", [2], steps=12)
    torch.testing.assert_close(together.images[1], alone.images[0], rtol=1e-3, atol=1e-4)


def test_the_seed_decides() -> None:
    net = random_net()
    first, again, other = (run(net, "3", [1], seed=s, steps=6).images for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


def test_generators_differ_by_seed_layer_channel_and_attempt() -> None:
    names = [(0, "a", 0, 0), (1, "a", 0, 0), (0, "b", 0, 0), (0, "a", 1, 0), (0, "a", 0, 1)]
    seeds = {filter_generator(*name).initial_seed() for name in names}
    assert len(seeds) == len(names)


def test_no_spectrum_is_the_gray_image() -> None:
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


def test_initial_spectra_depend_on_their_own_generator() -> None:
    a, b = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    both = initial_spectrum([a, b], 3, (6, 6))
    alone = initial_spectrum([torch.Generator().manual_seed(2)], 3, (6, 6))
    assert torch.equal(both[1], alone[0])


def test_no_movement_leaves_the_image() -> None:
    images = torch.rand(2, 3, 9, 14)
    torch.testing.assert_close(jitter_images(images, torch.zeros(2, 4), Jitter()), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("draws", "shift"), [([1.0, 0, 0, 0], (0, 2)), ([0, -1.0, 0, 0], (-2, 0))])
def test_a_shift_is_in_pixels(draws: list[float], shift: tuple[int, int]) -> None:
    images = torch.rand(1, 1, 12, 20)
    moved = jitter_images(images, torch.tensor([draws]), Jitter(shift=2, scale=0, turn=0))
    expected = images.roll((-shift[0], -shift[1]), dims=(2, 3))
    torch.testing.assert_close(moved[..., 3:-3, 3:-3], expected[..., 3:-3, 3:-3], rtol=0, atol=1e-4)


def test_a_quarter_turn_is_a_rotation_of_the_array() -> None:
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


def test_objectives() -> None:
    maps = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
    channels = torch.tensor([2, 0])
    assert channel_mean(maps, channels).tolist() == [maps[0, 2].mean(), maps[1, 0].mean()]
    assert centre_unit(maps, channels).tolist() == [maps[0, 2, 2, 2], maps[1, 0, 2, 2]]


def test_the_canvas_grows_with_the_field_up_to_the_input() -> None:
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
def test_a_leak_passes_its_share_where_the_relu_is_off(form: str) -> None:
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


def test_a_filter_behind_dead_relus_wakes() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        net[0].weight.fill_(0.1)
        net[0].bias.fill_(-1.8)  # gray gives -0.45: off; only an image brighter than two thirds is on
        net[2].weight.fill_(1.0)
        net[2].bias.fill_(0.0)
    assert float(net(torch.full((1, 3, *SIZE), 0.5)).detach().amax()) == 0
    assert float(run(net, "2", [0], steps=64).scores[0]) > 0.3


def test_an_output_class_can_be_the_objective() -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    with isolated(net):
        found = ascend(
            net, "4", [0, 1, 2, 3], SIZE, same, channel_mean, AscentParams(steps=48),
            [filter_generator(0, "4", c) for c in range(4)],
        )  # fmt: skip
        with torch.no_grad():
            logits = net(found.images)
            noise = net(torch.rand(64, 3, *SIZE, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(found.scores, logits.diagonal())
    assert (found.scores > noise.amax(0)).all()


def test_a_network_of_one_size_gets_images_of_that_size() -> None:
    """A layer that sees little needs a small canvas, which a transformer refuses."""
    torch.manual_seed(0)
    model = torchvision.models.VisionTransformer(64, 16, 1, 2, 16, 16).eval()
    (layer,) = graph.select(model, (3, 64, 64), ["conv_proj"]).layers
    assert canvas_size(layer.field, (64, 64)) == (48, 48)
    assert supported_canvas_size(model, "conv_proj", layer.field, (64, 64), 3) == (64, 64)
    free = nn.Sequential(nn.Conv2d(3, 4, 16, 16)).eval()
    (layer,) = graph.select(free, (3, 64, 64), ["0"]).layers
    assert supported_canvas_size(free, "0", layer.field, (64, 64), 3) == (48, 48)
