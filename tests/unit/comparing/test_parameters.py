"""The parameters of a filter as a vector."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torchlurk.comparing.parameters import filter_parameters, parameter_changes
from torchlurk.errors import LurkError


@pytest.mark.parametrize("groups", [1, 2])
def test_the_rows_of_a_transposed_convolution_are_its_outputs(groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups)
    rows = filter_parameters(layer, 6)
    assert rows is not None
    assert rows.shape == (6, 4 // groups * 9 + 1)
    x = torch.randn(1, 4, 5, 5)
    before = layer(x)
    changed = 3
    with torch.no_grad():
        layer.bias[changed] = 0
        layer.weight.view(groups, 4 // groups, 6 // groups, 3, 3)[
            changed // (6 // groups), :, changed % (6 // groups)
        ] = 0
    assert (layer(x) - before).abs().amax((0, 2, 3)).nonzero().flatten().tolist() == [changed]
    after = filter_parameters(layer, 6)
    assert after is not None
    size, direction = parameter_changes("t", rows, after)
    assert size.tolist() == [0, 0, 0, 1, 0, 0]
    assert direction[changed].isnan()


def test_layers_without_parameters_of_their_own() -> None:
    assert filter_parameters(nn.ReLU(), 4) is None
    assert filter_parameters(nn.Sequential(nn.Conv2d(3, 4, 1)), 4) is None
    norm = filter_parameters(nn.BatchNorm2d(4), 4)
    assert norm is not None
    assert norm.shape == (4, 2)
    with pytest.raises(LurkError, match=r"10 weights .* and 6 "):
        parameter_changes("0", torch.zeros(4, 10), torch.zeros(4, 6))
