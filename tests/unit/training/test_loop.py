"""The training loop."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from torchlurk.training import loop


def test_each_epoch_uses_all_images_in_its_own_order() -> None:
    draw = torch.Generator().manual_seed(3)
    for order in islice(loop.epoch_orders(10, 4, 3), 4):
        assert torch.equal(order, torch.randperm(10, generator=draw))


def test_an_image_that_would_be_alone_in_a_batch_is_left_out_of_the_epoch() -> None:
    drawn = list(islice(loop.epoch_orders(9, 4, 0), 6))
    assert all(len(order) == 8 for order in drawn)
    assert len({(set(range(9)) - set(order.tolist())).pop() for order in drawn}) > 1
    assert [loop.images_per_epoch(images, 4) for images in (5, 6, 7, 8, 9)] == [4, 6, 7, 8, 8]


def test_a_step_with_a_loss_of_nan_is_not_taken() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    good = (torch.rand(2, 3, 2, 2), torch.tensor([0, 1]))
    bad = (torch.full((2, 3, 2, 2), float("nan")), good[1])
    kept: dict[str, Tensor] = {}

    def batches() -> loop.Batches:
        yield good
        kept.update({name: value.clone() for name, value in model.state_dict().items()})
        yield bad

    with pytest.raises(loop.DivergenceError) as caught:
        loop.train_epoch(model, ("1",), optimiser, batches())
    assert caught.value.step == 1
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
