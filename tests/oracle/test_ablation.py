"""Ablation equals a network whose weights are changed by hand, and plain algebra."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.awkward import awkward, snapshot
from tests.networks import BRANCHING_LAYERS, GRAPH_SIZE, GRAPHS, Branching, branching_maps, conv, seeded
from torchlurk.circuits.ablation import FixedChannels, channel_means, fix_channels
from torchlurk.circuits.ablation_effects import AblationBatch, ablation_effects
from torchlurk.circuits.ablation_means import AblationEffects
from torchlurk.errors import LurkError
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner, activations

LAYERS = tuple(BRANCHING_LAYERS)


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X = random(7, 3, 21, 26)
TARGETS = torch.tensor([0, 1, 2, 0, 1, 2, -1])


def batches(x: Tensor, size: int) -> list[AblationBatch]:
    names = tuple(f"image {row}" for row in range(len(x)))
    whole = AblationBatch(x, names, TARGETS[: len(x)])
    return [whole.part(slice(start, start + size)) for start in range(0, len(x), size)]


def effects(
    model: nn.Module, fixed: FixedChannels, layers: tuple[str, ...] = LAYERS, size: int = 7
) -> AblationEffects:
    with torch.no_grad():
        return ablation_effects(Runner(model), fixed, layers, batches(X, size), logits=True)


def zero(layer: str, *channels: int) -> FixedChannels:
    return FixedChannels(layer, channels, (0.0,) * len(channels))


def close(actual: Tensor, expected: Tensor) -> bool:
    return torch.allclose(actual, expected.to(actual), rtol=1e-6, atol=1e-6)


def maxima(maps: Tensor) -> Tensor:
    return maps.amax(dim=(2, 3)).mean(0)


def without_outputs(model: Branching, layer: str, channels: tuple[int, ...]) -> Branching:
    """A copy whose layer computes zero in some channels."""
    changed = copy.deepcopy(model)
    module = getattr(changed, layer)
    with torch.no_grad():
        module.weight[list(channels)] = 0
        module.bias[list(channels)] = 0
    return changed


@pytest.mark.parametrize(("layer", "channels"), [("first", (2,)), ("wide", (0, 4)), ("last", (1, 3, 6))])
def test_zero_equals_a_layer_whose_weights_are_zero(layer: str, channels: tuple[int, ...]) -> None:
    model = seeded(Branching)
    found = effects(model, zero(layer, *channels))
    changed = without_outputs(model, layer, channels)
    for name in LAYERS:
        before, after = branching_maps(model, X)[name], branching_maps(changed, X)[name]
        assert close(found.layers[name].before, maxima(before))
        assert close(found.layers[name].after, maxima(after))
    assert found.logits is not None
    with torch.no_grad():
        first, second = model(X), changed(X)
    assert close(found.logits.before, first.mean(0))
    assert close(found.logits.after, second.mean(0))
    assert found.logits.agreement == float((first.argmax(1) == second.argmax(1)).float().mean())
    right = [float((rows.argmax(1) == TARGETS)[:6].float().mean()) for rows in (first, second)]
    assert found.logits.accuracy == pytest.approx(right)


def test_zero_equals_readers_whose_weights_are_zero() -> None:
    model = seeded(Branching)
    changed = copy.deepcopy(model)
    with torch.no_grad():
        # After the ReLU and the pooling, zero is still zero.
        changed.narrow.weight[:, [1, 5]] = 0
        changed.wide.weight[:, [1, 5]] = 0
    found = effects(model, zero("first", 1, 5))
    expected = branching_maps(changed, X)
    for name in ("narrow", "wide", "last"):
        assert close(found.layers[name].after, maxima(expected[name]))
        assert not close(found.layers[name].before, maxima(expected[name]))


def test_the_mean_equals_plain_algebra() -> None:
    model = seeded(lambda: nn.Sequential(conv(3, 4, 3, 2), conv(4, 5, 3)))
    with torch.no_grad():
        inner = model[0](X)
        expected = inner.mean((0, 2, 3))[[0, 3]]
        means = channel_means(Runner(model), "0", [0, 3], [X[:2], X[2:]])
        assert means == pytest.approx(expected.tolist(), rel=1e-5)
        inner[:, [0, 3]] = expected[None, :, None, None]
        maps = F.conv2d(inner, model[1].weight, model[1].bias)
        found = ablation_effects(
            Runner(model), FixedChannels("0", (0, 3), means), ["1"], batches(X, 3), logits=False
        )
    assert close(found.layers["1"].after, maxima(maps))
    assert close(found.layers["1"].before, maxima(model(X).detach()))
    assert found.logits is None
    # A linear network without padding changes by the difference times the sum of the kernel, on average.
    with torch.no_grad(), fix_channels(Runner(model), FixedChannels("0", (0,), (2.0,))):
        shifted = model(X).mean((0, 2, 3))
    kernel = model[1].weight.detach().sum((2, 3))[:, 0]
    inner = model[0](X).detach()[:, :1]
    lost = F.conv2d(inner, model[1].weight.detach()[:, :1]).mean((0, 2, 3))
    assert torch.allclose(shifted, model(X).detach().mean((0, 2, 3)) - lost + 2 * kernel, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("kind", GRAPHS)
def test_zero_equals_zero_weights_in_every_kind_of_network(kind: str) -> None:
    model = seeded(GRAPHS[kind])
    x = random(2, *GRAPH_SIZE)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.weight.shape[0] > 1
    ]
    for name, _ in found[:2]:
        changed = copy.deepcopy(model)
        module = changed.get_submodule(name)
        assert isinstance(module, nn.Conv2d)
        with torch.no_grad():
            module.weight[1] = 0
            if module.bias is not None:
                module.bias[1] = 0
            expected = changed(x)
            with fix_channels(Runner(model), zero(name, 1)):
                assert close(model(x), expected)


def test_layers_upstream_and_beside_do_not_change() -> None:
    model = seeded(Branching)
    with torch.no_grad():
        before = activations(Runner(model), LAYERS, X)
        with fix_channels(Runner(model), zero("narrow", 0)):
            after = activations(Runner(model), LAYERS, X)
    same = {name: torch.equal(a, b) for name, a, b in zip(LAYERS, before, after, strict=True)}
    assert same == {"first": True, "narrow": False, "wide": True, "last": False}
    assert (after[1][:, 0] == 0).all()
    assert torch.equal(after[1][:, 1:], before[1][:, 1:])
    found = effects(model, zero("narrow", 0))
    for name in ("first", "wide"):
        assert torch.equal(found.layers[name].before, found.layers[name].after)


def test_a_channel_that_is_zero_anyway_changes_nothing() -> None:
    model = seeded(lambda: nn.Sequential(conv(3, 4, 3), nn.ReLU(inplace=True), conv(4, 5, 3)))
    with torch.no_grad():
        model[0].bias[2] = -100
        found = ablation_effects(Runner(model), zero("1", 2), ["2"], batches(X, 4), logits=False)
        other = ablation_effects(Runner(model), zero("1", 1), ["2"], batches(X, 4), logits=False)
        (mean,) = channel_means(Runner(model), "1", [2], [X])
    assert torch.equal(found.layers["2"].before, found.layers["2"].after)
    assert not torch.equal(other.layers["2"].before, other.layers["2"].after)
    assert mean == 0


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_do_not_matter(size: int) -> None:
    model = seeded(Branching)
    runner = Runner(model)
    with torch.no_grad():
        values = channel_means(runner, "first", [2, 3], torch.split(X, size))
        expected = channel_means(runner, "first", [2, 3], [X])
    assert values == pytest.approx(expected, rel=1e-6)
    fixed = FixedChannels("first", (2, 3), expected)
    whole, parts = effects(model, fixed), effects(model, fixed, size=size)
    assert whole.images == parts.images == 7
    assert whole.logits is not None
    assert parts.logits is not None
    for a, b in [(whole.logits, parts.logits), *((whole.layers[n], parts.layers[n]) for n in LAYERS)]:
        assert close(a.before, b.before)
        assert close(a.after, b.after)
    assert (whole.logits.agreement, whole.logits.accuracy) == (parts.logits.agreement, parts.logits.accuracy)


class Twice(nn.Module):
    """A convolution that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.own = conv(3, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.own(torch.tanh(self.own(x)))


def test_every_call_of_a_module_counts() -> None:
    model = seeded(Twice)
    x = random(2, 3, 8, 9)
    with torch.no_grad():
        first = model.own(x)
        second = model.own(torch.tanh(first))
        (mean,) = channel_means(Runner(model), "own", [1], [x])
        assert mean == pytest.approx(float(torch.stack([first, second])[:, :, 1].mean()), rel=1e-5)
        first[:, 1] = mean
        expected = model.own(torch.tanh(first))
        expected[:, 1] = mean
        with fix_channels(Runner(model), FixedChannels("own", (1,), (mean,))):
            assert close(model(x), expected)


class Called(nn.Module):
    """A module after which the network changes the dimensions, or overwrites the result."""

    def __init__(self, inner: nn.Module, after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = inner
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.inner(x))


@pytest.mark.parametrize(
    ("inner", "shape", "channel"),
    [
        (lambda: nn.Linear(4, 5), (2, 4), (slice(None), 3)),
        (lambda: nn.Linear(4, 5), (2, 9, 4), (slice(None), slice(None), 3)),
        (lambda: nn.Linear(4, 5), (2, 6, 7, 4), (..., 3)),
        (lambda: nn.Conv1d(4, 5, 3), (2, 4, 9), (slice(None), 3)),
        (lambda: nn.Conv2d(4, 5, 3), (2, 4, 9, 8), (slice(None), 3)),
        (lambda: nn.BatchNorm2d(5), (2, 5, 9, 8), (slice(None), 3)),
    ],
)
def test_layouts(inner: Callable[[], nn.Module], shape: tuple[int, ...], channel: tuple[object, ...]) -> None:
    x = random(*shape)
    for after in (torch.sigmoid, torch.sigmoid_, lambda y: y.mul_(2).add_(1)):
        model = seeded(lambda after=after: Called(inner(), after))  # type: ignore[misc]
        with torch.no_grad():
            expected = model.inner(x)
            expected[channel] = 0.5  # type: ignore[index]
            with fix_channels(Runner(model), FixedChannels("inner", (3,), (0.5,))):
                assert close(model(x), after(expected))
                assert close(model(x), model(x))
            (mean,) = channel_means(Runner(model), "inner", [3], [x])
            assert mean == pytest.approx(float(model.inner(x)[channel].mean()), rel=1e-5)  # type: ignore[index]


class Several(nn.Module):
    """Returns a map and its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = conv(3, 4, 3)

    def forward(self, x: Tensor) -> dict[str, object]:
        maps = self.inner(x)
        return {"maps": [maps], "mean": maps.mean((2, 3)), "name": "several"}


def test_of_several_tensors_the_first_is_replaced() -> None:
    model = seeded(lambda: nn.Sequential(Several()))
    x = random(2, 3, 8, 9)
    with torch.no_grad():
        plain = model(x)
        with fix_channels(Runner(model), zero("0", 2)):
            found = model(x)
    assert (found["maps"][0][:, 2] == 0).all()
    assert torch.equal(found["maps"][0][:, :2], plain["maps"][0][:, :2])
    assert torch.equal(found["mean"], plain["mean"])
    assert found["name"] == "several"


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_the_network_comes_back_as_it_was(error: type[BaseException] | None, at: int) -> None:
    model = awkward()
    layers = [f"body.{name}" for name in LAYERS]
    before = snapshot(model)
    model.fuse.error, model.fuse.at = error, at

    def run() -> None:
        with isolated(model):
            runner = Runner(model)
            values = channel_means(runner, "body.first", [1], [X])
            ablation_effects(
                runner, FixedChannels("body.first", (1,), values), layers, batches(X, 7), logits=True
            )

    if error is None:
        run()
    else:
        with pytest.raises((error, LurkError)):
            run()
    assert snapshot(model) == before
