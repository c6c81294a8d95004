"""Fine-tuning from the command and from Python: the same files, and errors that name the arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from torch import nn

import torchlurk
from tests.networks import seeded
from tests.runs import CLASSES, SIDE, Normed, digests, photos
from torchlurk import training
from torchlurk.cli.main import main
from torchlurk.errors import LurkError
from torchlurk.store.read import read_layer, read_manifest

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


def test_the_checkpoints_of_a_run_become_stores(run: Callable[..., str]) -> None:
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


def test_the_command_and_python_write_the_same_bytes(run: Callable[..., str], tmp_path: Path) -> None:
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
        ({"epochs": 0}, "epochs=0: must be a whole number from 1"),
        ({"batch_size": 1}, "batch_size=1: must be a whole number from 2"),
        ({"save_every": 1.5}, "save_every=1.5: must be a whole number"),
        ({"seed": -1}, "seed=-1: must be a whole number from 0"),
        ({"lr": 0}, "lr=0: the learning rate must be above 0"),
        ({"lr": float("inf")}, "lr=inf: the learning rate must be above 0 and finite"),
        ({"val": 1.0}, "val=1: a share of the images must be above 0 and below 1"),
        ({"val": None}, "images are a NoneType"),
        ({"unfreeze": "nothing"}, "unfreeze=: no layer matches 'nothing'"),
    ],
)
def test_errors_in_python_name_the_arguments(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    given = {"size": SIDE, "images": photos(tmp_path / "photos"), "out": tmp_path / "run", **asked}
    with pytest.raises(LurkError, match=re.escape(words)):
        torchlurk.transfer(seeded(Normed), None, **given, device="cpu", workers=0, progress=False)
    assert not (tmp_path / "run/transfer.json").exists()


def test_a_module_with_separate_validation_images(tmp_path: Path) -> None:
    model = seeded(Normed)
    images = photos(tmp_path / "photos")
    held = photos(tmp_path / "held", each=1)
    (held / "red/0.png").write_bytes((images / "red/5.png").read_bytes())
    asked = {"size": SIDE, "images": images, "val": held, "out": tmp_path / "run", "epochs": 1}
    found = torchlurk.transfer(model, None, **asked, device="cpu", workers=0, progress=False)
    assert found.record.share is None
    assert found.record.val.images == 3
    assert model.head.out_features == 5
    with pytest.raises(LurkError, match=r"lr is 0.001, not 0.5; choose another out="):
        torchlurk.transfer(model, None, **asked, lr=0.5, device="cpu", workers=0, progress=False)


def test_former_names_of_classes_warn() -> None:
    with pytest.warns(DeprecationWarning, match="Options is now TransferOptions"):
        assert training.Options is training.TransferOptions
