"""Refused fine-tuning runs: an error of one line, and no file is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.helpers import refused
from tests.runs import SIDE, digests, photos
from torchlurk.cli.main import main
from torchlurk.models.checkpoint import read_weights

NETS = """
from torch import nn
from tests.helpers import refused
from tests.runs import Normed

def net(): return Normed()
def body(): return Normed().first

class Odd(nn.Conv2d):
    def get_extra_state(self): return {"hook": object()}
    def set_extra_state(self, state): pass

class Grows(nn.Conv2d):
    count = 0
    def get_extra_state(self): return self.count
    def set_extra_state(self, state): self.count = state + 1

class Fails(nn.Conv2d):
    def get_extra_state(self): return 1
    def set_extra_state(self, state): raise KeyError("missing")

def with_first(kind):
    network = Normed()
    network.first[0] = kind(3, 6, 3)
    return network
def odd(): return with_first(Odd)
def grows(): return with_first(Grows)
def fails(): return with_first(Fails)
"""

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    photos(tmp_path / "photos")
    return tmp_path


def arguments(*more: str, model: str = "nets.py:net") -> list[str]:
    """Return the arguments of a short run; a later option of the same name overrides an earlier one."""
    return [
        "transfer", "--model", model, "--size", str(SIDE), "--images", "photos", "--val", "0.4",
        "--out", "run", "--epochs", "3", "--batch-size", "4", "--save-every", "1",
        "--workers", "0", "--device", "cpu", *more,
    ]  # fmt: skip


@pytest.fixture
def run(here: Path) -> Callable[..., Result]:
    def command(*more: str, model: str = "nets.py:net") -> Result:
        assert here == Path.cwd()
        return CliRunner().invoke(main, arguments(*more, model=model))

    return command


def test_a_class_with_one_image(run: Callable[..., Result], here: Path) -> None:
    photos(here / "photos", each=1, classes=("blue", "green", "red", "yellow"))
    words = ("class 'yellow' of 'photos' has one image; give at least two images of each class, or remove",)
    refused(run(), *words)
    photos(here / "held", classes=("blue", "green", "red", "yellow"))
    refused(run("--val", "held"), *words)
    assert not (here / "run/transfer.json").exists()


def test_a_class_with_one_readable_image(run: Callable[..., Result], here: Path) -> None:
    photos(here / "held", each=2, classes=("green", "red", "blue"))
    for number in range(1, 6):
        (here / f"photos/red/{number}.png").write_bytes(b"no image")
    refused(run("--val", "held"), "class 'red' of 'photos' has one image")


def test_unreadable_images_are_skipped_and_recorded(run: Callable[..., Result], here: Path) -> None:
    (here / "photos/red/0.png").write_bytes(b"no image")
    (here / "photos/blue/1.png").write_bytes(b"")
    assert run().exit_code == 0
    record = json.loads((here / "run/transfer.json").read_text())
    skipped = [entry["path"] for part in ("train", "val") for entry in record[part]["skipped"]]
    assert sorted(skipped) == ["blue/1.png", "red/0.png"]
    assert record["train"]["images"] + record["val"]["images"] == 16


def test_a_single_class(run: Callable[..., Result], here: Path) -> None:
    photos(here / "one", classes=("red",))
    refused(run("--images", "one"), "all belong to one class ('red')", "subfolders")


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("blue", "green"), "--val: there is no class 'red' ("),
        (("blue", "green", "read"), "--val: there is no class 'red', but a class 'read'"),
        (
            ("blue", "green", "red", "white"),
            "--val: there is a class 'white' that the training images do not have",
        ),
    ],
)
def test_validation_images_of_other_classes(
    run: Callable[..., Result], here: Path, classes: tuple[str, ...], words: str
) -> None:
    photos(here / "held", classes=classes)
    refused(run("--val", "held"), words, "give both the same subfolders")


def test_validation_images_that_are_the_training_images(run: Callable[..., Result], here: Path) -> None:
    refused(run("--val", "photos"), "--val: the same 18 images as --images", "--val 0.2")
    (here / "copy").mkdir()
    (here / "photos").rename(here / "copy/photos")
    (here / "photos").symlink_to("copy/photos")
    refused(run("--val", "copy/photos"), "the same 18 images")


@pytest.mark.parametrize("share", ["0", "1", "1.5", "nan"])
def test_a_share_out_of_range(run: Callable[..., Result], share: str) -> None:
    refused(run("--val", share), f"--val {share}: a share", "above 0 and below 1")


def test_unreadable_validation_images(run: Callable[..., Result], here: Path) -> None:
    for path in photos(here / "held").rglob("*.png"):
        path.write_bytes(path.name.encode())
    refused(run("--val", "held"), "--val: none of the 18 validation images can be read", "blue/0.png")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("secnod", ("no layer matches 'secnod'", "did you mean second")),
        ("kind:Conv3d", ("no layer matches 'kind:Conv3d'", "kind:Conv2d")),
        ("first.2", ("first.2 is a ReLU", "no parameters to train")),
    ],
)
def test_no_layer_to_unfreeze(
    run: Callable[..., Result], here: Path, pattern: str, words: tuple[str, ...]
) -> None:
    refused(run("--unfreeze", "second", "--unfreeze", pattern), "--unfreeze", *words)
    assert not (here / "run/transfer.json").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("odd", "first.0._extra_state of the network is extra state (get_extra_state) with a object"),
        ("grows", "has other values when it is read again"),
        ("fails", "cannot be read again"),
    ],
)
def test_checkpoints_that_cannot_be_read_are_found_before_the_first_epoch(
    run: Callable[..., Result], here: Path, name: str, words: str
) -> None:
    result = run(model=f"nets.py:{name}")
    refused(result, words)
    assert "epoch 0" not in result.stderr
    assert json.loads((here / "run/transfer.json").read_text())["history"] == []


def test_a_network_without_a_head(run: Callable[..., Result]) -> None:
    refused(run(model="nets.py:body"), "does not come from one Linear or Conv2d", "no head to replace")


def test_a_loss_that_becomes_nan(run: Callable[..., Result], here: Path) -> None:
    result = run("--lr", "1e30", "--unfreeze", "*", "--save-every", "2")
    refused(
        result, "the loss is", "at step ", "(epoch 1)", "checkpoints/epoch-0000.safetensors is the last good",
        "a learning rate below --lr 1e+30 and another --out",
    )  # fmt: skip
    good = digests(here / "run")
    assert [name for name in good if name.endswith(".safetensors")] == ["checkpoints/epoch-0000.safetensors"]
    state = read_weights(here / "run/checkpoints/epoch-0000.safetensors").state
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())
    # Running it again gives the same error and loses no file.
    assert (
        run("--lr", "1e30", "--unfreeze", "*", "--save-every", "2").stderr.splitlines()[-1]
        == (result.stderr.splitlines()[-1])
    )
    assert digests(here / "run") == good


def test_a_loss_that_becomes_nan_later_keeps_the_last_checkpoint(
    run: Callable[..., Result], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchlurk.training import loop

    real, calls = loop.F.cross_entropy, 0

    def failing(*arguments: object, **more: object) -> object:
        nonlocal calls
        loss = real(*arguments, **more)  # type: ignore[arg-type]
        if "reduction" in more:  # an evaluation
            return loss
        calls += 1
        return loss * float("nan") if calls == 8 else loss

    with monkeypatch.context() as patch:
        patch.setattr(loop.F, "cross_entropy", failing)
        refused(
            run(),
            "the loss is nan at step 8 (epoch 3)",
            "checkpoints/epoch-0002.safetensors is the last good",
        )
    assert run().exit_code == 0  # without the fault the run resumes
    assert run("--out", "whole").exit_code == 0
    assert digests(here / "run") == digests(here / "whole")


@pytest.mark.parametrize("what", ["a store", "a file", "a folder of notes"])
def test_a_folder_with_other_files(run: Callable[..., Result], here: Path, what: str) -> None:
    if what == "a file":
        (here / "run").write_text("mine")
        refused(run(), "cannot write", "run")
        assert (here / "run").read_text() == "mine"
        return
    (here / "run").mkdir()
    name = "network.json" if what == "a store" else "notes.txt"
    (here / "run" / name).write_text("mine")
    refused(run(), f"'run' contains other files ('{name}')", "another --out")
    assert digests(here / "run").keys() == {name}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--lr", "0.01"), "its lr is 0.001, not 0.01"),
        (("--epochs", "5"), "its epochs is 3, not 5"),
        (("--seed", "1"), "its seed is 0, not 1"),
        (("--batch-size", "6"), "its batch_size is 4, not 6"),
        (("--save-every", "2"), "its save_every is 1, not 2"),
        (("--unfreeze", "second"), 'its unfreeze is [], not ["second"]'),
        (("--val", "0.5"), "its val is 0.4, not 0.5"),
        (("--size", "14"), "its input is"),
        (
            ("--model", "squeezenet1_1", "--weights", "random", "--size", "64"),
            "its network is nets.py:net, not",
        ),
    ],
)
def test_another_run_in_the_same_folder(
    run: Callable[..., Result], here: Path, more: tuple[str, ...], words: str
) -> None:
    assert run("--seed", "0").exit_code == 0
    before = digests(here / "run")
    refused(run(*more), f"'run' contains another run: {words}", "another --out")
    assert digests(here / "run") == before


def test_other_images_in_the_same_folder(run: Callable[..., Result], here: Path) -> None:
    assert run().exit_code == 0
    (here / "photos/red/0.png").unlink()
    refused(run(), "its images is")
    photos(here / "more", classes=("blue", "green", "white"))
    refused(run("--images", "more"), 'its classes is ["blue","green","red"], not')


@pytest.mark.parametrize("damage", ["{", '{"format": 2}'])
def test_a_damaged_record(run: Callable[..., Result], here: Path, damage: str) -> None:
    assert run().exit_code == 0
    (here / "run/transfer.json").write_text(damage)
    refused(run(), "transfer.json' is not a valid record of torchlurk transfer", "another --out")


def test_a_missing_checkpoint(run: Callable[..., Result], here: Path) -> None:
    assert run().exit_code == 0
    (here / "run/checkpoints/epoch-0003.safetensors").unlink()
    refused(run(), "epoch-0003.safetensors", "does not exist")


@pytest.mark.parametrize(
    ("option", "value"), [("--lr", "0"), ("--epochs", "0"), ("--batch-size", "1"), ("--save-every", "0")]
)
def test_options_out_of_range(run: Callable[..., Result], option: str, value: str) -> None:
    result = run(option, value)
    assert result.exit_code == 2
    assert option in result.stderr


def test_a_killed_process_resumes_to_the_same_bytes(run: Callable[..., Result], here: Path) -> None:
    long = ("--epochs", "60", "--save-every", "7", "--unfreeze", "[sd]*")
    process = subprocess.Popen(
        [sys.executable, "-m", "torchlurk", *arguments(*long)],
        stderr=subprocess.DEVNULL,
        # The number of threads of the tests: a run resumes with the number it started with.
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    end = time.monotonic() + 60
    record = here / "run/transfer.json"
    while time.monotonic() < end and process.poll() is None:
        if record.exists() and len(json.loads(record.read_text())["history"]) > 10:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = len(json.loads(record.read_text())["history"])
    assert 10 < reached < 61
    result = run(*long)
    assert result.exit_code == 0, result.output
    assert "resuming after epoch" in result.stderr
    assert run(*long, "--out", "whole").exit_code == 0
    assert digests(here / "run") == digests(here / "whole")
