"""Captured outputs are those of the layers, and a forward ends after the last layer that is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.awkward import Fuse
from tests.networks import Branching, Call, branching_maps, seeded
from tests.unit.models.conftest import images
from torchlurk.models.runner import ForwardError, activation, capture_outputs, forward_until


def test_outputs_are_captured_before_an_in_place_relu_overwrites_them() -> None:
    model = seeded(Branching)
    wanted = branching_maps(model, images())
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def observer(output: Tensor) -> None:
            seen[name] = output.clone()

        return observer

    with torch.inference_mode(), capture_outputs(model, {name: keep(name) for name in wanted}):
        model(images())
    for name, maps in wanted.items():
        assert maps.min() < 0
        torch.testing.assert_close(seen[name], maps, rtol=1e-4, atol=1e-5)
        with torch.inference_mode():
            found = activation(model, name, images())
        torch.testing.assert_close(found, maps, rtol=1e-4, atol=1e-5)


def test_forward_until_ends_after_the_last_layer() -> None:
    first, second = Fuse(), Fuse()
    model = nn.Sequential(nn.Conv2d(3, 2, 3), first, nn.Conv2d(2, 2, 3), second)
    called: list[str] = []
    with capture_outputs(model, {name: lambda output, name=name: called.append(name) for name in "02"}):
        forward_until(model, images(), ["0", "2"])
    assert called == ["0", "2"], "the caller's observer is called before the forward ends"
    assert (first.calls, second.calls) == (1, 0)
    forward_until(model, images(), [])
    assert (first.calls, second.calls) == (2, 1)


def test_forward_until_ends_a_forward_that_catches_exceptions() -> None:
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


def test_activation_reports_why_a_forward_failed() -> None:
    def fail(x: Tensor) -> Tensor:
        raise ValueError("not today")

    model = nn.Sequential(Call(fail), nn.Conv2d(3, 2, 3))
    with pytest.raises(ForwardError, match="ValueError: not today"):
        activation(model, "1", images())
