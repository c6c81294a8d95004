"""Every public call restores the state of the network that it is given, also when it is interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import torchlurk
from tests.awkward import SIZE, Awkward, awkward, snapshot
from torchlurk import explaining
from torchlurk.ascent.optimise import AscentParams

FED = torchlurk.Preprocess(size=SIZE[1:], resize=SIZE[1:])
PHOTO = Image.linear_gradient("L").resize((SIZE[2], SIZE[1])).convert("RGB")
PAIRS = [(PHOTO, 0), (PHOTO.rotate(90), 1), (PHOTO.rotate(180), 0)]
QUICK = AscentParams(steps=2)


def images() -> torch.Tensor:
    return torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(2))


def lurk(model: Awkward, out: Path) -> torchlurk.Lurk:
    return torchlurk.Lurk(
        model, FED, images=PAIRS, out=out, layers=["kind:Conv2d", "logits"], device="cpu", workers=0,
        progress=False, batch_size=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("saved") / "net"
    lurk(awkward(), out).compute_top_imgs()
    return out


def scan(model: Awkward, folder: Path) -> None:
    lurk(model, folder / "new").compute_top_imgs()


def grads(model: Awkward, folder: Path) -> None:
    lurk(model, folder / "net").compute_grads(["body.last", "logits"], [1], "guided", certify="all")


def viz(model: Awkward, folder: Path) -> None:
    lurker = lurk(model, folder / "net")
    lurker.compute_viz("body.wide", [1], steps=2)
    lurker.compute_viz("logits", [1], strategy="naive", overwrite=True)


def circuits(model: Awkward, folder: Path) -> None:
    lurker = lurk(model, folder / "net")
    lurker.compute_circuits()
    lurker.compute_circuits("all", overwrite=True)


def contributions(model: Awkward, folder: Path) -> None:
    torchlurk.contributions(model, images()[:1], "body.last:1")


def ablate(model: Awkward, folder: Path) -> None:
    lurker = lurk(model, folder / "new")
    lurker.ablate("body.wide", [1, 3])
    lurker.ablate("norm", 0, "mean")


def compare(model: Awkward, folder: Path) -> None:
    shutil.copytree(folder / "net", folder / "other")
    torchlurk.compare(
        folder / "net", folder / "other", images=PAIRS, model=[model, awkward()], preprocess=FED,
        device="cpu", workers=0, progress=False,
    )  # fmt: skip


def explain(model: Awkward, folder: Path) -> None:
    params = explaining.AttributionParams(samples=2, steps=2)
    for way, target in (("all", "predicted"), ("cascading", "body.wide:2@1,3")):
        torchlurk.explain(model, FED, PHOTO, target, params=params, randomize=way)


def gradients(model: Awkward, folder: Path) -> None:
    found = torchlurk.gradients(model, images(), 1, layers=["body.first", "fuse"], parameters=["", "end"])
    assert found.parameters["end.2.weight"] is not None
    torchlurk.gradients(model, images(), "body.wide", layers=["norm"], weights=torch.ones(2, 5, 11, 13))


def visualize(model: Awkward, folder: Path) -> None:
    show = torchlurk.FeatureVisualizer(model, FED, params=QUICK)
    show([0, 2])
    show(1, "body.last", diversity=2)
    show(1, "body.wide", position=(2, 3))


def record(model: Awkward, folder: Path) -> None:
    for image in (PHOTO, None):
        given: dict[str, Any] = {"image": image, "every": 1, "preprocess": FED, "params": QUICK}
        with torchlurk.FrameRecorder(model, folder / "a.gif", 1, **given) as recorder:
            recorder(0)
            recorder(1)


def transfer(model: Awkward, folder: Path) -> None:
    pairs = [(PHOTO.rotate(30 * at), at % 2) for at in range(6)]
    torchlurk.transfer(
        model, FED, images=pairs, val=0.4, out=folder / "run", unfreeze=["body.last", "*norm*"], epochs=2,
        names=("1", "0", "none"), device="cpu", workers=0, progress=False,
    )  # fmt: skip


CALLS: dict[str, Callable[[Awkward, Path], None]] = {
    "Lurk.ablate": ablate,
    "Lurk.compute_top_imgs": scan,
    "Lurk.compute_circuits": circuits,
    "Lurk.compute_grads": grads,
    "Lurk.compute_viz": viz,
    "compare": compare,
    "contributions": contributions,
    "explain": explain,
    "gradients": gradients,
    "FeatureVisualizer": visualize,
    "FrameRecorder": record,
    "transfer": transfer,
}
WITHOUT_A_NETWORK = {
    "Ablation", "AscentParams", "AttributionParams", "ClassEffect", "ClassLogit", "Comparison",
    "ComparisonRow", "Contribution", "DownstreamFilter", "Explanation", "FilterEffect", "FilterView",
    "Gradients", "Jitter", "LayerUnit", "LayerView", "LiveServer", "LurkError", "Preprocess", "StoreView",
    "TopImage", "Transferred", "UnitContributions", "UpstreamFilter", "__version__", "networks_folder",
    "open_store", "photos_folder",
}  # fmt: skip


def test_all_public_calls_are_tested() -> None:
    assert {name.partition(".")[0] for name in CALLS} | WITHOUT_A_NETWORK == set(torchlurk.__all__)
    computes = {f"Lurk.{name}" for name in vars(torchlurk.Lurk) if name.startswith("compute_")}
    assert computes - {"Lurk.compute_layer_viz"} <= set(CALLS)
    assert torchlurk.Lurk.compute_layer_viz is torchlurk.Lurk.compute_viz


@pytest.fixture
def call(scanned: Path, tmp_path: Path) -> Callable[..., Awkward]:
    """Make a call on a new network that fails at a given forward pass, and check that nothing has changed."""

    def made(name: str, error: type[BaseException] | None = None, at: int = 0) -> Awkward:
        folder = tmp_path / f"{name}-{error}-{at}"
        shutil.copytree(scanned, folder / "net")
        model = awkward()
        # The backward pass counts too, so that it can fail as well.
        model.fuse.register_full_backward_hook(lambda *_: model.fuse.use())
        before = {**snapshot(model), "random": torch.get_rng_state().tolist()}
        model.fuse.error, model.fuse.at = error, at
        if error is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                CALLS[name](model, folder)
        else:
            # A failure may be handled: a network that cannot be traced is run instead.
            with nullcontext() if error is None else suppress(error, torchlurk.LurkError):
                CALLS[name](model, folder)
        after = {**snapshot(model), "random": torch.get_rng_state().tolist()}
        assert sorted(before) == sorted(after)
        for key, value in before.items():
            assert after[key] == value, key
        return model

    return made


@pytest.mark.parametrize("name", CALLS)
def test_a_failure_at_any_point_leaves_the_network_unchanged(call: Callable[..., Awkward], name: str) -> None:
    uses = call(name).fuse.calls
    assert uses > 1
    for at in sorted({1, 2, 1 + uses // 3, 1 + uses // 2, uses}):
        for error in (RuntimeError, KeyboardInterrupt):
            call(name, error, at)


@pytest.mark.parametrize(
    ("ask", "word"),
    [
        (lambda m: torchlurk.explain(m, FED, PHOTO, "body.wide:2@99,3"), "Y from 0 to 10"),
        (lambda m: torchlurk.explain(m, FED, PHOTO, "body.wide:9"), "5 filters"),
        (lambda m: torchlurk.gradients(m, images(), "body.wide"), "give weights"),
        (lambda m: torchlurk.FeatureVisualizer(m, FED)(3), "3 filters"),
        (lambda m: torchlurk.FeatureVisualizer(m, FED)(1, "body.wide", position=(99, 0)), "11 rows"),
        (lambda m: torchlurk.FrameRecorder(m, "a.gif", 3, preprocess=FED), "3 filters"),
    ],
)
def test_refused_calls_leave_the_network_unchanged(ask: Callable[[Awkward], object], word: str) -> None:
    model = awkward()
    before = snapshot(model)
    with pytest.raises(torchlurk.LurkError, match=word):
        ask(model)
    assert snapshot(model) == before
