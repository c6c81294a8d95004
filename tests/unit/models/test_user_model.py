"""Networks that functions of the user return, and functions that cannot be used."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.unit.models.conftest import assert_one_line, load
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.transform import CustomTransform
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import state_digest

BODY = """
    import torch
    from torch import nn
    from torchvision import transforms as T
    from dataclasses import dataclass
    from helper_beside import CHANNELS

    @dataclass
    class Shape:
        width: int = 4

    class Net(nn.Module):
        def __init__(self, channels=3):
            super().__init__()
            self.conv = nn.Conv2d(channels, Shape().width, 3)
            self.head = nn.Linear(4, 2)
        def forward(self, x):
            return self.head(self.conv(x).relu().mean((2, 3)))

    def make(): return Net()
    def gray(): return Net(1)
    def many(): return Net(5)
    def with_transform(): return Net(), T.Compose([T.Resize(20), T.CenterCrop((16, 18)), T.ToTensor()])
    def odd(): return Net(), lambda image: T.functional.to_tensor(image.resize((12, 10))) * 255
    def trained():
        net = Net()
        nn.init.constant_(net.conv.bias, 3)
        return net.half().train()
    instance = Net()
    number = 3
    def depth(depth, width=3): return Net()
    def nothing(): pass
    def mapping(): return {"net": Net()}
    def wrong_pair(): return Net(), "bilinear"
    def raises(): return Net().conv(torch.zeros(1, 9, 4, 4))
    def leaves(): raise SystemExit(3)
    def nan():
        net = Net()
        net.conv.bias.data[1] = float("nan")
        return net
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    path = tmp_path / "code" / "mine.py"
    path.write_text(textwrap.dedent(BODY))
    (path.parent / "helper_beside.py").write_text("CHANNELS = 3\n")
    return path


def test_function_in_a_file(file: Path) -> None:
    paths, modules = list(sys.path), set(sys.modules)
    before = torch.random.get_rng_state()
    found = load(f"{file}:make")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sys.path == paths
    (new,) = {name for name in set(sys.modules) - modules if "torch." not in name}
    assert new.startswith("torchlurk_model_")
    assert (found.title, found.source, found.weights) == ("Net", "mine.py:make", "own")
    assert found.weights_sha256 == state_digest(found.module.state_dict())
    assert found.weights_sha256 == load(f"{file}:make").weights_sha256
    assert found.preprocess == Preprocess()
    assert load(f"{file}:Net").title == load(f"{file}:instance").title == "Net"


def test_function_may_return_a_transform(file: Path) -> None:
    gray = load(f"{file}:gray", "auto", 28)
    assert gray.preprocess == Preprocess(size=28, resize=32, mean=(0.0,), std=(1.0,))
    cut = load(f"{file}:with_transform")
    assert isinstance(cut.preprocess, Preprocess)
    assert cut.shape == (3, 16, 18)
    odd = load(f"{file}:odd", first=lambda: Image.linear_gradient("L").convert("RGB"))
    assert isinstance(odd.preprocess, CustomTransform)
    assert odd.shape == (3, 10, 12)
    trained = load(f"{file}:trained")
    assert trained.module.conv.bias.dtype is torch.float32
    assert not trained.module.training


def test_weights_file_for_a_function(file: Path) -> None:
    state = load(f"{file}:make", seed=5).module.state_dict()
    torch.save({"epoch": 3, "state_dict": state}, file.with_suffix(".pt"))
    found = load(f"{file}:make", str(file.with_suffix(".pt")))
    assert found.weights == "file:mine.pt"
    assert state_digest(found.module.state_dict()) == state_digest(state)


def test_function_in_a_package(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = file.parent / "mine_as_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text(file.read_text().replace("helper_beside", "mine_as_package.helper"))
    (package / "helper.py").write_text("CHANNELS = 3\n")
    monkeypatch.chdir(file.parent)
    paths = list(sys.path)
    assert load("mine_as_package.nets:make").source == "mine_as_package.nets:make"
    assert sys.path == paths
    for name in [n for n in sys.modules if n.startswith("mine_as_package")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mkae", r"has no function 'mkae'; it has .*make"),
        ("number", "is a int; name a function"),
        ("depth", "requires the arguments depth; name a function without arguments"),
        ("nothing", "returns None; return the network"),
        ("mapping", "returns a dict; return the network"),
        ("wrong_pair", "returns a str beside the network; return a transform"),
        ("raises", r"fails at mine\.py, line \d+ \(RuntimeError: Given groups=1"),
        ("leaves", r"fails at mine\.py, line \d+ \(SystemExit: 3\)"),
        (
            "many",
            r"takes 5 channels, images have 1 or 3; give a transform that makes them from a PIL image",
        ),
        ("nan", r"conv\.bias of the network holds NaN"),
        ("", "names no function; write model=path/to/file.py:function"),
    ],
)
def test_unusable_functions_are_reported_in_one_line(file: Path, name: str, message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        load(f"{file}:{name}")
    assert_one_line(caught)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", r"mine\.py, line 1, is not valid Python"),
        ("import not_there_at_all\n", "imports 'not_there_at_all', which is not installed here"),
        ("x = 1\ny = x / 0\n", r"fails at mine\.py, line 2 \(ZeroDivisionError"),
        ("", "has no function 'make'; it has none"),
    ],
)
def test_unusable_files_are_reported_in_one_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    paths, modules = list(sys.path), set(sys.modules)
    with pytest.raises(LurkError, match=message) as caught:
        load(f"{file}:make")
    assert_one_line(caught)
    assert sys.path == paths
    assert text == "" or set(sys.modules) == modules
