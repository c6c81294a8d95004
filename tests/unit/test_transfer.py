"""The parts of a fine-tuning: what is held out, what is trained, in which order, and what is drawn of it."""

from __future__ import annotations

import json
import re
import runpy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import torchlurk
from tests.networks import seeded
from tests.runs import CLASSES, SIDE, Normed, digests, photos, train
from tests.zoo import ZOO
from torchlurk.cli.main import main
from torchlurk.datasets.batches import list_images, read_words
from torchlurk.errors import LurkError
from torchlurk.graph.tracing import follow
from torchlurk.models.validate import check_network
from torchlurk.runtime.reporting import Reporter
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.training import loop, record
from torchlurk.training.class_mapping import outputs_for
from torchlurk.training.freeze import chosen_layers, find_head, freeze_all_but
from torchlurk.training.plot import draw, ticks
from torchlurk.training.split import apart, as_share, hold_out

# what is held out


@pytest.mark.parametrize(("share", "each"), [(0.01, 1), (0.2, 1), (0.25, 2), (0.5, 3), (0.84, 5), (0.99, 5)])
def test_a_share_of_each_class_is_held_out(tmp_path: Path, share: float, each: int) -> None:
    images = list_images(photos(tmp_path))
    found = hold_out(images, share, 0)
    assert Counter(found.val.labels) == dict.fromkeys(range(3), each)
    assert sorted(found.train.paths + found.val.paths) == sorted(images.paths)
    assert found.train.paths == tuple(sorted(found.train.paths))
    assert found.train.classes == found.val.classes == CLASSES


def test_what_is_held_out_depends_on_seed_and_name_alone(tmp_path: Path) -> None:
    images = list_images(photos(tmp_path))
    first = hold_out(images, 0.5, 0)
    assert hold_out(images, 0.5, 0) == first
    assert any(hold_out(images, 0.5, seed).val.paths != first.val.paths for seed in range(1, 4))
    (tmp_path / "red/99.png").write_bytes((tmp_path / "red/0.png").read_bytes())
    more = hold_out(list_images(tmp_path), 0.5, 0)
    kept = [path for path in more.val.paths if not path.startswith("red")]
    assert kept == [path for path in first.val.paths if not path.startswith("red")]


@pytest.mark.parametrize(("text", "share"), [("0.2", 0.2), ("1", 1.0), ("photos", None), ("a.csv", None)])
def test_a_number_is_a_share_and_all_else_names_images(text: str, share: float | None) -> None:
    assert as_share(text) == share


def test_images_of_their_own_are_held_out_whole(tmp_path: Path) -> None:
    a, b = (list_images(photos(tmp_path / name, each)) for name, each in (("a", 3), ("b", 1)))
    assert apart(a, b).val == b


# what is trained

CONVOLUTIONS = {"squeezenet1_1": "classifier.1"}
LINEAR = {
    "resnet18": "fc", "vgg11": "classifier.6", "mobilenet_v2": "classifier.1", "googlenet": "fc",
    "densenet121": "classifier", "mobilenet_v3_small": "classifier.3", "vit_b_16": "heads.head",
    "reused and functional ReLUs": "head", "a path that depends on the data": "head",
}  # fmt: skip


@pytest.mark.parametrize(("name", "head"), (CONVOLUTIONS | LINEAR).items())
def test_the_head_of_known_networks_is_found(name: str, head: str) -> None:
    case = ZOO[name]
    model, shape = seeded(case.make), (3, case.size, case.size)
    assert find_head(model, follow(model, shape), check_network(model, shape).logits) == head


class Summed(nn.Module):
    """Its output comes from two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(48, 4), nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x.flatten(1)) + self.b(x.flatten(1))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Summed(), "does not come from one Linear or Conv2d"),
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.BatchNorm1d(4)), "does not come from one"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), "gives 4 values, and the network 16: it has no"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "the network no row of numbers: it has no classifier"),
        (nn.Sequential(nn.Conv2d(3, 6, 4, groups=3), nn.Flatten()), "it has no classifier"),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), "does not come from one"),
    ],
)
def test_a_network_without_a_head_is_told(model: nn.Module, words: str) -> None:
    model.eval()
    with pytest.raises(LurkError, match=words):
        find_head(model, follow(model, (3, 4, 4)), check_network(model, (3, 4, 4)).logits)


@pytest.mark.parametrize(
    ("patterns", "layers"),
    [
        ([], []),
        (["first"], ["first", "first.0", "first.1", "first.2"]),
        (["*.0"], ["first.0", "second.0"]),
        (["kind:Conv*", "head"], ["first.0", "second.0", "head"]),
        (["KIND:x", "first.1"], None),
        (["kind:batchnorm2d"], ["first.1", "second.1"]),
        (["d*", "head"], None),
        (["[dh]*"], ["drop", "head"]),
    ],
)
def test_patterns_name_layers_with_all_that_is_in_them(patterns: list[str], layers: list[str] | None) -> None:
    if layers is None:
        with pytest.raises(LurkError, match="--unfreeze"):
            chosen_layers(Normed(), patterns)
    else:
        assert list(chosen_layers(Normed(), patterns)) == layers


def test_the_near_names_are_told_as_layers_does() -> None:
    with pytest.raises(LurkError, match=r"no layer matches 'secnod': did you mean second"):
        chosen_layers(Normed(), ["head", "secnod"])
    with pytest.raises(LurkError, match=r"--unfreeze first.2: first.2 is a ReLU, which has nothing"):
        chosen_layers(Normed(), ["first.2"])


def test_only_what_is_chosen_asks_for_gradients_and_is_in_training() -> None:
    model = Normed().train()
    trained = freeze_all_but(model, chosen_layers(model, ["second", "head"]))
    assert list(trained) == [
        "second.0.weight", "second.0.bias", "second.1.weight", "second.1.bias", "head.weight", "head.bias"
    ]  # fmt: skip
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name in trained)
    training = {name for name, module in model.named_modules() if module.training}
    assert training == {"second", "second.0", "second.1", "second.2", "head"}


# the loop


def test_each_epoch_sees_all_images_in_an_order_of_its_own() -> None:
    draw = torch.Generator().manual_seed(3)
    for order in islice(loop.orders(10, 4, 3), 4):
        assert torch.equal(order, torch.randperm(10, generator=draw))


def test_an_image_that_would_be_alone_is_left_out_of_the_epoch() -> None:
    drawn = list(islice(loop.orders(9, 4, 0), 6))
    assert all(len(order) == 8 for order in drawn)
    assert len({(set(range(9)) - set(order.tolist())).pop() for order in drawn}) > 1
    assert [loop.in_an_epoch(images, 4) for images in (5, 6, 7, 8, 9)] == [4, 6, 7, 8, 8]


def test_a_step_whose_loss_is_no_number_is_not_taken() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    good = (torch.rand(2, 3, 2, 2), torch.tensor([0, 1]))
    bad = (torch.full((2, 3, 2, 2), float("nan")), good[1])
    kept: dict[str, Tensor] = {}

    def batches() -> loop.Batches:
        yield good
        kept.update({name: value.clone() for name, value in model.state_dict().items()})
        yield bad

    with pytest.raises(loop.Diverged) as caught:
        loop.train_epoch(model, ("1",), optimiser, batches())
    assert caught.value.step == 1
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_an_image_that_goes_away_while_it_runs_is_named(tmp_path: Path) -> None:
    images = photos(tmp_path / "photos")

    @contextmanager
    def losing(label: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        yield lambda n: (images / "red/0.png").write_bytes(b"")

    shown = Reporter(report=lambda line: None, bar=losing)
    with pytest.raises(
        LurkError, match=r"image 'red/0.png' could be read when the run began, and now cannot"
    ):
        train(images, tmp_path / "run", shown=shown)


# what is told of it


@pytest.mark.parametrize(
    ("classes", "outputs"),
    [
        (("goldfish, Carassius auratus", "TABBY"), [1, 2]),
        (("tabby", "goldfish"), [2, 1]),
        (("crane", "goldfish"), None),
        (("goldfish", "unicorn"), None),
        (("goldfish", "goldfish, another"), None),
    ],
)
def test_classes_are_found_among_the_outputs(classes: tuple[str, ...], outputs: list[int] | None) -> None:
    assert outputs_for(classes, ("crane", "goldfish", "tabby, tabby cat", "crane")) == outputs
    assert outputs_for(classes, ()) is None


@pytest.mark.parametrize("top", [0.003, 0.5, 0.9, 1.0, 2.7, 7.0, 12.0, 33.0, 1e6])
def test_ticks_are_few_and_round_and_reach_the_top(top: float) -> None:
    marks = ticks(top)
    assert marks[0] == 0
    assert marks[-2] < top <= marks[-1]
    assert 4 <= len(marks) <= 8


def test_the_curves_are_a_picture_of_the_record(tmp_path: Path) -> None:
    found, _ = train(photos(tmp_path / "photos"), tmp_path / "run")
    text = (tmp_path / "run/curves.svg").read_text("utf-8")
    assert text == draw(found)
    root = ElementTree.fromstring(text)
    lines = [line.get("points", "").split() for line in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [4] * 4
    heights = [[float(point.split(",")[1]) for point in points] for points in lines]
    scores = [[getattr(e, part).loss for e in found.history] for part in ("train", "val")]
    scores += [[getattr(e, part).accuracy for e in found.history] for part in ("train", "val")]
    for drawn, values in zip(heights, scores, strict=True):
        order = sorted(range(4), key=lambda at: values[at], reverse=True)
        assert [drawn[at] for at in order] == sorted(drawn)


def test_the_document_names_every_key_of_the_record() -> None:
    text = (Path(__file__).parents[2] / "docs/transfer.md").read_text("utf-8")
    kinds = [record.Transfer, record.Options, record.Images, record.Score, record.Epoch, record.Original]
    for kind in kinds:
        for name in kind.__struct_fields__:
            assert f"`{name}`" in text, (kind.__name__, name)


def test_the_vehicles_are_taken_out_of_a_copy(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "data/vehicles.py"
    names = runpy.run_path(str(script))
    refused = CliRunner().invoke(names["main"], [str(tmp_path), str(tmp_path / "out")])
    assert refused.exit_code == 1
    assert "has no n02917067: give a copy of tiny-ImageNet" in refused.output
    photos(tmp_path / "all/images", each=3, classes=(*names["VEHICLES"], "n01443537"))
    (tmp_path / "all/classes.txt").write_text("n03100240\tconvertible\n")
    taken = CliRunner().invoke(names["main"], [str(tmp_path / "all"), str(tmp_path / "out"), "--each", "2"])
    assert taken.exit_code == 0, taken.output
    images = list_images(tmp_path / "out/images", words=read_words(tmp_path / "out/classes.txt"))
    assert len(images.paths) == 20
    assert images.classes[1] == "convertible"


# the whole of it

NETS = "from tests.runs import Normed\n\ndef net(): return Normed()\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETS)
    photos(Path("photos"))

    def command(*arguments: str) -> str:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exit_code == 0, result.output
        return result.stdout

    return command


MODEL = ("--model", "nets.py:net", "--size", str(SIDE), "--workers", "0", "--device", "cpu")


def test_from_images_to_stores_of_before_and_after(run: Callable[..., str]) -> None:
    told = run(
        "transfer", *MODEL, "--images", "photos", "--val", "0.4", "--out", "runs/colours", "--epochs", "4",
        "--lr", "0.05", "--batch-size", "4", "--unfreeze", "second", "--save-every", "3",
    )  # fmt: skip
    assert re.fullmatch(
        r"runs/colours: accuracy on 6 validation images: [\d.]+% with a new head, [\d.]+% after 4 epochs\n"
        r"runs/colours/checkpoints/epoch-0004.safetensors\n",
        told,
    )
    stores = {}
    for name, epoch in (("before", 0), ("after", 4)):
        checkpoint = f"runs/colours/checkpoints/epoch-000{epoch}.safetensors"
        run(
            "precompute", *MODEL[:2], *MODEL[4:], "--weights", checkpoint,
            "--images", "photos", "--layers", "kind:Conv2d", "--layers", "logits", "--stages", "scan",
            "--out", f"saved/{name}",
        )  # fmt: skip
        manifest = read_manifest(Path("saved") / name)
        assert manifest.input.shape == (3, SIDE, SIDE)
        stores[name] = {layer.name: read_layer(Path("saved") / name, layer) for layer in manifest.layers}
        assert stores[name]["head"].names == list(CLASSES)
    assert stores["before"]["first.0"] == stores["after"]["first.0"]
    assert stores["before"]["second.0"] != stores["after"]["second.0"]


def test_from_python_it_is_the_same(run: Callable[..., str], tmp_path: Path) -> None:
    run(
        "transfer", *MODEL, "--images", "photos", "--val", "0.5", "--out", "a", "--epochs", "2",
        "--unfreeze", "second", "--seed", "5",
    )  # fmt: skip
    found = torchlurk.transfer(
        "nets.py:net", size=SIDE, images="photos", val=0.5, out="b", epochs=2, unfreeze="second", seed=5,
        device="cpu", workers=0, progress=False,
    )  # fmt: skip
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert list(found.checkpoints) == [0, 2]
    assert found.classes == CLASSES
    kept = json.loads((tmp_path / "b/transfer.json").read_text())
    assert json.loads(msgspec.json.encode(found.record)) == kept
    for path in found.checkpoints.values():
        assert path.is_file()
    assert not found.model.training
    assert isinstance(found.model, nn.Module)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"epochs": 0}, "epochs=0: give a whole number from 1"),
        ({"batch_size": 1}, "batch_size=1: give a whole number from 2"),
        ({"save_every": 1.5}, "save_every=1.5: give a whole number"),
        ({"seed": -1}, "-1: give a whole number from 0"),
        ({"lr": 0}, "lr=0: the step of the descent must be above 0"),
        ({"lr": float("inf")}, "inf: the step of the descent must be above 0, and finite"),
        ({"val": 1.0}, "val=1: a share of the images must be above 0 and below 1"),
        ({"val": None}, "images are a NoneType"),
        ({"unfreeze": "nothing"}, "unfreeze=: no layer matches 'nothing'"),
    ],
)
def test_from_python_what_cannot_be_is_told(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    given = {"size": SIDE, "images": photos(tmp_path / "photos"), "out": tmp_path / "run", **asked}
    with pytest.raises(LurkError, match=re.escape(words)):
        torchlurk.transfer(seeded(Normed), None, **given, device="cpu", workers=0, progress=False)
    assert not (tmp_path / "run/transfer.json").exists()


def test_from_python_with_a_network_at_hand(tmp_path: Path) -> None:
    model = seeded(Normed)
    images = photos(tmp_path / "photos")
    held = photos(tmp_path / "held", each=1)
    (held / "red/0.png").write_bytes((images / "red/5.png").read_bytes())
    asked = {"size": SIDE, "images": images, "val": held, "out": tmp_path / "run", "epochs": 1}
    found = torchlurk.transfer(model, None, **asked, device="cpu", workers=0, progress=False)
    assert found.record.share is None
    assert found.record.val.images == 3
    assert model.head.out_features == 5
    with pytest.raises(LurkError, match=r"lr is 0.001, not 0.5: choose another out="):
        torchlurk.transfer(model, None, **asked, lr=0.5, device="cpu", workers=0, progress=False)
