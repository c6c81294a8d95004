"""What ablation does with networks and images that are not simple."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import refusal
from tests.networks import Branching, conv, seeded
from torchlurk.circuits.ablation import FixedChannels, channel_means, fix_channels, run_in_parts
from torchlurk.circuits.ablation_effects import AblationBatch, ablation_effects, reachable_layers
from torchlurk.graph import trace
from torchlurk.models.runner import Runner
from torchlurk.runtime.devices import BatchLimiter


def batch(x: Tensor) -> AblationBatch:
    return AblationBatch(x, tuple(f"{row}.png" for row in range(len(x))), torch.full((len(x),), -1))


def zero(layer: str, channel: int = 0) -> FixedChannels:
    return FixedChannels(layer, (channel,), (0.0,))


def test_the_layers_downstream() -> None:
    model = seeded(Branching)
    graph = trace(model, (3, 21, 26), lambda name, module: isinstance(module, nn.Conv2d | nn.Linear))
    assert reachable_layers(graph, "first") == ("narrow", "wide", "last", "head")
    assert reachable_layers(graph, "wide") == ("last", "head")
    assert reachable_layers(graph, "head") == ()


class Either(nn.Module):
    """Bright images take one path and dark ones another; the first filter decides."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(1, 2, 1, bias=False)
        self.bright = conv(2, 2, 1, bias=False)
        self.dark = conv(2, 2, 1, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([1.0, 2.0])[:, None, None, None])
            self.bright.weight.copy_(torch.eye(2)[:, :, None, None])
            self.dark.weight.copy_(3 * torch.eye(2)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        parts = [self.bright(row) if row[0, 0].mean() > 1 else self.dark(row) for row in x.split(1)]
        return torch.cat(parts)


def test_images_that_do_not_reach_a_layer_both_ways_are_left_out() -> None:
    model = seeded(Either).requires_grad_(False)
    x = torch.tensor([0.5, 0.75, 2.0, 4.0])[:, None, None, None].expand(4, 1, 3, 3)
    found = ablation_effects(Runner(model), zero("first"), ["bright", "dark"], [batch(x)], logits=False)
    # Without the first filter, all images are dark.
    assert list(found.layers) == ["dark"]
    assert found.layers["dark"].images == 2
    assert found.layers["dark"].before.tolist() == [3 * 0.625, 6 * 0.625]
    assert found.layers["dark"].after.tolist() == [0, 6 * 0.625]
    found = ablation_effects(Runner(model), zero("first", 1), ["bright", "dark"], [batch(x)], logits=False)
    assert {name: layer.images for name, layer in found.layers.items()} == {"bright": 2, "dark": 2}
    assert found.layers["bright"].before.tolist() == [3, 6]
    assert found.layers["bright"].after.tolist() == [3, 0]
    assert found.images == 4


def test_a_network_that_takes_images_one_by_one() -> None:
    model = seeded(Branching)
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    runner = Runner(model, one_by_one_reason="it says so")
    x = torch.rand(3, 3, 21, 26)
    with torch.no_grad():
        channel_means(runner, "first", [0], [x])
        ablation_effects(runner, zero("first"), ["last"], [batch(x)], logits=True)
    assert sizes == [1] * 9


def test_batches_that_do_not_fit_are_halved() -> None:
    limiter = BatchLimiter(report=lambda _: None)

    def work(part: slice) -> slice:
        if part.stop - part.start > 3:
            raise torch.OutOfMemoryError
        return part

    parts = list(run_in_parts(8, False, limiter, work))
    assert parts == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8)]
    assert list(run_in_parts(0, False, limiter, work)) == []

    def never(part: slice) -> slice:
        raise torch.OutOfMemoryError

    assert "a batch of one image" in refusal(lambda: list(run_in_parts(2, True, limiter, never)))


class Quotient(nn.Module):
    """Divides by the second filter."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(3, 2, 1)
        self.last = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).abs()
        return self.last(x[:, :1] / x[:, 1:])


def test_an_ablation_that_gives_nan_is_refused() -> None:
    model = seeded(Quotient).requires_grad_(False)
    x = torch.rand(2, 3, 4, 4)
    line = refusal(
        lambda: ablation_effects(Runner(model), zero("first", 1), ["last"], [batch(x)], logits=False)
    )
    assert line.startswith(
        "without the filters of 'first', layer 'last' gives NaN or infinity for image '0.png'; "
    )
    x[1] = torch.nan
    run = Runner(model)
    line = refusal(lambda: ablation_effects(run, zero("first"), ["last"], [batch(x)], logits=False))
    assert line == "layer 'last' gives NaN or infinity for image '1.png'; check the weights"
    line = refusal(lambda: channel_means(run, "first", [1], [x]))
    assert line == "filter 1 of layer 'first' gives NaN or infinity; check the weights"


class Unreached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = conv(3, 2, 1)
        self.unused = conv(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)


def test_a_layer_that_no_image_reaches_has_no_mean() -> None:
    model = seeded(Unreached).requires_grad_(False)
    line = refusal(lambda: channel_means(Runner(model), "unused", [0], [torch.rand(1, 3, 4, 4)]))
    assert line == "none of the images reaches layer 'unused'; ablate another layer"


def test_an_output_without_a_dimension_of_filters_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(0), nn.Identity())
    with fix_channels(Runner(model), zero("1")):
        line = refusal(lambda: model(torch.rand(2, 3)))
    assert line == "layer '1' gives a tensor of shape (6,), which is no feature map; ablate another layer"


def test_an_unknown_layer() -> None:
    with pytest.raises(KeyError, match="nothing"), fix_channels(Runner(nn.Identity()), zero("nothing")):
        pass
