"""The code for CUDA, run without a CUDA device on tensors that have a device and a shape but no values.

Torch refuses an operation on such tensors of two devices, and one that needs a value on the CPU: on a
device, it would fail, or wait. The autograd engine does not start without a device, so backward passes are
replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.networks import BRANCHING_LAYERS, Branching
from torchlurk import graph
from torchlurk.ascent import naive, optimise
from torchlurk.ascent.objectives import centre_unit, channel_mean
from torchlurk.ascent.optimise import AscentParams, ascend, filter_generator
from torchlurk.attribution import gradients
from torchlurk.attribution.relu_rules import RELU_RULES, ReluRule
from torchlurk.attribution.unit_cuts import Unit
from torchlurk.datasets.inputs import Preprocess
from torchlurk.graph import Layer
from torchlurk.models.runner import Runner
from torchlurk.runtime import pictures
from torchlurk.scan import scan as scanning
from torchlurk.scan.scan import ScanBatch, scan
from torchlurk.scan.state import initial_state

CUDA = torch.device("cuda", 0)
SIZE = (3, 41, 54)


@pytest.fixture
def layers() -> dict[str, Layer]:
    found = graph.trace(Branching().eval(), SIZE, lambda _, module: isinstance(module, nn.Conv2d))
    return {layer.name: layer for layer in found.layers}


@pytest.fixture
def fake(layers: dict[str, Layer], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors without values, from here on; the layers are traced before."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(Tensor, "pin_memory", lambda values: values)  # which they do not have
    with FakeTensorMode():
        yield


def network() -> nn.Module:
    with torch.device(CUDA):
        return Branching().eval().requires_grad_(False)


def zeros(value: Tensor, inputs: list[Tensor], **more: object) -> tuple[Tensor, ...]:
    """Stand for a backward pass."""
    assert value.device == CUDA
    assert value.requires_grad
    return tuple(torch.zeros_like(x) for x in inputs)


def test_tensors_of_two_devices_and_waits_are_noticed(fake: None) -> None:
    x = torch.ones(3, device=CUDA)
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(3)
    for wait in (Tensor.item, bool, Tensor.nonzero):
        with pytest.raises(RuntimeError):
            wait(x.sum() > 0 if wait is bool else x[0] if wait is Tensor.item else x)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("images", [1, 8])
def test_a_scan(fake: None, monkeypatch: pytest.MonkeyPatch, bfloat16: bool, images: int) -> None:
    """Only whether all activations are finite is needed as a value, and that later."""
    asked: list[int] = []

    def read_later(flag: Tensor) -> Callable[[], bool]:
        assert (flag.device, flag.dtype, flag.dim()) == (CUDA, torch.bool, 0)
        asked.append(0)
        number = len(asked)

        def wait() -> bool:
            assert len(asked) == min(number + 1, 3), "the next forward has not been started"
            return True

        return wait

    monkeypatch.setattr(scanning, "read_later", read_later)
    x = torch.randn(images, *SIZE, device=CUDA)
    ids = torch.arange(images, device=CUDA)
    start = initial_state(BRANCHING_LAYERS, 5, 4, CUDA)
    states = list(scan(network(), start, [ScanBatch(ids, ids % 5, x)] * 3, bfloat16=bfloat16))
    assert len(states) == len(asked) == 3
    for name, channels in BRANCHING_LAYERS.items():
        layer = states[-1].layers[name]
        assert layer.max.scores.device == layer.avg.positions.device == CUDA
        assert layer.max.scores.dtype == torch.float32
        assert layer.max_by_class.shape == (5, channels)
        assert layer.max_by_class.dtype == torch.float64


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("objective", [channel_mean, centre_unit])
def test_an_ascent(
    fake: None,
    monkeypatch: pytest.MonkeyPatch,
    bfloat16: bool,
    objective: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """All of it, from the random start to the final scores, needs no value."""
    monkeypatch.setattr(torch.autograd, "grad", zeros)
    monkeypatch.setattr(optimise, "initial_spectrum", without_generators(optimise.initial_spectrum))
    monkeypatch.setattr(optimise, "draw_jitter", without_generators(optimise.draw_jitter))
    generators = [filter_generator(0, "last", channel) for channel in range(3)]
    found = ascend(
        network(), "last", [0, 3, 5], SIZE[1:], Preprocess().normalise, objective,
        AscentParams(steps=10, bfloat16=bfloat16), generators,
    )  # fmt: skip
    assert (found.images.device, tuple(found.images.shape)) == (CUDA, (3, *SIZE))
    assert (found.scores.device, tuple(found.scores.shape)) == (CUDA, (3,))


def test_the_naive_ascent(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.autograd, "grad", zeros)
    rand = torch.rand
    monkeypatch.setattr(naive.torch, "rand", lambda *size, generator: rand(*size))
    preprocess = Preprocess()
    found = naive.naive_ascend(
        network(), "last", [0, 3], SIZE[1:], preprocess.normalise, preprocess.denormalise, channel_mean,
        [filter_generator(0, "last", channel) for channel in (0, 3)],
    )  # fmt: skip
    assert found.scores.device == CUDA


def without_generators(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Draw in a mode in which generators do not work."""

    def call(generators: list[torch.Generator], *args: object) -> Tensor:
        rows = [None] * len(generators)
        randn, rand = torch.randn, torch.rand
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn", lambda *size, generator: randn(*size))
            patch.setattr(torch, "rand", lambda *size, generator: rand(*size))
            return draw(rows, *args)

    return call


@pytest.mark.parametrize("rule", RELU_RULES)
def test_gradients_of_units(
    layers: dict[str, Layer], fake: None, monkeypatch: pytest.MonkeyPatch, rule: ReluRule
) -> None:
    """No value is needed, so that the next block can be started before this one is finished."""
    done: list[int] = []

    def count(value: Tensor, inputs: list[Tensor], **more: object) -> tuple[Tensor, ...]:
        done.append(len(inputs[0]))
        return zeros(value, inputs)

    def count_products(
        outputs: list[Tensor], vectors: list[Tensor], inputs: list[Tensor], **more: object
    ) -> object:
        assert [(v.device, v.shape) for v in vectors] == [(y.device, y.shape) for y in outputs]
        return count(outputs[0], inputs)

    monkeypatch.setattr(gradients, "input_gradients", count)
    monkeypatch.setattr(gradients, "vector_jacobian_products", count_products)
    images = list(torch.randn(2, *SIZE, device=CUDA))
    units = [Unit(0, 1, 3, 4), Unit(1, 2, 3, 5), Unit(1, 0, 4, 4)]
    results = list(gradients.unit_gradients(network(), "last", layers["last"].field, images, units, rule))
    assert sorted(result.index for result in results) == [0, 1, 2]
    assert {result.score.device for result in results} == {CUDA}
    assert done == [3]  # cuts of one size, so one backward pass
    done.clear()
    found = list(gradients.map_gradients(network(), "last", images[0], [1, 4], rule))
    assert [tuple(gradient.shape) for gradient in found] == [SIZE] * 2
    assert done == [1, 1]
    done.clear()
    maps = [[("last", 1), ("first", 4)], [("last", 2)]]
    together = gradients.gradients_of_maps(network(), torch.stack(images), maps, rule)
    assert [tuple(gradient.shape) for gradient in together] == [(2, *SIZE), (1, *SIZE)]
    assert done == [2, 2]  # a backward pass for the first of both lists, and one for the second


def test_inputs_and_pictures(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """From bytes to a network's input, and from a gradient on the device to what is copied back."""
    arrays = torch.zeros(4, 20, 20, 3, dtype=torch.uint8, device=CUDA)
    for preprocess in (Preprocess(size=20, resize=20), Preprocess(size=20, resize=20, reciprocal=True)):
        x = preprocess.to_input(arrays)
        assert (x.device, x.dtype, tuple(x.shape)) == (CUDA, torch.float32, (4, 3, 20, 20))
        assert preprocess.normalise(preprocess.denormalise(x)).device == CUDA
    cut = pictures.crop_gradient(torch.zeros(3, 20, 20, device=CUDA), (-2, 4, 12, 18))
    assert (cut.device, tuple(cut.shape)) == (CUDA, (3, 14, 14))
    for size in ((20, 20), (10, 10), (60, 60)):
        drawn = pictures.draw_gradients(torch.randn(4, 3, 20, 20, device=CUDA), size)
        assert (drawn.device, drawn.dtype, tuple(drawn.shape)) == (CUDA, torch.uint8, (4, *size, 3))


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_a_runner(fake: None, memory_format: str) -> None:
    runner = Runner(network(), memory_format)  # type: ignore[arg-type]
    with runner.in_memory_format(), runner.without_gradients():
        output = runner(torch.randn(2, *SIZE, device=CUDA))
    assert isinstance(output, Tensor)
    assert output.device == CUDA
