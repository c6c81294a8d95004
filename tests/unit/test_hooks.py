"""A network that was watched is as it was before: to the bit, and after any exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.networks import BRANCHING_LAYERS, Branching, Call, branching_maps, seeded
from torchlurk import explaining, graph, scan
from torchlurk.ascent import objectives, optimise
from torchlurk.attribution import gradients
from torchlurk.attribution.relu_rules import relu_rule
from torchlurk.attribution.sensitivity import gradients as gradients_by
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.hooks import activation, at_rest, forward_until, watching

SIZE = (3, 21, 26)


class Fuse(nn.Module):
    """Blows when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: type[BaseException] | None = None
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.error:
            raise self.error("blown")
        return x


class Awkward(nn.Module):
    """All that may be disturbed: buffers, mixed flags, frozen and shared parameters, own hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.body = Branching()
        self.fuse = Fuse()
        self.end = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.Linear(3, 3))
        self.end[2].weight = self.end[0].weight

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(self.fuse(self.norm(x))))


LAYERS = {f"body.{name}": channels for name, channels in BRANCHING_LAYERS.items()}


@pytest.fixture
def model() -> Awkward:
    made = seeded(Awkward)
    made.train()
    made.body.eval()
    made.body.pool.train()
    made.norm.running_mean += torch.tensor([0.1, 0.2, 0.3])
    made.body.first.weight.requires_grad_(False)
    made.body.wide.weight.grad = torch.ones_like(made.body.wide.weight)
    narrow = made.body.last.weight
    narrow.data = narrow.data.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    made.body.pool.register_forward_hook(lambda module, inputs, output: None)
    return made


def snapshot(model: nn.Module) -> dict[str, Any]:
    """All of a network's state that one can get hold of, and torch's own."""

    def memory(x: Tensor | None) -> object:
        if x is None:
            return None
        place = (x.data_ptr(), x.untyped_storage().data_ptr(), x.stride(), x.storage_offset())
        return (id(x), place, x.dtype, x.requires_grad, x.detach().clone().tolist())

    found: dict[str, Any] = {"modes": torch.overrides._get_current_function_mode_stack()}
    found["grad"], found["inference"] = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    found["global hooks"] = [
        list(value)
        for name, value in sorted(vars(torch.nn.modules.module).items())
        if name.startswith("_global_") and name.endswith("_hooks")
    ]
    for name, module in model.named_modules():
        own = vars(module)
        found[f"{name}: training"] = module.training
        found[f"{name}: hooks"] = {k: dict(v) for k, v in own.items() if "hooks" in k}
        found[f"{name}: attributes"] = sorted(own)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found[f"{name}: parameter"] = memory(parameter)
        found[f"{name}: gradient"] = memory(parameter.grad)
        found[f"{name}: leaf"] = parameter.is_leaf
    for name, buffer in model.named_buffers():
        found[f"{name}: buffer"] = memory(buffer)
    return found


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
    with at_rest(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        model(images())


def rest_twice(model: Awkward) -> None:
    with at_rest(model), at_rest(model):
        model(images())


def watch(model: Awkward) -> None:
    with at_rest(model), watching(model, dict.fromkeys(LAYERS, lambda output: None)):
        model(images())


def run_until(model: Awkward) -> None:
    with at_rest(model):
        forward_until(model, images(), LAYERS)


def activate(model: Awkward) -> None:
    with at_rest(model), torch.enable_grad():
        activation(model, "body.wide", images().requires_grad_()).sum().backward()


def trace(model: Awkward) -> None:
    with at_rest(model):
        layers(model)


def scan_all(model: Awkward) -> None:
    with at_rest(model):
        list(scan.scan(model, scan.empty(LAYERS, 2, 3), batches()))


def scan_some(model: Awkward) -> None:
    with at_rest(model):
        states = scan.scan(model, scan.empty(LAYERS, 2, 3), batches())
        next(states)
        states.close()


def units_all(model: Awkward) -> None:
    with at_rest(model):
        field = layers(model).layer("body.last").field
        for rule in ("deconv", "guided", "vanilla"):
            list(gradients.unit_gradients(model, "body.last", field, list(images()), units(), rule))


def units_some(model: Awkward) -> None:
    with at_rest(model):
        field = layers(model).layer("body.wide").field
        found = gradients.unit_gradients(model, "body.wide", field, list(images()), units(), "guided")
        next(found)
        found.close()


def maps_all(model: Awkward) -> None:
    with at_rest(model):
        list(gradients.map_gradients(model, "body.last", images()[0], [0, 2], "deconv"))


def maps_some(model: Awkward) -> None:
    with at_rest(model):
        found = gradients.map_gradients(model, "body.last", images()[0], [0, 2], "deconv")
        next(found)
        found.close()


def climb(model: Awkward) -> None:
    with at_rest(model):
        optimise.ascend(
            model, "body.wide", [0, 3], (24, 20), lambda x: x - 0.5, objectives.channel_mean,
            optimise.Recipe(steps=2), [optimise.generator(0, "wide", c) for c in (0, 3)],
        )  # fmt: skip


def explain_all(model: Awkward) -> None:
    photo = Image.new("RGB", (SIZE[2], SIZE[1]), (200, 90, 10))
    recipe = explaining.Recipe(samples=2, steps=2)
    fed = Preprocess(size=SIZE[1:], resize=None)
    for way, target in (("all", "predicted"), ("cascading", "body.wide:2@1,3")):
        explaining.explain(model, fed, photo, target, recipe=recipe, randomize=way)


def explain_what_is_not_there(model: Awkward) -> None:
    photo = Image.new("RGB", (SIZE[2], SIZE[1]))
    with suppress(LurkError):
        explaining.explain(model, Preprocess(size=SIZE[1:], resize=None), photo, "body.wide:2@99,3")


def gradients_of_all(model: Awkward) -> None:
    found = gradients_by(model, images(), 1, layers=["body.first", "fuse"], parameters=["", "end"])
    assert found.parameters["end.2.weight"] is not None
    gradients_by(model, images(), "body.wide", layers=["norm"], weights=torch.ones(2, 5, 11, 13))


def rules(model: Awkward) -> None:
    with at_rest(model), relu_rule("deconv"), relu_rule("guided"):
        model(images())


ACTIONS: list[Callable[[Awkward], None]] = [
    rest, rest_twice, watch, run_until, activate, trace, scan_all, scan_some, units_all, units_some,
    maps_all, maps_some, climb, explain_all, gradients_of_all, rules,
]  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_after_what_it_is_for(model: Awkward, action: Callable[[Awkward], None]) -> None:
    action(model)


def test_after_a_target_that_is_not_there(model: Awkward) -> None:
    explain_what_is_not_there(model)


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
    with pytest.raises(error, match="blown"), at_rest(model), watching(model, watchers):
        forward_until(model, images(), LAYERS)


def test_after_a_failure_inside_of_at_rest(model: Awkward) -> None:
    with pytest.raises(KeyboardInterrupt), at_rest(model), watching(model, {"fuse": print}):
        raise KeyboardInterrupt


def test_an_unknown_name_sets_no_hook(model: Awkward) -> None:
    names = {"body.first": print, "body.second": print}
    with pytest.raises(KeyError, match=r"body\.second"), watching(model, names):
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

    with torch.inference_mode(), watching(model, {name: keep(name) for name in wanted}):
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
    with watching(model, {name: lambda output, name=name: spoken.append(name) for name in "02"}):
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
    with pytest.raises(ValueError, match="not today"):
        activation(model, "1", images())
