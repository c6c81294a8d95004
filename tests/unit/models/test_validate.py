"""Which networks pass the checks, and what their trial forward returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from torchlurk.errors import LurkError
from torchlurk.models.outputs import as_logits
from torchlurk.models.validate import check_network


class Gives(nn.Module):
    def __init__(self, give: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.give = give

    def forward(self, x: torch.Tensor) -> Any:
        return self.give(self.conv(x).mean((2, 3)))


class Two(nn.Module):
    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return image * mask


class Nothing(nn.Module):
    def forward(self) -> torch.Tensor:
        return torch.zeros(1)


@pytest.mark.parametrize(
    ("give", "kind", "logits"),
    [
        (lambda x: x, "Tensor", 4),
        (lambda x: (x, x), "tuple", 4),
        (lambda x: {"out": x}, "dict", None),
        (lambda x: [None, x[:, :, None, None]], "list", None),
    ],
)
def test_check_network_accepts_every_output_with_a_tensor(
    give: Callable[[torch.Tensor], Any], kind: str, logits: int | None
) -> None:
    module = Gives(give).train()
    found = check_network(module, (3, 8, 8))
    assert (found.kind, found.logits) == (kind, logits)
    assert module.training
    assert module.conv.weight.requires_grad
    output = module(torch.zeros(2, 3, 8, 8))
    if logits:
        assert as_logits(output).shape == (2, 4)
    else:
        with pytest.raises(LurkError, match="not one row of logits per image"):
            as_logits(output)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (Gives(lambda _: None), (3, 8, 8), "returns None for an input of 8 x 8 px; its forward must return"),
        (Gives(lambda _: {"a": 1}), (3, 8, 8), "returns a dict for an input"),
        (
            Gives(lambda x: x),
            (3, 2, 9),
            r"input of 2 x 9 px does not pass .* one of 28 x 28 px does; give size=28,",
        ),
        (Gives(lambda x: x), (1, 8, 8), "does not take an input of 1 channels"),
        (Two(), (3, 8, 8), r"takes 2 inputs \(image, mask\); wrap it"),
        (Nothing(), (3, 8, 8), "takes no input; wrap it"),
    ],
)
def test_check_network_reports_unusable_networks_in_one_line(
    module: nn.Module, shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        check_network(module, shape)
    assert "\n" not in str(caught.value)


def test_check_network_names_a_parameter_that_is_not_finite() -> None:
    module = Gives(lambda x: x)
    module.conv.weight.data[0, 0, 0, 0] = torch.inf
    with pytest.raises(LurkError, match=r"conv\.weight of the network holds NaN or infinity"):
        check_network(module, (3, 8, 8))
