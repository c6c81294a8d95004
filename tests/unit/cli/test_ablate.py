"""The command `ablate`: what it prints and writes, and all that can be wrong, in one line each."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from tests.helpers import refused, write_photos
from torchlurk.api.ablation_record import AblationFile
from torchlurk.cli.main import main

NETS = """
    import torch
    from torch import nn
    from torchvision import transforms as T

    FED = T.Compose([T.Resize((24, 20)), T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)])

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3)
            self.relu = nn.ReLU(inplace=True)
            self.last = nn.Conv2d(5, 4, 3)
            self.head = nn.Linear(4, 3)
        def forward(self, x):
            return self.head(self.last(self.relu(self.conv(x))).mean((2, 3)))

    def named():
        torch.manual_seed(0)
        return Net(), FED, ["cat", "dog", "newt"]

    def maps(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), FED
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(textwrap.dedent(NETS))
    write_photos(tmp_path / "photos", "cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.png")

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--device", "cpu", "--workers", "0"])

    return command


MODEL = ("ablate", "--model", "nets.py:named", "--images", "photos")


def test_the_command_prints_and_writes_what_changes(run: Run, tmp_path: Path) -> None:
    result = run(*MODEL, "--layer", "conv", "--filter", "3", "--filter", "0", "--out", "found/ablation.json")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "conv, filters 0 and 3 set to zero, 5 images"
    assert lines[1].split() == ["mean", "maximum", "before", "after", "change", "relative"]
    assert len({len(line) for line in lines[1:6]}) == 1
    assert lines[6].split() == ["mean", "logit", "before", "after", "change"]
    assert lines[10].startswith("the predicted class stays the same for ")
    assert lines[11].startswith("accuracy ")
    assert lines[12:] == ["found/ablation.json"]
    found = msgspec.json.decode((tmp_path / "found/ablation.json").read_bytes(), type=AblationFile)
    assert (found.format, found.layer, found.channels, found.to) == (1, "conv", [0, 3], "zero")
    assert (found.dataset.name, found.dataset.images, found.values) == ("photos", 5, [0, 0])
    assert found.model.source == "nets.py:named"
    (layer,) = found.layers
    assert (layer.layer, layer.channels) == ("last", 4)
    for line, effect in zip(lines[2:6], layer.filters, strict=True):
        name, before, after, change, relative = line.split()
        assert name == f"last:{effect.channel}"
        assert float(before) == pytest.approx(effect.before, rel=1e-3)
        assert float(after) == pytest.approx(effect.after, rel=1e-3)
        assert float(change) == pytest.approx(effect.after - effect.before, rel=1e-2, abs=1e-6)
        assert effect.relative is not None
        assert float(relative.rstrip("%")) == pytest.approx(100 * effect.relative, abs=0.051)
    for line, one in zip(lines[7:10], found.classes, strict=True):
        assert line.startswith(f"{one.name} ({one.index}) ")
    assert found.accuracy is not None
    assert found.agreement is not None


def test_a_store_with_circuits_gives_the_contributions(run: Run, tmp_path: Path) -> None:
    where = ("--images", "photos", "--stages", "scan,circuits", "--out", "saved/net")
    assert run("precompute", "--model", "nets.py:named", *where).exit_code == 0
    result = run(
        "ablate", "saved/net", "--model", "nets.py:named", "--images", "photos", "--layer", "conv",
        "--filter", "3", "--layers", "last", "--out", "ablation.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["mean", "maximum", "before", "after", "change", "relative", "contribution"]
    (layer,) = json.loads((tmp_path / "ablation.json").read_text())["layers"]
    shown = {one["channel"]: one["contribution"] for one in layer["filters"]}
    assert any(shown.values())
    for line, (channel, contribution) in zip(lines[2:], shown.items(), strict=False):
        name, *numbers = line.split()
        assert name == f"last:{channel}"
        assert len(numbers) == 5 - (contribution is None)
        assert contribution is None or float(numbers[-1]) == pytest.approx(contribution, rel=1e-3)


def test_fewer_rows_and_other_layers(run: Run, tmp_path: Path) -> None:
    result = run(
        *MODEL, "--layer", "conv", "--filter", "3", "--to", "mean", "--layers", "relu", "--layers", "last",
        "--top", "2", "--out", "ablation.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("conv, filter 3 set to the mean, 5 images\n")
    assert len(result.stdout.splitlines()) == 1 + 3 + 3 + 2 + 1
    found = json.loads((tmp_path / "ablation.json").read_text())
    assert [(one["layer"], one["channels"], len(one["filters"])) for one in found["layers"]] == [
        ("relu", 5, 2), ("last", 4, 2)
    ]  # fmt: skip
    assert found["values"][0] != 0
    assert found["layers"][0]["filters"][0]["channel"] == 3


def test_the_network_of_a_store(run: Run, tmp_path: Path) -> None:
    command = (
        "precompute", "--model", "nets.py:named", "--images", "photos", "--layers", "last", "--layers",
        "logits", "--stages", "scan", "--out", "saved/net",
    )  # fmt: skip
    assert run(*command).exit_code == 0
    kept = {path: path.read_bytes() for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    store = ("ablate", "saved/net", "--images", "photos", "--layer", "conv", "--filter", "2")
    refused(run(*store), "user's own network", "--model")
    result = run(*store, "--model", "nets.py:named")
    assert result.exit_code == 0, result.output
    assert {line.partition(":")[0] for line in result.stdout.splitlines() if ":" in line} == {"last", "head"}
    other = run(*MODEL, "--layer", "conv", "--filter", "2", "--layers", "last", "--layers", "logits")
    assert other.stdout == result.stdout
    line = refused(run(*store, "--model", "nets.py:named", "--size", "12"), "--size 12: ", "leave it out")
    assert "saved/net" in line
    refused(run("ablate", "saved/none", *store[2:]), "saved/none")
    assert kept == {path: path.read_bytes() for path in (tmp_path / "saved").rglob("*") if path.is_file()}


CONV = ("--layer", "conv", "--filter", "1")
BAD: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "no such layer": (("--layer", "cnov", "--filter", "1"), ["'cnov'", "did you mean conv"]),
    "no such filter": (("--layer", "conv", "--filter", "5"), ["--filter 5: ", "'conv' has 5", "0 to 4"]),
    "no such layers": ((*CONV, "--layers", "lsat"), ["'lsat'", "did you mean last"]),
    "no images": ((*CONV, "--images", "gone"), ["gone"]),
    "empty images": ((*CONV, "--images", "empty"), ["empty"]),
    "nothing behind": (
        ("--model", "nets.py:maps", "--layer", "1", "--filter", "0"),
        ["depends on '1'", "no classes", "--layers"],
    ),
    "out is a folder": ((*CONV, "--out", "photos"), ["--out photos: ", "ablation.json"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_one_line(run: Run, tmp_path: Path, case: str) -> None:
    (tmp_path / "empty").mkdir()
    arguments, words = BAD[case]
    refused(run(*MODEL, *arguments), *words)
