"""Fine-tunings against a plain training loop, against uninterrupted runs, and what must not change."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import seeded
from tests.runs import SIDE, Ended, Normed, digests, network, photos, reporter, split, train
from torchlurk.datasets.batches import load_pixels
from torchlurk.datasets.inputs import Preprocess
from torchlurk.models.outputs import as_logits
from torchlurk.store import write
from torchlurk.training import files, read_transfer_record, record


def squeeze() -> nn.Module:
    """Return a network that ends as SqueezeNet does: dropout, a 1 × 1 convolution, a ReLU and a mean."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, 5, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)),
        nn.Flatten(),
    )  # fmt: skip


HEADS = {Normed: "head", squeeze: "5.1"}


def state(path: Path, epoch: int) -> dict[str, Tensor]:
    return load_file(path / files.checkpoint_path(epoch))


# frozen layers


@pytest.mark.parametrize(
    ("make", "unfreeze"), [(Normed, ""), (Normed, "second"), (squeeze, ""), (squeeze, "2"), (squeeze, "3")]
)
def test_frozen_layers_do_not_change_by_a_bit(
    tmp_path: Path, make: Callable[[], nn.Module], unfreeze: str
) -> None:
    given = network(make)
    before = copy.deepcopy(given.module.state_dict())
    train(photos(tmp_path / "photos"), tmp_path / "run", given=given, unfreeze=[unfreeze] if unfreeze else [])
    after = state(tmp_path / "run", 3)
    assert before.keys() == after.keys()
    assert any("running_var" in name for name in after)
    for name, tensor in after.items():
        if name.startswith(HEADS[make]):
            assert tensor.shape[0] == 3
        else:
            assert torch.equal(before[name], tensor) != name.startswith(unfreeze or "nothing"), name
    assert all(torch.equal(before[name], value) for name, value in given.module.state_dict().items())


def test_the_statistics_of_an_unfrozen_batch_norm_change(tmp_path: Path) -> None:
    given = network()
    train(photos(tmp_path / "photos"), tmp_path / "run", given=given, unfreeze=["kind:batchnorm2d"], epochs=1)
    before, after = given.module.state_dict(), state(tmp_path / "run", 1)
    for name, tensor in after.items():
        norm = name.startswith(("first.1", "second.1"))
        same = not name.startswith("head") and torch.equal(before[name], tensor)
        assert same != (norm or name.startswith("head")), name
    assert int(after["first.1.num_batches_tracked"]) - int(before["first.1.num_batches_tracked"]) == 3


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "densenet121"])
def test_frozen_layers_of_known_networks_do_not_change_by_a_bit(tmp_path: Path, name: str) -> None:
    given = network(lambda: torchvision.models.get_model(name, weights=None))
    given = replace(given, preprocess=Preprocess(size=32, resize=32))
    before = {key: value.clone() for key, value in given.module.state_dict().items()}
    images = split(photos(tmp_path / "photos", each=2), 0.5)
    found, tuned = train(images, tmp_path / "run", given=given, epochs=1, lr=0.01)
    after = tuned.module.state_dict()
    changed = {key for key in before if before[key].shape != after[key].shape}
    assert changed == {f"{found.head}.weight", f"{found.head}.bias"}
    assert all(torch.equal(before[key], after[key]) for key in before.keys() - changed)
    assert all(torch.equal(before[key], value) for key, value in given.module.state_dict().items())


# the training loop


def plain_loop(
    model: nn.Module, head: str, trained: list[str], x: Tensor, y: Tensor, *, seed: int, epochs: int
) -> dict[str, Tensor]:
    """Fine-tune with a plain training loop, and return the state dict."""
    parent, _, last = head.rpartition(".")
    old = model.get_submodule(head)
    torch.manual_seed(seed)
    if isinstance(old, nn.Linear):
        fresh: nn.Module = nn.Linear(old.in_features, 3)
    else:
        assert isinstance(old, nn.Conv2d)
        fresh = nn.Conv2d(old.in_channels, 3, 1)
    setattr(model.get_submodule(parent), last, fresh)
    parameters = [p for name in [*trained, head] for p in model.get_submodule(name).parameters()]
    optimiser = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        model.eval()
        for name in trained:
            model.get_submodule(name).train()
        for chosen in torch.randperm(len(x), generator=order).split(4):
            loss = F.cross_entropy(model(x[chosen]), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.state_dict()


@pytest.mark.parametrize(
    ("make", "trained"), [(Normed, []), (Normed, ["second"]), (squeeze, []), (squeeze, ["2", "3"])]
)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_result_is_that_of_a_plain_loop(
    tmp_path: Path, make: Callable[[], nn.Module], trained: list[str], seed: int
) -> None:
    images, given = split(photos(tmp_path / "photos")), network(make)
    train(images, tmp_path / "run", given=given, unfreeze=trained, seed=seed)
    pixels = load_pixels(images.train, given.preprocess, range(len(images.train.paths)))
    x, y = given.preprocess.to_input(pixels), torch.tensor(images.train.labels)
    expected = plain_loop(seeded(make), HEADS[make], trained, x, y, seed=seed, epochs=3)
    for name, tensor in state(tmp_path / "run", 3).items():
        assert torch.equal(tensor, expected[name]), name


def test_loss_and_accuracy_are_those_of_all_images_in_one_batch(tmp_path: Path) -> None:
    images, given = split(photos(tmp_path / "photos")), network()
    found, _ = train(images, tmp_path / "run", given=given, unfreeze=["second"])
    for epoch in found.history:
        model = Normed(3).eval()
        model.load_state_dict(state(tmp_path / "run", epoch.epoch))
        for part, score in ((images.train, epoch.train), (images.val, epoch.val)):
            x = given.preprocess.to_input(load_pixels(part, given.preprocess, range(len(part.paths))))
            y = torch.tensor(part.labels)
            with torch.no_grad():
                logits = model(x).double()
            assert score.loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
            assert score.accuracy == pytest.approx((logits.argmax(1) == y).double().mean().item())


def test_the_original_network_chooses_among_the_classes_alone(tmp_path: Path) -> None:
    images = split(photos(tmp_path / "photos"))
    given = replace(network(), classes=("red, a colour", "cat", "Green", "dog", "blue"))
    found, _ = train(images, tmp_path / "run", given=given, epochs=1)
    assert found.original is not None
    assert found.original.outputs == [4, 2, 0]
    x = given.preprocess.to_input(load_pixels(images.val, given.preprocess, range(len(images.val.paths))))
    with torch.no_grad():
        logits = as_logits(given.module(x))[:, [4, 2, 0]]
    right = (logits.argmax(1) == torch.tensor(images.val.labels)).double().mean().item()
    assert found.original.val.accuracy == pytest.approx(right)


# interrupted runs


ASKED: dict[str, Any] = {"unfreeze": ["[sd]*"], "epochs": 4, "save_every": 2}
"""The pattern matches a block and the dropout before it, so training draws random numbers."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("whole")
    images = photos(folder / "photos")
    train(images, folder / "run", **ASKED)
    return images, digests(folder / "run")


def test_an_uninterrupted_run_writes_checkpoints_a_record_and_curves(
    whole: tuple[Path, dict[str, str]],
) -> None:
    assert list(whole[1]) == [
        "checkpoints/epoch-0000.safetensors", "checkpoints/epoch-0002.safetensors",
        "checkpoints/epoch-0004.safetensors", "curves.svg", "transfer.json",
    ]  # fmt: skip


def test_a_run_resumes_with_the_threads_it_started_with(tmp_path: Path) -> None:
    images, short = photos(tmp_path / "photos"), {**ASKED, "epochs": 2, "save_every": 1}
    torch.set_num_threads(2)
    train(images, tmp_path / "whole", **short)
    with pytest.raises(Ended):
        train(images, tmp_path / "run", shown=reporter(40), **short)
    torch.set_num_threads(1)
    found, _ = train(images, tmp_path / "run", **short)
    assert torch.get_num_threads() == 1
    assert found.threads == 2
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")


@pytest.mark.parametrize("images", [1, 20, 25, 48, 60, 75, 96])
def test_an_interrupted_and_resumed_run_gives_the_same_bytes(
    whole: tuple[Path, dict[str, str]], tmp_path: Path, images: int
) -> None:
    with pytest.raises(Ended):
        train(whole[0], tmp_path / "run", shown=reporter(images), **ASKED)
    assert digests(tmp_path / "run") != whole[1]
    torch.manual_seed(images)  # a separate process would not have the present state of the generator
    train(whole[0], tmp_path / "run", **ASKED)
    assert digests(tmp_path / "run") == whole[1]


def _ends(run: Callable[[], object]) -> bool:
    try:
        run()
    except Ended:
        return True
    return False


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_run_that_is_killed_at_any_file_resumes_to_the_same_bytes(
    whole: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Each file in turn is the last: written whole, or not at all, except for a temporary file."""
    real = write.write_bytes
    for last in itertools.count(1):
        out = tmp_path / f"run-{last}"
        written = 0

        def ending(path: Path, data: bytes, last: int = last) -> None:
            nonlocal written
            written += 1
            if written == last and not late:
                path.parent.mkdir(parents=True, exist_ok=True)
                (path.parent / f".{last}.part").write_bytes(data[: len(data) // 2])
                raise Ended
            real(path, data)
            if written == last:
                raise Ended

        with monkeypatch.context() as patch:
            for module in (files, record, write):
                patch.setattr(module, "write_bytes", ending, raising=False)
            patch.setattr("torchlurk.training.run.write_bytes", ending)
            if not _ends(lambda out=out: train(whole[0], out, **ASKED)):
                break
        torch.manual_seed(last)
        train(whole[0], out, **ASKED)
        assert digests(out) == whole[1], last
    assert last > 15


def test_a_complete_run_is_not_computed_again(
    whole: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, tuned = train(whole[0], tmp_path / "run", **ASKED)
    monkeypatch.setattr("torchlurk.training.run._train", None)
    reported: list[str] = []
    again, same = train(whole[0], tmp_path / "run", shown=reporter(said=reported), **ASKED)
    assert again == found == read_transfer_record(tmp_path / "run")
    assert reported == ["already complete"]
    assert digests(tmp_path / "run") == whole[1]
    x = torch.rand(2, 3, SIDE, SIDE)
    assert torch.equal(tuned.module(x), same.module(x))
