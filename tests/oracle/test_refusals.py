"""Networks that cannot be run, or lack something that is asked for: one line names the cause."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import torchlurk
from tests.as_written import FED, Plain, check, fed, lurk_of, net, pairs, precompute, scan, unchanged
from tests.helpers import refusal

Made = Callable[[], Any]


class Asserting(Plain):
    """It accepts one input size only."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] == 64, "a side of 64"
        return F.avg_pool2d(x, 2).mean((2, 3))


class Typed(Plain):
    """It fails for every input size."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(torch.int32))


class Keyed(Plain):
    def forward(self, x: Tensor) -> Tensor:
        sizes: dict[str, int] = {}
        return super().forward(x) * sizes["scale"]


class Dark(Plain):
    """It fails for some images only."""

    def forward(self, x: Tensor) -> Tensor:
        if float(x.detach()[:, 0, 0, 0].min()) < 0:
            raise ValueError("too dark")
        return super().forward(x)


class Two(Plain):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return super().forward(x * mask)


class Nothing(Plain):
    def forward(self, x: Tensor) -> Any:
        super().forward(x)


class Mapped(Plain):
    """It calls its layers inside `torch.vmap`."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.vmap(lambda one: super(Mapped, self).forward(one[None])[0])(x)


class Detached(Plain):
    def stem(self, x: Tensor) -> Tensor:
        return super().stem(x).detach()


def quietly(make: Made) -> Any:
    """The result of a function, without torch's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def scripted() -> Any:
    return quietly(lambda: torch.jit.script(small()))


def exported() -> Any:
    return quietly(lambda: torch.export.export(small(), (torch.rand(1, 3, 32, 32),)).module())


def lazy() -> nn.Module:
    return quietly(lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU()))


def meta() -> nn.Module:
    return Plain().to("meta")


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (Asserting, r"an input of 32 x 32 px does not pass .*\(a side of 64\), one of 64 x 64 px does"),
        (Typed, r"the forward of the network fails for an image of 32 x 32 px \(RuntimeError: .*\)"),
        (Keyed, r"the forward of the network fails .*KeyError: 'scale'\) at test_refusals.py, line \d+"),
        (Two, r"the forward of Two takes 2 inputs \(x, mask\); wrap it"),
        (Nothing, r"the network returns None for an input of 32 x 32 px; its forward must return a tensor"),
        (lambda: nn.Conv2d(1, 4, 3), r"does not take an input of 3 channels"),
        (scripted, r"the network is scripted by torch.jit, where torch runs no forward hooks"),
        (exported, r"the network is an exported program, which calls no modules"),
        (lazy, r"the network has lazy modules that are not initialized yet \(0.weight and 1 more\)"),
        (meta, r"is on the meta device and has no values"),
    ],
)
def test_a_network_that_cannot_be_scanned(make: Made, line: str, tmp_path: Path) -> None:
    model = make()
    found = refusal(lambda: scan(model, tmp_path / "store"))
    assert re.search(line, found), found
    assert make is Asserting or "size=" not in found


@pytest.mark.parametrize("make", [meta, scripted, exported, lazy, Keyed, Mapped])
def test_explain_and_gradients_refuse_it_too(make: Made) -> None:
    model = make()
    x = fed()[:1]
    for call in (
        lambda: torchlurk.explain(model, FED, pairs()[0][0], 0),
        lambda: torchlurk.gradients(
            model, x, 0, layers=[name for name, _ in model.named_modules() if name][:1]
        ),
    ):
        assert "internal" not in refusal(call)


def test_layers_inside_vmap_are_refused(tmp_path: Path) -> None:
    assert "inside a transform of torch.func" in refusal(lambda: scan(net(Mapped)(), tmp_path / "store"))


def test_a_forward_that_fails_for_one_image(tmp_path: Path) -> None:
    model = net(Dark)()
    with unchanged(model):
        lurk = lurk_of(model, tmp_path / "store", ["kind:Conv2d"])
        line = refusal(lurk.compute_top_imgs)
    assert "(ValueError: too dark) at test_refusals.py, line" in line


def test_a_layer_without_gradients_can_be_scanned_only(tmp_path: Path) -> None:
    model = net(Detached)()
    assert scan(model, tmp_path / "store", gradients=False).layers == ["first", "second", "head"]
    with unchanged(model):
        lurk = lurk_of(model, tmp_path / "store", ["kind:Conv2d"])
        show = torchlurk.FeatureVisualizer(model, FED)
        recorder = torchlurk.FrameRecorder(
            model, tmp_path / "a.gif", 0, layer="second", image=fed()[0], preprocess=FED
        )
        for call in (
            lambda: lurk.compute_grads(filters=1),
            lambda: torchlurk.gradients(model, fed()[:1], 0),
            lambda: torchlurk.explain(model, FED, pairs()[0][0], 0),
            lambda: show(0, layer="second", steps=1),
            lambda: recorder(0),
        ):
            assert "has no gradient with respect to" in refusal(call)


def pruned() -> nn.Module:
    model = Plain()
    prune.l1_unstructured(model.second, "weight", 0.5)
    return model


def parametrised() -> nn.Module:
    model = Plain()
    parametrizations.weight_norm(model.first)
    parametrizations.spectral_norm(model.second)
    return model


def tied() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model[2].weight = model[0].weight
    return model


def compiled() -> nn.Module:
    model = Plain()
    model.compile(backend="eager")
    return model


def inference() -> nn.Module:
    with torch.inference_mode():
        return Plain()


def traced() -> nn.Module:
    return torch.fx.symbolic_trace(Plain())


@pytest.mark.parametrize("make", [pruned, parametrised, tied, compiled, inference, traced])
def test_special_parameters_can_be_scanned(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    found = scan(net(make)(), tmp_path / "store")
    assert len(found.layers) >= 2
    assert found.skipped == {}
    for layer in found.layers:
        check(found, net(make), layer)


NETS = """
from tests.as_written import FED, net, Plain
from tests.oracle import test_batches_and_axes as axes, test_refusals as refusals

def crops(): return net(axes.Crops)(), FED
def dark(): return net(refusals.Dark)(), FED
def single(): return net(axes.Single)(), FED
"""


def test_the_command_reports_the_same(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    crops = precompute(f"{tmp_path / 'nets.py'}:crops", tmp_path, "--stages", "scan,gradients")
    assert crops.exit_code == 0
    assert "1 layer is not scanned: quarter (Conv2d) gives 4 rows for one image" in crops.output
    dark = precompute(f"{tmp_path / 'nets.py'}:dark", tmp_path, "--stages", "scan", "--overwrite")
    assert dark.exit_code == 1
    assert dark.output.splitlines()[-1].startswith("torchlurk: the forward of the network fails")
    assert "internal error" not in dark.output
    single = precompute(f"{tmp_path / 'nets.py'}:single", tmp_path, "--stages", "scan", "--overwrite")
    assert single.exit_code == 0
    assert "each image is run alone: a batch of 6 fails (ValueError: one image at a time)" in single.output


class Leaving(Plain):
    """It ends the program for some images only."""

    def forward(self, x: Tensor) -> Tensor:
        if float(x.detach()[:, 0, 0, 0].min()) < self.least:
            raise SystemExit(3)
        return super().forward(x)

    least = 0.0


class Quitting(Leaving):
    """It ends the program at once."""

    least = 10.0


@pytest.mark.parametrize("make", [Leaving, Quitting])
def test_a_forward_that_ends_the_program_is_refused_in_one_line(make: Made, tmp_path: Path) -> None:
    line = refusal(lambda: quietly(lambda: scan(net(make)(), tmp_path / "store")))
    assert "SystemExit: 3" in line
    assert re.search(r"test_refusals\.py, line \d+", line)
    assert not (tmp_path / "store" / "network.json").exists()
