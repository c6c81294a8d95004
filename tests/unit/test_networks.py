"""Where networks come from: torchvision, timm, functions; and what is said where they cannot be had."""

from __future__ import annotations

import importlib
import sys
import textwrap
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.transform import CustomTransform
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import read_weights, state_digest
from torchlurk.models.network import Network, load_network
from torchlurk.models.timm_zoo import load_timm
from torchlurk.models.weights import published_prefix, resolve_weights, weights_entry


def load(model: str, weights: str = "auto", size: Any = None, **options: Any) -> Network:
    return load_network(model, weights, size, Path("nowhere"), report=lambda _: None, **options)


def one_line(caught: pytest.ExceptionInfo[LurkError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# torchvision


def test_random_weights_depend_on_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    first = load("squeezenet1_1", "random", 64, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    again = load("torchvision:squeezenet1_1", "random", 64, seed=7)
    other = load("squeezenet1_1", "random", 64, seed=8)
    assert first.weights == "random:7"
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert first.weights_sha256 == state_digest(first.module.state_dict())
    assert not first.module.training
    assert first.classes[:2] == ("tench", "goldfish")
    assert first.source == "torchvision:squeezenet1_1"


@pytest.mark.parametrize(
    ("model", "shape", "interpolation"),
    [
        ("mnasnet0_5", (3, 224, 224), "bilinear"),
        ("efficientnet_b0", (3, 224, 224), "bicubic"),
        ("inception_v3", (3, 299, 299), "bilinear"),
        ("googlenet", (3, 224, 224), "bilinear"),
    ],
)
def test_the_geometry_is_that_of_the_preset(
    model: str, shape: tuple[int, int, int], interpolation: str
) -> None:
    found = load(model, "random")
    assert found.shape == shape
    assert isinstance(found.preprocess, Preprocess)
    assert found.preprocess.interpolation == interpolation
    assert len(found.classes) == 1000
    assert not [name for name, _ in found.module.named_modules() if name.startswith(("aux", "Aux"))]


def test_a_size_of_ones_own() -> None:
    assert load("squeezenet1_1", "random", (64, 96)).shape == (3, 64, 96)
    found = load("vit_b_16", "random", 32)
    assert found.shape == (3, 32, 32)
    assert found.preprocess == Preprocess(size=32, resize=37)


def test_weights_of_another_number_of_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for model in ("resnet18", "squeezenet1_1"):
        network = torchvision.models.get_model(model, num_classes=7)
        torch.save({"model": {f"module._orig_mod.{k}": v for k, v in network.state_dict().items()}},
                   tmp_path / "seven.pt")  # fmt: skip
        found = load(model, str(tmp_path / "seven.pt"), 64)
        assert found.classes == ()
        assert found.weights == "file:seven.pt"
        with torch.inference_mode():
            x = torch.rand(1, 3, 64, 64)
            assert torch.equal(found.module(x), network.eval()(x))


def test_the_heads_of_a_training_are_left_out(tmp_path: Path) -> None:
    network = torchvision.models.googlenet(init_weights=False, num_classes=5)
    torch.save(network.state_dict(), tmp_path / "g.pt")
    found = load("googlenet", str(tmp_path / "g.pt"))
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found.module(x), network.eval()(x))


def test_weights_by_torchvisions_own_name(tmp_path: Path) -> None:
    assert weights_entry("resnet50", "IMAGENET1K_V1").name == "IMAGENET1K_V1"
    assert weights_entry("resnet50", "DEFAULT").name == "IMAGENET1K_V2"
    assert weights_entry("resnet50", "some/file.pt") is None
    with pytest.raises(LurkError, match="'IMAGENET1K_V9': torchvision has IMAGENET1K_V1 and IMAGENET1K_V2"):
        load("resnet50", "IMAGENET1K_V9")

    def download(url: str, path: Path, prefix: str) -> None:
        raise OSError(f"asked for {url.rsplit('/', 1)[1]}")

    with pytest.raises(LurkError, match=r"asked for resnet50-0676ba61\.pth\): give --weights PATH"):
        resolve_weights(
            "resnet50", "IMAGENET1K_V1", tmp_path, report=print, download=download, hub=tmp_path
        )  # fmt: skip


def test_a_classifier_that_was_published_as_nan_is_left_out(tmp_path: Path) -> None:
    network = torchvision.models.alexnet()
    nn.init.constant_(network.classifier[6].bias, torch.nan)
    torch.save(network.state_dict(), tmp_path / "x.pt")
    digest = read_weights(tmp_path / "x.pt").sha256
    entry = types.SimpleNamespace(url=f"http://x/alexnet_features-{digest[:8]}.pth", name="FEATURES")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "x.pt").rename(tmp_path / "checkpoints" / entry.url.rsplit("/", 1)[1])

    class Entries:
        DEFAULT = entry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "get_model_weights", lambda _: Entries)
        found = resolve_weights("alexnet", "DEFAULT", tmp_path, report=print, hub=tmp_path)
    assert (found.name, found.partial) == ("imagenet:FEATURES", True)
    assert {key.split(".")[0] for key in found.state} == {"features"}


def test_what_published_weights_were_fed_is_known_by_their_digest() -> None:
    entry = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1
    assert published_prefix(entry) == "1378be20"
    assert published_prefix(torchvision.models.Inception_V3_Weights.DEFAULT) == "0cc3c7bd"


def test_weights_of_another_architecture_are_counted(tmp_path: Path) -> None:
    save_file(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(LurkError, match=r"missing conv1\.weight, .* and \d+ more; unknown .* and \d+ more"):
        load("resnet18", str(tmp_path / "w.safetensors"))
    wide = torchvision.models.resnet18(width_per_group=64)
    state = wide.state_dict()
    for key in ("conv1.weight", "layer1.0.conv1.weight", "fc.weight"):
        state[key] = state[key][:, :1].clone()
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(LurkError, match=r"conv1\.weight is \(64, 1, 7, 7\) in .* \(2 others differ too\)"):
        load("resnet18", str(tmp_path / "w.safetensors"))


def test_a_pickle_that_runs_code_only_when_told(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    torch.save(network, tmp_path / "whole.pt")
    with pytest.raises(LurkError, match="--allow-unsafe-pickle if you trust"):
        read_weights(tmp_path / "whole.pt")
    found = read_weights(tmp_path / "whole.pt", unsafe_pickle=True)
    assert state_digest(found.state) == state_digest(network.state_dict())


# functions

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


def test_a_function_in_a_file(file: Path) -> None:
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


def test_what_a_function_may_give(file: Path) -> None:
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


def test_weights_from_a_file_for_a_function(file: Path) -> None:
    state = load(f"{file}:make", seed=5).module.state_dict()
    torch.save({"epoch": 3, "state_dict": state}, file.with_suffix(".pt"))
    found = load(f"{file}:make", str(file.with_suffix(".pt")))
    assert found.weights == "file:mine.pt"
    assert state_digest(found.module.state_dict()) == state_digest(state)


def test_a_function_in_a_package(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        ("mkae", r"has no function 'mkae': it has .*make"),
        ("number", "is a int: name a function"),
        ("depth", "wants the arguments depth: name a function without any"),
        ("nothing", "gives None: return the network"),
        ("mapping", "gives a dict: return the network"),
        ("wrong_pair", "gives a str beside the network: return a transform"),
        ("raises", r"fails at mine\.py, line \d+ \(RuntimeError: Given groups=1"),
        ("leaves", r"fails at mine\.py, line \d+ \(SystemExit: 3\)"),
        ("many", r"takes 5 channels, images have 1 or 3; give a transform .* as \(network, transform\)"),
        ("nan", r"conv\.bias of the network holds NaN"),
        ("", "names no function: write path/to/file.py:function"),
    ],
)
def test_a_function_that_will_not_do_is_one_line(file: Path, name: str, message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        load(f"{file}:{name}")
    one_line(caught)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", r"mine\.py, line 1, is no Python"),
        ("import not_there_at_all\n", "imports 'not_there_at_all', which is not installed here"),
        ("x = 1\ny = x / 0\n", r"fails at mine\.py, line 2 \(ZeroDivisionError"),
        ("", "has no function 'make': it has none"),
    ],
)
def test_a_file_that_will_not_run_is_one_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    paths, modules = list(sys.path), set(sys.modules)
    with pytest.raises(LurkError, match=message) as caught:
        load(f"{file}:make")
    one_line(caught)
    assert sys.path == paths
    assert text == "" or set(sys.modules) == modules


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("nowhere.py:make", "auto", "file 'nowhere.py' does not exist"),
        ("no_such.package:make", "auto", "no module 'no_such.package'"),
        ("a b:make", "auto", "no module 'a b'"),
        ("torchvision.models:resnet18", "random", "--weights random is for networks of torchvision"),
        ("torchvision.models:resnet18", "imagenet", "--weights imagenet is for networks of torchvision"),
        ("torchvision:vgg61", "random", "no classifier 'vgg61': did you mean .*vgg16"),
    ],
)
def test_a_network_that_is_not_there(model: str, weights: str, message: str) -> None:
    with pytest.raises(LurkError, match=message) as caught:
        load(model, weights)
    one_line(caught)


# timm


@pytest.fixture
def timm() -> Any:
    return importlib.import_module("timm")


def timm_load(spec: str, weights: str, **options: Any) -> Network:
    return load(spec, weights, first=lambda: Image.new("RGB", (300, 260), (9, 99, 199)), **options)


def test_a_network_of_timm(timm: Any, tmp_path: Path) -> None:
    found = timm_load("timm:mobilenetv3_small_050", "random", seed=3)
    assert found.preprocess.shape == (3, 224, 224)
    assert isinstance(found.preprocess, Preprocess)
    assert found.preprocess.interpolation == "bicubic"
    assert found.weights == "random:3"
    assert found.classes[0].startswith("tench")
    assert found.weights_sha256 == timm_load("timm:mobilenetv3_small_050", "random", seed=3).weights_sha256
    made = timm.create_model("mobilenetv3_small_050", num_classes=4)
    save_file(made.state_dict(), tmp_path / "w.safetensors")
    own = timm_load("timm:mobilenetv3_small_050", str(tmp_path / "w.safetensors"), size=64)
    assert own.shape == (3, 64, 64)
    assert own.classes == ()
    with torch.inference_mode():
        x = torch.rand(1, 3, 64, 64)
        assert torch.equal(own.module(x), made.eval()(x))


def test_timm_says_what_is_wrong(timm: Any) -> None:
    with pytest.raises(LurkError, match="timm has no network 'resnet81': did you mean resnet"):
        timm_load("timm:resnet81", "random")

    def unreachable(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no hub\nhere")

    fake = types.SimpleNamespace(is_model=lambda _: True, create_model=unreachable)
    options: dict[str, Any] = {"seed": 0, "unsafe_pickle": False, "say": lambda _: None}
    options["first"] = lambda: Image.new("RGB", (8, 8))
    with pytest.raises(LurkError, match=r"cannot be fetched \(no hub\): give --weights FILE or random"):
        load_timm("timm:resnet18", "auto", load=lambda _: fake, **options)

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    with pytest.raises(LurkError, match=r"wants the package timm .*: pip install timm"):
        load_timm("timm:resnet18", "auto", load=missing, **options)


# lazy modules


def test_lazy_modules_are_initialised_by_one_forward_from_the_seed(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import warnings\nfrom torch import nn\n\n\ndef lazy():\n"
        "    warnings.simplefilter('ignore')  # lazy modules are said to be new\n"
        "    return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))\n"
    )
    before = torch.random.get_rng_state()
    with warnings.catch_warnings():
        one, two, other = (load(f"{tmp_path}/nets.py:lazy", size=8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {name: tuple(p.shape) for name, p in one.module.named_parameters()} == {
        "0.weight": (4, 3, 3, 3), "0.bias": (4,), "3.weight": (2, 144), "3.bias": (2,)
    }  # fmt: skip
    assert one.weights_sha256 == two.weights_sha256 != other.weights_sha256
