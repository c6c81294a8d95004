"""A network comes back exactly as it was, after every computation and after any exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from tests.awkward import LAYERS, SIZE, Awkward, awkward, snapshot
from tests.unit.models.conftest import images
from torchlurk import graph
from torchlurk.ascent import objectives, optimise
from torchlurk.attribution import gradients
from torchlurk.attribution.backward import relu_rule
from torchlurk.attribution.unit_cuts import Unit
from torchlurk.errors import LurkError
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import activation, capture_outputs, forward_until
from torchlurk.scan import scan
from torchlurk.scan.state import initial_state


@pytest.fixture
def model() -> Awkward:
    return awkward()


@pytest.fixture(autouse=True)
def unchanged(model: Awkward) -> Iterator[None]:
    """Every test leaves the network as it was."""
    before = snapshot(model)
    assert any("hooks" in key and value for key, value in before.items())
    yield
    model.fuse.error = None
    after = snapshot(model)
    assert sorted(before) == sorted(after)
    for key, value in before.items():
        assert after[key] == value, key


def trace_graph(model: nn.Module) -> graph.Graph:
    return graph.trace(model, SIZE, lambda _, module: isinstance(module, nn.Conv2d))


def units() -> list[gradients.Unit]:
    return [Unit(i, 1, i, 2 * i) for i in range(2)]


def batches() -> Iterator[scan.ScanBatch]:
    for number in range(3):
        yield scan.ScanBatch(torch.arange(2) + 2 * number, torch.tensor([0, 1]), images())


def run_isolated(model: Awkward) -> None:
    with isolated(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        model(images())


def run_nested(model: Awkward) -> None:
    with isolated(model), isolated(model):
        model(images())


def capture(model: Awkward) -> None:
    with isolated(model), capture_outputs(model, dict.fromkeys(LAYERS, lambda output: None)):
        model(images())


def run_until(model: Awkward) -> None:
    with isolated(model):
        forward_until(model, images(), LAYERS)


def backpropagate(model: Awkward) -> None:
    with isolated(model), torch.enable_grad():
        activation(model, "body.wide", images().requires_grad_()).sum().backward()


def trace_layers(model: Awkward) -> None:
    with isolated(model):
        trace_graph(model)


def scan_completely(model: Awkward) -> None:
    with isolated(model):
        list(scan.scan(model, initial_state(LAYERS, 2, 3), batches()))


def scan_partly(model: Awkward) -> None:
    with isolated(model):
        states = scan.scan(model, initial_state(LAYERS, 2, 3), batches())
        next(states)
        states.close()


def unit_gradients_completely(model: Awkward) -> None:
    with isolated(model):
        field = trace_graph(model).layer("body.last").field
        for rule in ("deconv", "guided", "vanilla"):
            list(gradients.unit_gradients(model, "body.last", field, list(images()), units(), rule))


def unit_gradients_partly(model: Awkward) -> None:
    with isolated(model):
        field = trace_graph(model).layer("body.wide").field
        found = gradients.unit_gradients(model, "body.wide", field, list(images()), units(), "guided")
        next(found)
        found.close()


def map_gradients_completely(model: Awkward) -> None:
    with isolated(model):
        list(gradients.map_gradients(model, "body.last", images()[0], [0, 2], "deconv"))


def map_gradients_partly(model: Awkward) -> None:
    with isolated(model):
        found = gradients.map_gradients(model, "body.last", images()[0], [0, 2], "deconv")
        next(found)
        found.close()


def ascend(model: Awkward) -> None:
    with isolated(model):
        optimise.ascend(
            model, "body.wide", [0, 3], (24, 20), lambda x: x - 0.5, objectives.channel_mean,
            optimise.AscentParams(steps=2), [optimise.filter_generator(0, "wide", c) for c in (0, 3)],
        )  # fmt: skip


def apply_relu_rules(model: Awkward) -> None:
    with isolated(model), relu_rule("deconv"), relu_rule("guided"):
        model(images())


ACTIONS: list[Callable[[Awkward], None]] = [
    run_isolated, run_nested, capture, run_until, backpropagate, trace_layers, scan_completely, scan_partly,
    unit_gradients_completely, unit_gradients_partly, map_gradients_completely, map_gradients_partly, ascend,
    apply_relu_rules,
]  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_network_is_unchanged_after_a_computation(model: Awkward, action: Callable[[Awkward], None]) -> None:
    action(model)


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("action", ACTIONS)
def test_network_is_unchanged_after_its_forward_fails(
    model: Awkward, action: Callable[[Awkward], None], error: type[BaseException]
) -> None:
    model.fuse.error = error
    # `torch.fx` runs the forward while it traces, so it raises another exception.
    with pytest.raises((error, LurkError)):
        action(model)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_network_is_unchanged_after_an_observer_fails(model: Awkward, error: type[BaseException]) -> None:
    def fail(output: Tensor) -> None:
        raise error("blown")

    observers = dict.fromkeys(LAYERS, lambda output: None) | {"body.wide": fail}
    with pytest.raises(error, match="blown"), isolated(model), capture_outputs(model, observers):
        forward_until(model, images(), LAYERS)


def test_network_is_unchanged_after_an_interrupt_inside_isolated(model: Awkward) -> None:
    with pytest.raises(KeyboardInterrupt), isolated(model), capture_outputs(model, {"fuse": print}):
        raise KeyboardInterrupt


def test_capture_outputs_registers_no_hook_if_a_name_is_unknown(model: Awkward) -> None:
    names = {"body.first": print, "body.second": print}
    with pytest.raises(KeyError, match=r"body\.second"), capture_outputs(model, names):
        pass


def test_network_outside_isolated_is_unchanged_after_forward_until(model: Awkward) -> None:
    model.norm.eval()  # in training mode any forward moves its statistics
    forward_until(model, images(), ["body.wide"])
    with suppress(KeyError):
        activation(model, "nowhere", images())
    activation(model, "body.wide", images())
    model.norm.train()
