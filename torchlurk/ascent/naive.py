"""The plain way, kept to compare with: pixels moved straight up the gradient, no parametrisation.

The figures are those of the first Torchlurk, which took them from pytorch-cnn-visualizations: noise between
150 and 180 of 255, Adam at a rate of 0.1 with a weight decay of 1e-6, 30 steps, the whole input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from torchlurk.ascent.objectives import Objective
from torchlurk.ascent.optimise import AscentResult
from torchlurk.models.runner import Runnable, activation, as_runner

STEPS = 30
RATE = 0.1
DECAY = 1e-6
DARKEST, BRIGHTEST = 150 / 255, 180 / 255


def naive_ascend(
    model: Runnable,
    layer: str,
    channels: Sequence[int],
    size: tuple[int, int],
    normalise: Callable[[Tensor], Tensor],
    denormalise: Callable[[Tensor], Tensor],
    objective: Objective,
    generators: Sequence[torch.Generator],
    *,
    depth: int = 3,
) -> AscentResult:
    """Find images by gradient ascent on pixels (Erhan et al. 2009).

    Args:
        model: the network, isolated.
        layer: dotted name.
        channels: the filters, one an image.
        size: `(H, W)` of the images.
        normalise: from `(N, C, H, W)` in [0, 1] to what the network is fed.
        denormalise: its inverse.
        objective: what to maximise.
        generators: one a filter, on the CPU.
        depth: C, the channels of an image.

    Returns:
        Images and scores, on the model's device.
    """
    runner = as_runner(model)
    device = next((p.device for p in runner.model.parameters()), torch.device("cpu"))
    noise = torch.stack([torch.rand(depth, *size, generator=g) for g in generators])
    start = (DARKEST + noise * (BRIGHTEST - DARKEST)).to(device)
    chosen = torch.tensor(list(channels), device=device)
    x = normalise(start).detach().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        with torch.enable_grad():
            loss = -objective(activation(model, layer, x), chosen).sum()
        (x.grad,) = torch.autograd.grad(loss, [x])
        optimiser.step()
    with runner.without_gradients():
        images = denormalise(x).clamp(0, 1).detach()
        scores = objective(activation(model, layer, normalise(images)), chosen).detach()
    return AscentResult(images, scores)
