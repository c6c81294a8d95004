"""Every command and all Python of docs/how-to/own-network.md run, for both of its networks."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import matplotlib
import pytest
import torch
from click.testing import CliRunner
from matplotlib import pyplot
from PIL import Image
from torch import nn
from torchvision import transforms

from tests.awkward import snapshot
from tests.processes import hear_interrupts
from tests.unit.test_docs import shell_lines
from torchlurk import Lurk, LurkError, explain, transfer
from torchlurk.cli.main import main
from torchlurk.models.validate import check_network

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/own-network.md"
CODE = ROOT / "docs/own_networks.py"
PHOTOS = ROOT / "data/photos"
EACH = 2
"""Photographs of each class."""

NETWORKS = {
    "lenet": {},
    # What the other network has in the place of LeNet's layers.
    "resnet20": {
        "lenet": "resnet20",
        "conv2:7": "layer2.0.conv2:7",
        '"conv2"': '"layer2.0.conv2"',
        "conv*": "layer2.0.conv*",
        "fc1": "linear",
        "fc3": "linear",
    },
}

QUICK = {
    "precompute": ["--filters", "1", "--device", "cpu", "--workers", "0"],
    "explain": ["--samples", "2", "--steps", "2", "--device", "cpu"],
    "transfer": ["--device", "cpu", "--workers", "0"],
    "compare": ["--device", "cpu", "--workers", "0"],
}
"""Options of the tests, beside those of the page."""

FEWER = ["--layers", "conv1", "--layers", "layer2.0.conv2"]
"""Of the 19 convolutions of ResNet-20, whose filter images take most of the time."""


def networks() -> ModuleType:
    """The file of networks as a module of its own."""
    found = importlib.util.spec_from_file_location("own_networks", CODE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def snippets() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def translated(text: str, network: str) -> str:
    for old, new in NETWORKS[network].items():
        text = text.replace(old, new)
    return text


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a clone of the repository, with a few of the photographs."""
    (tmp_path / "docs").symlink_to(CODE.parent)
    for folder in sorted(path for path in PHOTOS.iterdir() if path.is_dir()):
        there = tmp_path / "data/photos" / folder.name
        there.mkdir(parents=True)
        names = sorted(folder.iterdir(), key=lambda path: (path.name != "german-shepherd.jpg", path.name))
        for path in names[:EACH]:
            shutil.copy(path, there)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_the_code_of_the_file() -> None:
    source = CODE.read_text("utf-8")
    nodes = [node for node in ast.parse(source).body if getattr(node, "name", "") in ("LeNet", "lenet")]
    assert len(nodes) == 2
    assert snippets()[0].strip() == "\n\n\n".join(str(ast.get_source_segment(source, node)) for node in nodes)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_command_of_the_page_runs(network: str, clone: Path) -> None:
    printed = ""
    for line in shell_lines(PAGE):
        _, command, *arguments = shlex.split(translated(line, network))
        if command == "serve":
            assert served(arguments)
            continue
        arguments += QUICK.get(command, [])
        if network == "resnet20" and command == "precompute" and "--layers" not in arguments:
            arguments += FEWER if "--weights" in arguments else ["--stages", "scan,gradients"]
        result = CliRunner().invoke(main, [command, *arguments])
        assert result.exit_code == 0, (line, result.output, result.exception)
        printed += result.output
    images = 13 * EACH
    layers, filters, linear = ("2", "22", "3") if network == "lenet" else ("19", "688", "1")
    assert f"saved_model/{network}: {layers} layers, {filters} filters, {images} images, 0 skipped" in printed
    assert f"saved_model/{network}-linear: {linear} layers" in printed
    assert f"{network}-before → {network}-after: Of 2 layers, 2 changed." in printed
    for name in ("explained/dog/sheet.jpg", "explained/conv2-7/scores.json", "_site/index.html"):
        assert (clone / name).is_file()
    manifest = json.loads((clone / f"saved_model/{network}/network.json").read_text())
    assert manifest["memory_format"] == ("contiguous" if network == "lenet" else "channels_last")
    assert manifest["layers_skipped"] == []


def served(arguments: list[str]) -> bool:
    """Whether a site that is served has a page; Ctrl-C ends the command."""
    command = [sys.executable, "-m", "torchlurk", "serve", *arguments, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with urlopen(address, timeout=20) as answer:
            found = b"<html" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    return found


@pytest.mark.parametrize("network", NETWORKS)
def test_the_python_of_the_page_runs_and_leaves_the_network_as_it_was(
    network: str, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib.use("Agg")
    module = networks()
    make: Callable[[], tuple[nn.Module, Any, Any]] = getattr(module, network)
    handed: list[tuple[nn.Module, dict[str, Any]]] = []

    def made() -> tuple[nn.Module, Any, Any]:
        net, transform, names = make()
        net(torch.rand(2, 3, 32, 32)).square().mean().backward()  # as in the midst of a training
        handed.append((net, snapshot(net)))
        return net, transform, names

    monkeypatch.setattr(module, network, made)
    monkeypatch.setitem(sys.modules, "own_networks", module)
    monkeypatch.setattr(sys, "path", [*sys.path])
    found: dict[str, Any] = {}
    for snippet in snippets()[1:-1]:
        exec(compile(translated(snippet, network), PAGE.name, "exec"), found)
    ((net, before),) = handed
    assert found["net"] is net
    assert snapshot(net) == before
    exec(compile(translated(snippets()[-1], network), PAGE.name, "exec"), found)  # trains it
    pyplot.close("all")
    for name in ("dog.png", "filter.png", "training.gif", "saved_model/tuned/network.json"):
        assert (clone / name).is_file()
    assert found["found"][0].attributions["integrated"].shape == (3, 32, 32)
    assert found["changed"].record.layers


@contextmanager
def watched(net: nn.Module, names: list[str]) -> Iterator[dict[str, torch.Tensor]]:
    """What some layers give in the forwards that are run meanwhile, by torch's hooks alone."""
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        net.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: output.detach()})
        )
        for name in names
    ]
    yield seen
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_scores_are_those_of_plain_torch(network: str, clone: Path) -> None:
    net, transform, names = getattr(networks(), network)()
    lurker = Lurk(
        net, transform, images="data/photos", out="saved_model/net", names=names, device="cpu", workers=0,
        layers=["kind:Conv2d", "kind:Linear"], progress=False,
    )  # fmt: skip
    lurker.compute_top_imgs()
    kinds = (nn.Conv2d, nn.Linear)
    layers = [name for name, module in net.named_modules() if isinstance(module, kinds)]
    assert {layer.name for layer in lurker} == set(layers)
    assert len(layers) == (5 if network == "lenet" else 20)
    photos = clone / "data/photos"
    paths = sorted(str(path.relative_to(photos)) for path in photos.glob("*/*"))
    with torch.no_grad(), watched(net.eval(), layers) as seen:
        net(torch.stack([transform(Image.open(photos / path).convert("RGB")) for path in paths]))
    for layer in lurker:
        maps = seen[layer.name].flatten(2) if seen[layer.name].dim() > 2 else seen[layer.name].unsqueeze(2)
        tolerance = 1e-5 * float(maps.abs().max())
        for kind, scores in (("max", maps.amax(2)), ("avg", maps.mean(2))):
            best = scores.sort(0, descending=True).values
            for entry in layer:
                for rank, top in enumerate(getattr(entry, kind)):
                    assert abs(top.score - float(best[rank, entry.channel])) <= tolerance
                    own = scores[paths.index(top.path), entry.channel]
                    assert abs(top.score - float(own)) <= tolerance


class Reshaping(nn.Module):
    """Takes several sizes, and gives more than one row for an image of those that it was not made for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.head = nn.Linear(4 * 15 * 15, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).view(-1, 4 * 15 * 15))


@pytest.mark.parametrize(("make", "side"), [("LeNet", 64), ("LeNet", 224), (Reshaping, 64)])
def test_the_size_that_is_advised_gives_one_row_for_an_image(make: Any, side: int) -> None:
    net = getattr(networks(), make)() if isinstance(make, str) else make()
    with pytest.raises(LurkError, match=r"one of 32 x 32 px does; give size=32, or a transform"):
        check_network(net, (3, side, side))


def test_a_size_with_several_rows_for_an_image_is_refused_where_classes_are_wanted(clone: Path) -> None:
    net, transform, names = networks().lenet()
    assert check_network(net, (3, 112, 112)).rows == 25
    photo = "data/photos/farm/german-shepherd.jpg"
    large = transforms.Compose([transforms.Resize((112, 112)), *transform.transforms[1:]])
    with pytest.raises(
        LurkError, match=r"does not give one row of logits per image.*; explain a unit .* or set size= to"
    ):
        explain(net, large, [photo], classes=names)
    assert explain(net, large, [photo], target="conv2:7", classes=names)
    with pytest.raises(LurkError, match="25 rows of logits for one image: it was made for another input"):
        transfer(net, transform, images="data/photos", out="runs/large", size=112, device="cpu")
    assert not list(clone.glob("runs/large/*"))


def test_a_file_without_a_function_and_other_layers_are_one_line(clone: Path) -> None:
    def refused(*arguments: str) -> str:
        common = ["precompute", "--images", "data/photos", "--out", "saved_model/one", "--stages", "scan"]
        result = CliRunner().invoke(main, [*common, "--workers", "0", "--device", "cpu", *arguments])
        return str(result.exception or "") + result.output

    assert "your file as docs/own_networks.py:FUNCTION" in refused("--model", "docs/own_networks.py")
    assert "2 layers, 22 filters" in refused("--model", "docs/own_networks.py:lenet")
    answer = refused("--model", "docs/own_networks.py:lenet", "--layers", "kind:Linear")
    assert "other layers (conv1, conv2, not fc1, fc2, fc3); choose another --out" in answer
