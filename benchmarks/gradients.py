"""Max gradients beside Captum's `NeuronDeconvolution`."""

from __future__ import annotations

import time
import warnings

import torch
from captum.attr import NeuronDeconvolution
from torch import nn

from benchmarks.measure import Row
from benchmarks.setting import Setting, sample, weighted
from torchlurk.attribution.gradients import Unit, place_in_input, unit_gradients
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import activation

IMAGES = 4


def gradients_row(setting: Setting, per_layer: int) -> Row:
    """Seconds a gradient, averaged over all filters of the network; ours equals Captum's to 1e-4."""
    x = setting.images(IMAGES)
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    worst = 0.0
    model = setting.network.module
    for name, channels in sample(setting, per_layer):
        layer = setting.graph.layer(name)
        with isolated(model):
            with torch.inference_mode():
                maps = activation(model, name, x)
            units = []
            for channel in channels:
                for image in range(IMAGES):
                    y, column = divmod(int(maps[image, channel].argmax()), layer.shape[2])
                    units.append(Unit(image, channel, y, column))
            list(unit_gradients(model, name, layer.field, list(x), units[:1], "deconv"))
            begin = time.perf_counter()
            found = {g.index: g for g in unit_gradients(model, name, layer.field, list(x), units, "deconv")}
            ours[name] = (time.perf_counter() - begin) / len(units)
        # Captum as a user calls it: the trunk as it comes, up to the layer, one filter and image at a time.
        net = nn.Sequential(*[module for _, module in setting.trunk.named_children()]).eval()
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        in_place = [module for module in net if isinstance(module, nn.ReLU)]
        for module in in_place:
            module.inplace = False
        captum = NeuronDeconvolution(net, net[int(name.removeprefix("features."))])
        checked = units[:: max(1, len(units) // 4)]
        spent = 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, unit in enumerate(checked[:1] + checked):
                image = x[unit.image : unit.image + 1].contiguous()
                begin = time.perf_counter()
                expected = captum.attribute(image, (unit.channel, unit.y, unit.x))[0]
                spent += (time.perf_counter() - begin) if number else 0.0
                got = place_in_input(found[units.index(unit)], (224, 224))
                worst = max(
                    worst, float((got - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
                )
        for module in in_place:
            module.inplace = True
        theirs[name] = spent / len(checked)
    mine, other = weighted(setting, ours), weighted(setting, theirs)
    by_layer = ", ".join(f"{n.removeprefix('features.')}: {theirs[n] / ours[n]:.1f}" for n in ours)
    return Row("a max gradient, layers weighted by filters", "Captum NeuronDeconvolution", mine, other,
               other / mine, "at least 5 times faster, equal to 1e-4", other / mine >= 5 and worst <= 1e-4,
               f"largest relative difference {worst:.1e}; times faster by layer: {by_layer}")  # fmt: skip
