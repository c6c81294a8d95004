"""Expanded weights: how a filter weighs a layer upstream that need not be adjacent.

They are the kernel of the linear map between two layers in the linearised network (Voss et al. 2021,
"Visualizing Weights", doi:10.23915/distill.00024.007). Paths through the layers between are summed, so
excitation along one and inhibition along another cancel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchlurk.circuits.cuts import Call, Cuts, cut_forward, find_cuts
from torchlurk.circuits.linearise import Linearised
from torchlurk.errors import LurkError
from torchlurk.graph import Layer
from torchlurk.models.hooks import as_feature_map
from torchlurk.models.runner import Runner, forward_until


def expanded_weights(
    runner: Runner,
    layers: Sequence[Layer],
    layer: str,
    channels: Sequence[int],
    upstream: str,
    x: Tensor,
    *,
    cuts: Cuts | None = None,
) -> Tensor:
    """Compute the weights of filters with respect to a layer upstream, in the linearised network.

    Args:
        runner: How to run the network, which is isolated.
        layers: All scanned layers, in execution order.
        layer: The layer of the filters.
        channels: The filters.
        upstream: A layer that `layer` depends on, directly or not.
        x: `(1, C, H, W)`, an input; the weights depend on it only through what `Linearised` leaves as it is.
        cuts: Where the network is cut, `find_cuts(runner, layers, x)` by default.

    Returns:
        `(F, C_upstream, kh, kw)`: the gradient of the filter's central unit with respect to the upstream
        layer's output, without the rows and columns at the margins that are zero for all the layer's filters.

    Raises:
        LurkError: There is no such layer, or data does not flow from one to the other.
    """
    by_name = {one.name: one for one in layers}
    for name in (layer, upstream):
        if name not in by_name:
            raise LurkError(f"layer {name!r} is not among the scanned layers", "name one of them")
    modules = (cuts or find_cuts(runner, layers, x)).modules
    found: list[Tensor] = []

    def observe(call: Call) -> None:
        if call.layer == layer and upstream in call.upstream:
            maps = as_feature_map(call.module, call.output, by_name[layer].axes)
            found.append(_weights(maps, channels, call.upstream[upstream], by_name[upstream]))

    with cut_forward(runner, layers, {upstream: modules[upstream]}, observe), Linearised():
        forward_until(runner, x[:1].detach(), [layer])
    if not found:
        raise LurkError(
            f"layer {layer!r} does not depend on layer {upstream!r} for this input",
            "name a layer that comes before it on a path of the network",
        )
    return found[0]


def _weights(maps: Tensor, channels: Sequence[int], leaves: Sequence[Tensor], upstream: Layer) -> Tensor:
    """Return the gradients of central units with respect to the leaves of one layer, without zero margins."""
    centre = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]

    def gradient(weights: Tensor) -> Tensor:
        gradients = torch.autograd.grad(centre, leaves, weights, retain_graph=True)
        return upstream.axes.map(torch.stack(gradients).sum(0))[0]

    # Random weights of all filters, so that the window does not depend on which filters are requested.
    draw = torch.Generator().manual_seed(0)
    support = gradient(torch.rand(len(centre), generator=draw).to(centre) + 0.5) != 0
    rows, columns = (_extent(support.any(0).any(dim)) for dim in (1, 0))
    one_hot = torch.eye(len(centre), dtype=centre.dtype, device=centre.device)
    return torch.stack([gradient(one_hot[channel])[:, rows, columns] for channel in channels])


def _extent(support: Tensor) -> slice:
    """Return the slice from the first true value to the last; at least one index."""
    (inside,) = support.nonzero(as_tuple=True)
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 1)
