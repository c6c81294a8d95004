"""The public calls that take a network, with checks of their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import torchlurk
from tests.generated.description import Network
from tests.generated.heads import ENDS_IN_LINEAR
from tests.generated.reference import Reference, close, compute_reference
from torchlurk import explaining
from torchlurk.ascent.optimise import AscentParams

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLOSE = 1e-5
COUNT = 3


class WrongError(AssertionError):
    """A result that differs from plain torch."""


def check(condition: bool, what: str) -> None:
    if not condition:
        raise WrongError(what)


@dataclass(frozen=True)
class Case:
    """A network with its input images.

    Attributes:
        network: the description.
    """

    network: Network

    @cached_property
    def pairs(self) -> list[tuple[Image.Image, int]]:
        """Noise images of the input size with their classes."""
        draw = np.random.default_rng(self.network.seed)
        shape = (*self.network.size, 3)
        return [(Image.fromarray(draw.integers(0, 256, shape, np.uint8)), at % 2) for at in range(COUNT)]

    @cached_property
    def x(self) -> Tensor:
        """The preprocessed images."""
        pixels = torch.stack([torch.from_numpy(np.array(image)) for image, _ in self.pairs])
        values = pixels.permute(0, 3, 1, 2).contiguous().float() / 255
        return (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]

    @property
    def preprocess(self) -> Any:
        """The `preprocess` argument, in one of three forms."""
        size = self.network.size
        normalize = transforms.Normalize(MEAN, STD)
        if self.network.seed % 3 == 0:
            return torchlurk.Preprocess(size=size, resize=size)
        if self.network.seed % 3 == 1:
            return transforms.Compose([transforms.Resize(size), transforms.ToTensor(), normalize])
        return lambda image: normalize(transforms.functional.to_tensor(image))

    @cached_property
    def reference(self) -> Reference:
        """The results of plain torch."""
        return compute_reference(self.network, self.x)

    @property
    def layer(self) -> str:
        """One of the recorded layers."""
        names = list(self.reference.maps)
        return names[self.network.seed % len(names)]

    @property
    def logits(self) -> str:
        """`logits`; the name of a layer if several modules produce the output."""
        return "logits" if self.network.output in ("tensor", "default arguments") else self.layer

    def channel(self, layer: str) -> int:
        return self.network.seed % self.reference.maps[layer].size(1)

    def lurk(self, model: nn.Module, folder: Path) -> torchlurk.Lurk:
        return torchlurk.Lurk(
            model, self.preprocess, images=self.pairs, out=folder / "store", layers=list(self.reference.maps),
            top=COUNT, device="cpu", workers=0, progress=False, batch_size=2,
        )  # fmt: skip


def scan(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that the lists are the sorted activations."""
    lurker = case.lurk(model, folder)
    lurker.compute_top_imgs()
    found = {layer.name for layer in lurker}
    check(found == set(case.reference.maps), f"layers {sorted(found)}, not {sorted(case.reference.maps)}")
    for layer in lurker:
        maps = case.reference.maps[layer.name]
        scale = max(float(maps.abs().max()), 1e-30) * CLOSE
        where = f"of {layer.facts.kind}"
        check(len(layer) == maps.size(1), f"number of filters {where}")
        for entry in layer:
            own = maps[:, entry.channel]
            maxima, means = own.amax((1, 2)), own.mean((1, 2))
            _check_list([(one.image, one.score) for one in entry.max], maxima, scale, f"max list {where}")
            _check_list([(one.image, one.score) for one in entry.avg], means, scale, f"avg list {where}")
            for one in entry.max:
                assert one.position is not None
                reached = float(own[(one.image, *one.position)])
                check(abs(reached - float(maxima[one.image])) <= 2 * scale, f"position {where}")
            check(abs(entry.stats.mean - float(means.mean())) <= scale, f"stats.mean {where}")
            check(abs(entry.stats.max_mean - float(maxima.mean())) <= scale, f"stats.max_mean {where}")


def _check_list(entries: list[tuple[int, float]], values: Tensor, scale: float, what: str) -> None:
    wanted = values.sort(descending=True).values.tolist()
    check(len({image for image, _ in entries}) == len(entries) == len(wanted), f"images in {what}")
    for (image, score), best in zip(entries, wanted, strict=True):
        check(abs(score - best) <= scale, f"score in {what}")
        check(abs(score - float(values[image])) <= scale, f"image in {what}")


def compute_circuits(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that the parts of each score have its sum."""
    lurker = case.lurk(model, folder)
    lurker.compute_top_imgs()
    lurker.compute_circuits("all" if case.network.seed % 2 else "top")
    for layer in lurker:
        scale = max(float(case.reference.maps[layer.name].abs().max()), 1e-30) * CLOSE
        for entry in layer:
            score = entry.circuit.score
            # A list has all images.
            check(abs(score - entry.stats.max_mean) <= 2 * scale, "mean score of the units")
            size = abs(score) + entry.excitation - entry.inhibition
            error = abs(entry.excitation + entry.inhibition + entry.rest - score)
            check(error <= 2e-5 * size, "sum of the parts of a score")
            used = sum(abs(row.share) for row in entry.made_of())
            check(used <= 1 + 5e-4, "shares of what a filter is made of")  # contributions have four digits


def compute_grads(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that the crops reproduce their scores."""
    lurker = case.lurk(model, folder)
    lurker.compute_top_imgs()
    channel = case.channel(case.layer)
    method = ("deconv", "guided", "vanilla")[case.network.seed % 3]
    lurker.compute_grads(case.layer, [channel], method)
    entry = lurker[case.layer][channel]
    scale = float(case.reference.maps[case.layer].abs().max())
    check({"max_grads", "avg_grads"} <= set(entry.entry.pictures), "pictures of gradients")
    for one in entry.max:
        error = abs((one.certificate or 0.0) * one.score)
        check(error <= 10 * CLOSE * scale, "certificate")


def compute_viz(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that there is a filter image with its activation."""
    lurker = case.lurk(model, folder)
    lurker.compute_top_imgs()
    channel = case.channel(case.layer)
    lurker.compute_viz(case.layer, [channel], steps=2)
    entry = lurker[case.layer][channel]
    check(entry.entry.ascent is not None, "no ascent")
    check(entry.image.mode == "RGB", "mode of the filter image")


def gradients(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that gradients equal those of autograd."""
    reference = case.reference
    x = case.x[:2].clone()
    ones = torch.ones(reference.logits.size(1))
    if case.network.output == "dict":
        found = torchlurk.gradients(model, x, lambda output: output["logits"].sum(1))
        weights = ones
    else:
        found = torchlurk.gradients(model, x, 1)
        weights = ones * torch.tensor([0.0, 1.0, 0.0])
        check(close(found.value, reference.logits[:2, 1], CLOSE), "value of a class")
    check(torch.equal(x, case.x[:2]), "the input was changed")
    _check_gradient(found.input, reference, None, weights, slice(2), "gradient of a class")
    layer, channel = case.layer, case.channel(case.layer)
    maps = reference.maps[layer]
    found = torchlurk.gradients(model, x, f"{layer}:{channel}")
    weights = torch.zeros(maps.shape[1:])
    weights[channel] = 1 / weights[channel].numel()
    # Positive and negative activations may cancel: the rounding of a mean is relative to its terms.
    error = (found.value - maps[:2, channel].mean((1, 2))).abs().max()
    check(float(error) <= CLOSE * float(maps[:2, channel].abs().max()), "value of a map's mean")
    _check_gradient(found.input, reference, layer, weights, slice(2), "gradient of a map's mean")


def explain(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that the method "gradient" equals autograd for a class and a unit."""
    reference = case.reference
    params = explaining.AttributionParams(
        ("gradient", "guided", "deconv", "smoothgrad", "integrated"), samples=2, steps=2
    )
    layer, channel = case.layer, case.channel(case.layer)
    _, _, height, width = reference.maps[layer].shape
    at = (height // 2, width - 1)
    unit = torch.zeros(reference.maps[layer].shape[1:])
    unit[(channel, *at)] = 1.0
    targets: list[tuple[Any, str | None, Tensor]] = [
        (f"{layer}:{channel}@{at[0]},{at[1]}", layer, unit),
    ]
    if case.network.output != "dict":
        targets.append((2, None, torch.tensor([0.0, 0.0, 1.0])))
    for target, name, weights in targets:
        what = "class" if name is None else "unit"
        (found,) = torchlurk.explain(model, case.preprocess, case.pairs[1][0], target, params=params)
        values = reference.logits[1, 2] if name is None else reference.maps[name][(1, channel, *at)]
        scale = float(reference.logits.abs().max() if name is None else reference.maps[name].abs().max())
        check(abs(found.score - float(values)) <= CLOSE * scale, f"score of a {what}")
        _check_gradient(
            found.attributions["gradient"], reference, name, weights, slice(1, 2), f"gradient of a {what}"
        )


def _check_gradient(
    found: Tensor, reference: Reference, layer: str | None, weights: Tensor, rows: slice, what: str
) -> None:
    """Check a gradient against autograd's.

    The order of summation differs between memory formats. Where this matters (small differences of large
    terms, as after a layer norm), the error from float64 may be at most twice that of autograd.
    """
    plain = reference.gradients(layer, weights, rows)
    plain = [one.reshape(found.shape) for one in plain]
    if any(close(found, one, CLOSE) for one in plain):
        return
    exact = reference.exact_gradient(layer, weights, rows).reshape(found.shape)
    scale = float(exact.abs().max())
    error, rounding = (float((one.double() - exact).abs().max()) for one in (found, plain[0]))
    check(error <= 2 * rounding <= 1e-3 * scale, what)


def visualize(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that the same call gives the same image."""
    show = torchlurk.FeatureVisualizer(model, _invertible_preprocess(case), params=AscentParams(steps=2))
    layer = case.layer if case.network.seed % 2 else case.logits
    channel = 1 if layer == "logits" else case.channel(layer)
    first, second = show(channel, layer), show(channel, layer)
    check(first.tobytes() == second.tobytes(), "two calls give two images")


def record(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that there is a file with a frame for each call."""
    layer = case.logits
    recorder = torchlurk.FrameRecorder(
        model, folder / "a.gif", 1, image=case.pairs[0][0] if case.network.seed % 2 else None, layer=layer,
        every=1, preprocess=_invertible_preprocess(case), params=AscentParams(steps=2),
    )  # fmt: skip
    with recorder:
        recorder(0)
        recorder(1)
    check(len(recorder.frames) == 2 and (folder / "a.gif").is_file(), "frames")


def transfer(case: Case, model: nn.Module, folder: Path) -> None:
    """Check that the copy has another head and that frozen parameters are unchanged."""
    pairs = [(image, at % 2) for at, (image, _) in enumerate([*case.pairs, *case.pairs])]
    values = {name: value.clone() for name, value in model.named_parameters()}
    tuned = torchlurk.transfer(
        model, case.preprocess, images=pairs, val=0.4, out=folder / "run", epochs=1, batch_size=2,
        names=("1", "0", "none"), device="cpu", workers=0, progress=False,
    )  # fmt: skip
    trained = set(tuned.record.trained)
    for name, value in tuned.model.named_parameters():
        check(name in trained or torch.equal(value, values[name]), "a frozen parameter was changed")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        logits = tuned.model(case.x.clone())
    check(logits.shape == (COUNT, 2), f"the new head gives {tuple(logits.shape)}")


def _invertible_preprocess(case: Case) -> Any:
    """Return a preprocess with a known normalisation, which ascent needs."""
    size = case.network.size
    return torchlurk.Preprocess(size=size, resize=size) if case.network.seed % 3 == 2 else case.preprocess


Call = Callable[[Case, nn.Module, Path], None]
CALLS: dict[str, Call] = {
    "Lurk.compute_top_imgs": scan,
    "gradients": gradients,
    "explain": explain,
    "Lurk.compute_circuits": compute_circuits,
    "Lurk.compute_grads": compute_grads,
    "Lurk.compute_viz": compute_viz,
    "FeatureVisualizer": visualize,
    "FrameRecorder": record,
    "transfer": transfer,
}


def calls_for(network: Network) -> dict[str, Call]:
    """Return the calls that support a network: `transfer` needs a linear layer at the end."""
    ends = network.head.kind in ENDS_IN_LINEAR and network.output in ("tensor", "default arguments")
    return {name: call for name, call in CALLS.items() if name != "transfer" or ends}
