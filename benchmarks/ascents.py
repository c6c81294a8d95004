"""Compare filter images with torch-lucent at its default settings."""

from __future__ import annotations

import time
import warnings

import torch

from benchmarks.measure import Row
from benchmarks.setting import Setting, sample, weighted
from torchlurk.ascent.objectives import channel_mean
from torchlurk.ascent.optimise import AscentParams, ascend, canvas_size, filter_generator
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import activation
from torchlurk.runtime.devices import fastest_precision


def ascents_row(setting: Setting, per_layer: int) -> Row:
    """Measure the seconds per filter image, averaged over all filters, and compare the mean activations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lucent.optvis import render
    network = setting.network
    mean = torch.tensor(network.preprocess.mean).view(-1, 1, 1)
    std = torch.tensor(network.preprocess.std).view(-1, 1, 1)
    model = network.module
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    higher = 0
    shares: list[str] = []
    params = AscentParams(bfloat16=fastest_precision(torch.device("cpu")) == "bfloat16")
    for name, channels in sample(setting, 8):
        layer = setting.graph.layer(name)
        with isolated(model):
            size = canvas_size(layer.field, (224, 224))
            start = time.perf_counter()
            result = ascend(
                model, name, channels, size, lambda images: (images - mean) / std, channel_mean, params,
                [filter_generator(0, name, channel) for channel in channels],
            )  # fmt: skip
            ours[name] = (time.perf_counter() - start) / len(channels)
        compared = channels[:: max(1, 8 // per_layer)][:per_layer]
        reached, spent = [], 0.0
        for channel in compared:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = time.perf_counter()
                images = render.render_vis(
                    model.eval(), f"{name.replace('.', '_')}:{channel}", thresholds=(128,), show_image=False,
                    progress=False,
                )  # fmt: skip
                spent += time.perf_counter() - start
            x = (torch.from_numpy(images[-1]).permute(0, 3, 1, 2).float() - mean) / std
            with isolated(model), torch.inference_mode():
                reached.append(float(activation(model, name, x)[0, channel].mean()))
        theirs[name] = spent / len(compared)
        our_score = sum(float(result.scores[channels.index(c)]) for c in compared) / len(compared)
        their_score = sum(reached) / len(reached)
        higher += our_score >= their_score
        shares.append(
            f"{name.removeprefix('features.')}: {theirs[name] / ours[name]:.0f}x, "
            f"{our_score:.1f} to {their_score:.1f}"
        )
    a, b = weighted(setting, ours), weighted(setting, theirs)
    return Row("a filter image, layers weighted by filters", "torch-lucent 0.1.8, 128 steps", a, b, b / a,
               "at least 15 times faster, mean activation at least as high in every layer",
               b / a >= 15 and higher == len(ours),
               f"activation at least as high in {higher} of {len(ours)} layers; by layer, times faster and "
               f"activations: {'; '.join(shares)}")  # fmt: skip
