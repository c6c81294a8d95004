"""The naive method, for comparison: gradient ascent on pixels, without parametrisation.

Its constants are those of the first Torchlurk, which took them from pytorch-cnn-visualizations: uniform noise
between 150 and 180 of 255, Adam with a learning rate of 0.1 and a weight decay of 1e-6, 30 steps, images of
the size of the network's input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from torchlurk.ascent.objectives import Objective
from torchlurk.ascent.optimise import AscentResult
from torchlurk.models.runner import Runnable, activation, as_runner

_STEPS = 30
_LEARNING_RATE = 0.1
_WEIGHT_DECAY = 1e-6
_DARKEST, _BRIGHTEST = 150 / 255, 180 / 255


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
    """Optimise images by gradient ascent on pixels (Erhan et al. 2009).

    Args:
        model: The network, isolated.
        layer: Dotted name.
        channels: The filter of each image.
        size: `(H, W)` of the images.
        normalise: From `(N, C, H, W)` in [0, 1] to the network's input.
        denormalise: Its inverse.
        objective: The function to maximise.
        generators: A generator for each filter, on the CPU.
        depth: C, the channels of an image.

    Returns:
        Images and scores, on the model's device.
    """
    runner = as_runner(model)
    device = next((p.device for p in runner.model.parameters()), torch.device("cpu"))
    noise = torch.stack([torch.rand(depth, *size, generator=g) for g in generators])
    start = (_DARKEST + noise * (_BRIGHTEST - _DARKEST)).to(device)
    own_channels = torch.tensor(list(channels), device=device)
    x = normalise(start).detach().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    for _ in range(_STEPS):
        with torch.enable_grad():
            loss = -objective(activation(model, layer, x), own_channels).sum()
        (x.grad,) = torch.autograd.grad(loss, [x])
        optimiser.step()
    with runner.without_gradients():
        images = denormalise(x).clamp(0, 1).detach()
        scores = objective(activation(model, layer, normalise(images)), own_channels).detach()
    return AscentResult(images, scores)
