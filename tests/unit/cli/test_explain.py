"""The command `explain`: what it writes, and all that can be wrong, in one line each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from torchlurk.cli.main import main
from torchlurk.explaining import METHODS
from torchlurk.explaining.record import ScoresFile
from torchlurk.models import load

NETS = """
    import torch
    from torch import nn
    from torchvision import transforms as T

    FED = T.Compose([T.Resize((24, 20)), T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)])
    NAMES = ["tabby cat", "tiger cat", "dog"]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3)
            self.relu = nn.ReLU(inplace=True)
            self.last = nn.Conv2d(5, 4, 3)
            self.head = nn.Linear(4, 3)
            self.unused = nn.Linear(2, 2)
        def forward(self, x):
            return self.head(self.last(self.relu(self.conv(x))).mean((2, 3)))

    def named(): return Net(), FED, NAMES
    def unnamed(): return Net(), FED
    def maps(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), FED
    def gray():
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())

    class Cut(Net):
        def forward(self, x):
            with torch.no_grad():
                return super().forward(x)

    def cut(): return Cut(), FED, NAMES
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(textwrap.dedent(NETS))
    for index, name in enumerate(("cat.png", "a dog.jpg", "third.png")):
        pixels = np.random.default_rng(index).integers(0, 256, (33, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)

    def command(*arguments: str, model: str = "named") -> Result:
        return CliRunner().invoke(
            main,
            ["explain", *arguments, "--model", f"nets.py:{model}", "--samples", "2", "--steps", "3",
             "--device", "cpu", "--tile", "60"],
        )  # fmt: skip

    return command


def scores(folder: Path) -> ScoresFile:
    return msgspec.json.decode((folder / "scores.json").read_bytes(), type=ScoresFile)


def test_the_command_writes_sheet_pictures_and_scores(run: Run, tmp_path: Path) -> None:
    result = run("cat.png", "a dog.jpg", "--class", "tabby", "--class", "predicted", "--out", "made")
    assert result.exit_code == 0, result.output
    assert "cat.png: tabby cat (0), logit " in result.stdout
    assert result.stdout.count("integrated gradients sum to") == 2
    assert result.stdout.endswith("made/sheet.jpg\n")
    made = tmp_path / "made"
    found = scores(made)
    assert [one.image for one in found.images] == ["cat.png", "a dog.jpg"]
    assert list(found.methods) == sorted(METHODS)
    assert found.methods["integrated"] == {"baseline": "black", "rule": "midpoint", "steps": 3}
    assert found.methods["smoothgrad"] == {"relu": "vanilla", "samples": 2, "seed": 0, "sigma": 0.15}
    first = found.images[0]
    assert (first.target.kind, first.target.index) == ("class", 0)
    assert found.images[1].target.index == found.images[1].predictions[0].index
    assert len(first.predictions) == 3
    assert sum(p.probability for p in first.predictions) == pytest.approx(1)
    assert first.completeness is not None
    assert first.score == next(p.logit for p in first.predictions if p.index == 0)
    for one in found.images:
        assert set(one.pictures) == {"original", *METHODS}
        for path in one.pictures.values():
            with Image.open(made / path) as picture:
                assert (picture.size, picture.mode) == ((20, 24), "RGB")
    there = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert there == {
        "sheet.jpg", "scores.json", *(p for one in found.images for p in one.pictures.values())
    }  # fmt: skip


def test_the_same_command_writes_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for out in ("one", "two"):
        arguments = ("cat.png", "third.png", "--randomize", "cascading", "--out", out)
        assert run(*arguments).exit_code == 0
    first, second = (
        {p.relative_to(tmp_path / out): p.read_bytes() for p in (tmp_path / out).rglob("*") if p.is_file()}
        for out in ("one", "two")
    )
    assert first == second


def test_random_weights_beside(run: Run, tmp_path: Path) -> None:
    result = run("cat.png", "--randomize", "cascading", "--methods", "guided,integrated", "--out", "made")
    assert result.exit_code == 0, result.output
    (one,) = scores(tmp_path / "made").images
    assert [copy.layers for copy in one.randomized] == [
        ("head",), ("head", "last", "conv"), ("head", "last", "conv", "unused")
    ]  # fmt: skip
    for copy in one.randomized:
        assert copy.of == 4
        assert set(copy.similarity) == set(copy.pictures) == {"guided", "integrated"}
        assert all((tmp_path / "made" / path).is_file() for path in copy.pictures.values())
    run("cat.png", "--randomize", "all", "--methods", "guided", "--out", "all")
    (one,) = scores(tmp_path / "all").images
    assert [copy.layers for copy in one.randomized] == [("head", "last", "conv", "unused")]
    assert one.randomized[0].pictures == {"guided": "1-cat/random/guided.png"}


@pytest.mark.parametrize(("unit", "at"), [("conv:3", None), ("last:2@4,6", (4, 6))])
@pytest.mark.parametrize("model", ["named", "maps"])
def test_units_of_any_network(run: Run, tmp_path: Path, model: str, unit: str, at: object) -> None:
    unit = unit.replace("conv", "0").replace("last", "1") if model == "maps" else unit
    result = run("cat.png", "--unit", unit, "--out", "made", model=model)
    assert result.exit_code == 0, result.output
    (one,) = scores(tmp_path / "made").images
    assert (one.target.kind, one.target.name, one.target.at) == ("unit", unit, at)
    assert len(one.predictions) == (3 if model == "named" else 0)


def test_the_sheet_of_a_unit_shows_what_it_sees(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (33, 30), (90, 90, 120)).save(tmp_path / "plain.png")
    for unit, out in (("conv:1", "whole"), ("conv:1@9,6", "part")):
        arguments = ("plain.png", "third.png", "--unit", unit, "--methods", "gradient,deconv", "--out", out)
        assert run(*arguments).exit_code == 0
    whole, part = (np.asarray(Image.open(tmp_path / out / "sheet.jpg")) for out in ("whole", "part"))
    assert part.shape[1] > whole.shape[1] + 60, "a column more"
    first, second = part[:90, :62], part[:90, 64:124]
    yellow = [((c[..., 0] > 170) & (c[..., 1] > 140) & (c[..., 2] < 90)).sum() for c in (first, second)]
    assert yellow[0] > 20
    assert yellow[1] == 0
    (one, _) = scores(tmp_path / "part").images
    with Image.open(tmp_path / "part" / one.pictures["deconv"]) as picture:
        assert picture.size == (20, 24), "the single pictures are whole"


def test_gray_networks_without_a_transform(run: Run, tmp_path: Path) -> None:
    result = run("cat.png", "--size", "16", "--out", "made", model="gray")
    assert result.exit_code == 0, result.output
    assert scores(tmp_path / "made").input.shape == (1, 16, 16)


def test_names_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("ant\nbee\ncow\n")
    assert run("cat.png", "--words", "words.txt", "--class", "bee", model="unnamed").exit_code == 0
    (tmp_path / "words.txt").write_text("z\tant\na\tbee\nk\tcow\n")
    result = run("cat.png", "--words", "words.txt", "--class", "ant", model="unnamed")
    assert "cat.png: ant (2), logit" in result.stdout
    (tmp_path / "words.txt").write_text("ant\nbee\n")
    refused(run("cat.png", "--words", "words.txt", model="unnamed"), "2 class names", "3 outputs")


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("torchlurk: ")
    assert "error of ours" not in line
    for word in words:
        assert word in line


BAD: dict[str, tuple[str, list[str], list[str]]] = {
    "no such class": ("named", ["cat.png", "--class", "doge"], ["'doge'", "did you mean dog (2)"]),
    "several classes": ("named", ["cat.png", "--class", "cat"], ["tabby cat (0), tiger cat (1)", "number"]),
    "a number too high": ("named", ["cat.png", "--class", "3"], ["class 3", "0 to 2"]),
    "no names": ("unnamed", ["cat.png", "--class", "dog"], ["'dog'", "--words"]),
    "no image": ("named", ["gone.png"], ["'gone.png'", "gone"]),
    "no good image": ("named", ["nets.py"], ["'nets.py'", "not an image"]),
    "the second image": ("named", ["cat.png", "nets.py"], ["'nets.py'", "not an image"]),
    "outside the map": ("named", ["cat.png", "--unit", "conv:1@22,0"], ["22 x 18", "Y from 0 to 21"]),
    "no such filter": ("named", ["cat.png", "--unit", "conv:5"], ["conv:5", "5 filters", "0 to 4"]),
    "no such layer": ("named", ["cat.png", "--unit", "conc:1"], ["'conc'", "did you mean conv"]),
    "a layer not run": ("named", ["cat.png", "--unit", "unused:1"], ["'unused'", "is never called"]),
    "no unit": ("named", ["cat.png", "--unit", "conv"], ["'conv'", "LAYER:CHANNEL"]),
    "no logits": ("maps", ["cat.png"], ["no classes", "--unit"]),
    "no gradient": ("cut", ["cat.png"], ["has no gradient", "no_grad"]),
    "class and unit": ("named", ["cat.png", "--unit", "conv:1", "--class", "1"], ["--unit", "--class"]),
    "too many classes": ("named", ["cat.png", "--class", "1", "--class", "2"], ["2 times for 1 images"]),
    "no such method": ("named", ["cat.png", "--methods", "guided,lime"], ["'lime'", "smoothgrad"]),
    "not a folder": ("named", ["cat.png", "--out", "nets.py"], ["nets.py"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_one_line(run: Run, case: str) -> None:
    model, arguments, words = BAD[case]
    refused(run(*arguments, model=model), *words)


def test_the_trunk_has_no_classes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    real = load.load_network

    def trunk(*args: object, **more: object) -> object:
        return replace(real(*args, **more), weights="trunk")  # type: ignore[arg-type]

    monkeypatch.setattr(load, "load_network", trunk)
    refused(run("cat.png"), "no classes", "--unit")
    assert run("cat.png", "--unit", "conv:1", "--out", "made").exit_code == 0
    assert not scores(tmp_path / "made").images[0].predictions


def test_circuit_draws_what_units_and_classes_are_made_of(run: Run, tmp_path: Path) -> None:
    result = run(
        "cat.png", "a dog.jpg", "--unit", "last:2", "--circuit", "--methods", "guided", "--out", "made"
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert re.fullmatch(
        r"cat\.png: last:2@\d+,\d+, \S+ = \S+ excitation - \S+ inhibition [+-] \S+ rest", lines[-3]
    )
    assert lines[-1] == str(Path("made/circuit.jpg"))
    file = msgspec.json.decode((tmp_path / "made/circuit.json").read_bytes())
    assert [image["image"] for image in file["images"]] == ["cat.png", "a dog.jpg"]
    assert {part["layer"] for image in file["images"] for part in image["excited_by"]} == {"conv"}
    result = run("cat.png", "--class", "dog", "--circuit", "--methods", "guided", "--out", "classes")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2].startswith("cat.png: dog (2), ")


def test_circuit_of_the_first_layer_is_one_line(run: Run, tmp_path: Path) -> None:
    result = run("cat.png", "--unit", "conv:2", "--circuit", "--methods", "guided", "--out", "made")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "torchlurk: no layer is directly upstream of 'conv'; choose a unit of a later layer"
    )
    assert (tmp_path / "made/sheet.jpg").exists()
