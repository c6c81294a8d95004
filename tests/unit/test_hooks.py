"""A network that was watched is as it was before: to the bit, and after any exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from tests.awkward import LAYERS, SIZE, Awkward, Fuse, awkward, snapshot
from tests.networks import Branching, Call, branching_maps, seeded
from torchlurk import graph
from torchlurk.ascent import objectives, optimise
from torchlurk.attribution import gradients
from torchlurk.attribution.backward import relu_rule
from torchlurk.errors import LurkError
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import ForwardError, activation, forward_until, observing
from torchlurk.scan import scan
from torchlurk.scan.state import initial_state


@pytest.fixture
def model() -> Awkward:
    return awkward()


@pytest.fixture(autouse=True)
def unchanged(model: Awkward) -> Iterator[None]:
    """Each test of this room leaves the network as it found it."""
    before = snapshot(model)
    assert any("hooks" in key and value for key, value in before.items())
    yield
    model.fuse.error = None
    after = snapshot(model)
    assert sorted(before) == sorted(after)
    for key, value in before.items():
        assert after[key] == value, key


def images(count: int = 2) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(2))


def layers(model: nn.Module) -> graph.Graph:
    return graph.trace(model, SIZE, lambda _, module: isinstance(module, nn.Conv2d))


def units() -> list[gradients.Unit]:
    return [gradients.Unit(i, 1, i, 2 * i) for i in range(2)]


def batches() -> Iterator[scan.ScanBatch]:
    for number in range(3):
        yield scan.ScanBatch(torch.arange(2) + 2 * number, torch.tensor([0, 1]), images())


def rest(model: Awkward) -> None:
    with isolated(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        model(images())


def rest_twice(model: Awkward) -> None:
    with isolated(model), isolated(model):
        model(images())


def watch(model: Awkward) -> None:
    with isolated(model), observing(model, dict.fromkeys(LAYERS, lambda output: None)):
        model(images())


def run_until(model: Awkward) -> None:
    with isolated(model):
        forward_until(model, images(), LAYERS)


def activate(model: Awkward) -> None:
    with isolated(model), torch.enable_grad():
        activation(model, "body.wide", images().requires_grad_()).sum().backward()


def trace(model: Awkward) -> None:
    with isolated(model):
        layers(model)


def scan_all(model: Awkward) -> None:
    with isolated(model):
        list(scan.scan(model, initial_state(LAYERS, 2, 3), batches()))


def scan_some(model: Awkward) -> None:
    with isolated(model):
        states = scan.scan(model, initial_state(LAYERS, 2, 3), batches())
        next(states)
        states.close()


def units_all(model: Awkward) -> None:
    with isolated(model):
        field = layers(model).layer("body.last").field
        for rule in ("deconv", "guided", "vanilla"):
            list(gradients.unit_gradients(model, "body.last", field, list(images()), units(), rule))


def units_some(model: Awkward) -> None:
    with isolated(model):
        field = layers(model).layer("body.wide").field
        found = gradients.unit_gradients(model, "body.wide", field, list(images()), units(), "guided")
        next(found)
        found.close()


def maps_all(model: Awkward) -> None:
    with isolated(model):
        list(gradients.map_gradients(model, "body.last", images()[0], [0, 2], "deconv"))


def maps_some(model: Awkward) -> None:
    with isolated(model):
        found = gradients.map_gradients(model, "body.last", images()[0], [0, 2], "deconv")
        next(found)
        found.close()


def climb(model: Awkward) -> None:
    with isolated(model):
        optimise.ascend(
            model, "body.wide", [0, 3], (24, 20), lambda x: x - 0.5, objectives.channel_mean,
            optimise.AscentParams(steps=2), [optimise.filter_generator(0, "wide", c) for c in (0, 3)],
        )  # fmt: skip


def rules(model: Awkward) -> None:
    with isolated(model), relu_rule("deconv"), relu_rule("guided"):
        model(images())


ACTIONS: list[Callable[[Awkward], None]] = [
    rest, rest_twice, watch, run_until, activate, trace, scan_all, scan_some, units_all, units_some,
    maps_all, maps_some, climb, rules,
]  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_after_what_it_is_for(model: Awkward, action: Callable[[Awkward], None]) -> None:
    action(model)


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("action", ACTIONS)
def test_after_the_network_has_failed(
    model: Awkward, action: Callable[[Awkward], None], error: type[BaseException]
) -> None:
    model.fuse.error = error
    # `torch.fx` runs the forward while it traces, so its failure has another name there.
    with pytest.raises((error, LurkError)):
        action(model)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_a_watcher_has_failed(model: Awkward, error: type[BaseException]) -> None:
    def fail(output: Tensor) -> None:
        raise error("blown")

    watchers = dict.fromkeys(LAYERS, lambda output: None) | {"body.wide": fail}
    with pytest.raises(error, match="blown"), isolated(model), observing(model, watchers):
        forward_until(model, images(), LAYERS)


def test_after_a_failure_inside_of_at_rest(model: Awkward) -> None:
    with pytest.raises(KeyboardInterrupt), isolated(model), observing(model, {"fuse": print}):
        raise KeyboardInterrupt


def test_an_unknown_name_sets_no_hook(model: Awkward) -> None:
    names = {"body.first": print, "body.second": print}
    with pytest.raises(KeyError, match=r"body\.second"), observing(model, names):
        pass


def test_hooks_alone_do_not_need_rest(model: Awkward) -> None:
    model.norm.eval()  # in training mode any forward moves its statistics
    forward_until(model, images(), ["body.wide"])
    with suppress(KeyError):
        activation(model, "nowhere", images())
    activation(model, "body.wide", images())
    model.norm.train()


def test_outputs_are_seen_before_they_are_overwritten() -> None:
    model = seeded(Branching)
    wanted = branching_maps(model, images())
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def watcher(output: Tensor) -> None:
            seen[name] = output.clone()

        return watcher

    with torch.inference_mode(), observing(model, {name: keep(name) for name in wanted}):
        model(images())
    for name, maps in wanted.items():
        assert maps.min() < 0
        torch.testing.assert_close(seen[name], maps, rtol=1e-4, atol=1e-5)
        with torch.inference_mode():
            found = activation(model, name, images())
        torch.testing.assert_close(found, maps, rtol=1e-4, atol=1e-5)


def test_the_network_behind_the_last_layer_is_not_run() -> None:
    first, second = Fuse(), Fuse()
    model = nn.Sequential(nn.Conv2d(3, 2, 3), first, nn.Conv2d(2, 2, 3), second)
    spoken: list[str] = []
    with observing(model, {name: lambda output, name=name: spoken.append(name) for name in "02"}):
        forward_until(model, images(), ["0", "2"])
    assert spoken == ["0", "2"], "the caller's watcher speaks before the forward ends"
    assert (first.calls, second.calls) == (1, 0)
    forward_until(model, images(), [])
    assert (first.calls, second.calls) == (2, 1)


def test_a_network_that_catches_errors_cannot_catch_the_end() -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)
            self.after = Fuse()

        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.conv(x)
            except Exception:
                x = x[:, :2]
            return self.after(x)

    model = Careful()
    assert activation(model, "conv", images()).shape == (2, 2, 19, 24)
    assert model.after.calls == 0


def test_a_forward_that_fails_before_the_layer_says_so() -> None:
    def fail(x: Tensor) -> Tensor:
        raise ValueError("not today")

    model = nn.Sequential(Call(fail), nn.Conv2d(3, 2, 3))
    with pytest.raises(ForwardError, match="ValueError: not today"):
        activation(model, "1", images())
