"""Compare gradients of maxima with Captum's `NeuronDeconvolution`."""

from __future__ import annotations

import time
import warnings

import torch
from captum.attr import NeuronDeconvolution
from torch import nn

from benchmarks.measure import Row
from benchmarks.setting import Setting, sample, weighted
from torchlurk.attribution.gradients import place_in_input, unit_gradients
from torchlurk.attribution.unit_cuts import Unit
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import Runner, activation
from torchlurk.runtime.devices import fastest_precision

IMAGES = 4


def gradients_row(setting: Setting, per_layer: int) -> Row:
    """Measure the seconds per gradient, averaged over all filters, and the difference from Captum's.

    Gradients are computed as `precompute` does: in channels_last, and in the precision that the device is
    fastest at. They are compared with Captum's in float32.
    """
    x = setting.images(IMAGES)
    bfloat16 = fastest_precision(x.device) == "bfloat16"
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    worst = 0.0
    runner = Runner(setting.network.module, "channels_last")
    for name, channels in sample(setting, per_layer):
        layer = setting.graph.layer(name)
        with isolated(runner.model), runner.in_memory_format():
            with torch.inference_mode():
                maps = activation(runner, name, x)
            units = []
            for channel in channels:
                for image in range(IMAGES):
                    y, column = divmod(int(maps[image, channel].argmax()), layer.shape[2])
                    units.append(Unit(image, channel, y, column))
            checked = units[:: max(1, len(units) // 4)]
            exact = {
                checked[g.index]: g
                for g in unit_gradients(runner, name, layer.field, list(x), checked, "deconv")
            }
            start = time.perf_counter()
            list(unit_gradients(runner, name, layer.field, list(x), units, "deconv", bfloat16=bfloat16))
            ours[name] = (time.perf_counter() - start) / len(units)
        # Captum as its users call it: the unmodified trunk, one filter and one image at a time.
        net = nn.Sequential(*[module for _, module in setting.trunk.named_children()]).eval()
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        in_place = [module for module in net if isinstance(module, nn.ReLU)]
        for module in in_place:
            module.inplace = False
        captum = NeuronDeconvolution(net, net[int(name.removeprefix("features."))])
        spent = 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, unit in enumerate(checked[:1] + checked):
                image = x[unit.image : unit.image + 1].contiguous()
                start = time.perf_counter()
                expected = captum.attribute(image, (unit.channel, unit.y, unit.x))[0]
                spent += (time.perf_counter() - start) if number else 0.0
                result = place_in_input(exact[unit], (224, 224))
                worst = max(
                    worst, float((result - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
                )
        for module in in_place:
            module.inplace = True
        theirs[name] = spent / len(checked)
    our_seconds, their_seconds = weighted(setting, ours), weighted(setting, theirs)
    by_layer = ", ".join(f"{n.removeprefix('features.')}: {theirs[n] / ours[n]:.1f}" for n in ours)
    return Row("a max gradient, layers weighted by filters", "Captum NeuronDeconvolution", our_seconds,
               their_seconds, their_seconds / our_seconds, "at least 10 times faster, equal to 1e-4",
               their_seconds / our_seconds >= 10 and worst <= 1e-4,
               f"largest relative difference {worst:.1e}; times faster by layer: {by_layer}")  # fmt: skip
