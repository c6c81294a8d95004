"""Tests of `Lurk`: the stores that it writes, and what it reads and shows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import matplotlib
import pytest
import torch
from click.testing import CliRunner
from matplotlib import pyplot
from PIL import Image
from torch import nn
from torchvision import transforms

from tests.processes import run_without_torch
from tests.stored import unpacked
from torchlurk import Lurk
from torchlurk.cli.main import main
from torchlurk.errors import LurkError
from torchlurk.store.inspect import inspect

HOSTILE = "<b>&'\"$x"
NET = """
import torch
from torch import nn
from torchvision import transforms

def tiny():
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3),
                        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
    with torch.no_grad():
        for number, p in enumerate(net.parameters()):
            steps = torch.arange(p.numel(), dtype=torch.float64)
            p.copy_((torch.sin(steps * 12.9898 + number) * 0.4).view_as(p))
    return net, transform()

def transform():
    return transforms.Compose([transforms.Resize(36), transforms.CenterCrop(32), transforms.ToTensor(),
                               transforms.Normalize((0.5,) * 3, (0.25,) * 3)])
"""


@pytest.fixture(scope="module", autouse=True)
def without_windows() -> None:
    matplotlib.use("Agg")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "photos"
    for number in range(5):
        path = folder / ("plain" if number % 2 else HOSTILE) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (48, 40), (50 * number, 90, 255 - 50 * number))
        picture.paste((255, 255, 0), (4 + 5 * number, 6, 30, 24))
        picture.save(path)
    return folder


def net() -> nn.Module:
    module = ModuleType("net")
    exec(NET, module.__dict__)
    made: nn.Module = module.tiny()[0]
    return made


def transform() -> Any:
    module = ModuleType("net")
    exec(NET, module.__dict__)
    return module.transform()


Make = Callable[..., Lurk]


@pytest.fixture
def make(photos: Path, tmp_path: Path) -> Make:
    def made(model: Any = None, preprocess: Any = None, **more: Any) -> Lurk:
        usual: dict[str, Any] = {
            "images": photos, "out": tmp_path / "lurk/tiny", "device": "cpu", "workers": 0, "progress": False
        }  # fmt: skip
        return Lurk(model or net(), preprocess or transform(), **{**usual, **more})

    return made


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Lurk:
    """A store with gradients and images of filters 1 and 2 of the second convolution."""
    lurker = Lurk(
        net(), transform(), images=photos, out=tmp_path_factory.mktemp("saved") / "tiny", device="cpu",
        workers=0, progress=False, layers=["kind:Conv2d", "logits"], names=["a", "b<i>", "c"],
    )  # fmt: skip
    lurker.compute_top_imgs()
    lurker.compute_grads("3", [1, 2])
    lurker.compute_viz("3", [1, 2], steps=3)
    return lurker


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_lurk_writes_the_bytes_of_the_command(make: Make, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NET)
    told = CliRunner().invoke(
        main,
        ["precompute", "--model", f"{tmp_path / 'nets.py'}:tiny", "--images", str(photos), "--out",
         str(tmp_path / "command/tiny"), "--filters", "2", "--workers", "0", "--device", "cpu"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    lurker = make(source="nets.py:tiny")
    lurker.compute_top_imgs()
    lurker.compute_grads(filters=1)
    lurker.compute_grads("3", filters=[1])
    lurker.compute_grads(filters=2)
    lurker.compute_layer_viz(filters=range(2))
    lurker.compute_circuits()
    assert files(tmp_path / "lurk") == files(tmp_path / "command")


def test_the_state_of_the_network_is_restored(make: Make) -> None:
    class Breaking(nn.Sequential):
        raised: BaseException | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.raised is not None:
                raise self.raised
            return super().forward(x)  # type: ignore[no-any-return]

    model = Breaking(*net()).double()
    model.train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model[3](model[0](torch.zeros(1, 3, 9, 9, dtype=torch.float64))).sum().backward()

    def state() -> list[object]:
        return [
            *((name, id(p), p.data_ptr(), p.dtype, p.requires_grad, p.stride()) for name, p in
              model.named_parameters()),
            *((name, id(p.grad), p.grad.dtype) for name, p in model.named_parameters() if p.grad is not None),
            *((m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()),
            torch.is_grad_enabled(),
        ]  # fmt: skip

    before = state()
    values = {name: value.clone() for name, value in model.state_dict().items()}
    lurker = make(model)
    assert state() == before
    for problem in (KeyboardInterrupt(), RuntimeError("mine")):
        model.raised = problem
        with pytest.raises((KeyboardInterrupt, LurkError)):
            lurker.compute_top_imgs()
        assert state() == before
    model.raised = None
    lurker.compute_top_imgs()
    lurker.compute_grads("3", [0])
    lurker.compute_viz("3", [0], steps=2)
    assert state() == before
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())


def test_a_network_that_was_trained_since_the_scan_is_refused(make: Make) -> None:
    model = net()
    lurker = make(model)
    lurker.compute_top_imgs()
    with torch.no_grad():
        model[0].weight.mul_(2)
    with pytest.raises(LurkError, match=r"other model .* choose another out=, or set overwrite=True"):
        lurker.compute_grads(filters=1)
    lurker.compute_top_imgs(overwrite=True)


def test_layers_and_filters_are_found_by_name_and_number(whole: Lurk) -> None:
    layer = whole["3"]
    assert len(whole) == 3
    assert [one.name for one in whole] == ["0", "3", "7"]
    assert whole[1].name == whole[-2].name == "3"
    assert [entry.channel for entry in layer] == list(range(len(layer))) == [0, 1, 2, 3, 4]
    entry = layer[2]
    assert (layer[-3].channel, whole["7"][1].name, entry.name) == (2, "b<i>", None)
    assert len(entry.max) == len(entry.avg) == 4
    assert entry.max[0].score == max(top.score for top in entry.max)
    assert entry.max[0].path.endswith(".png")
    assert entry.max[0].certificate is not None
    assert entry.max[0].certificate < 1e-3
    assert entry.avg[0].box is None
    assert {name for name, _ in entry.classes.avg} == {HOSTILE, "plain"}
    assert entry.stats.active > 0
    assert entry.image.size == (48, 48) or entry.image.size == (32, 32)
    assert entry.photo().size == (32, 32)
    for rank in range(4):
        assert entry.crop(rank).height == entry.gradient(rank, "crop").height
    assert entry.gradient(0).width * 4 == entry.tiles("max_grads").width
    assert entry.gradient(-1, "avg").size == entry.gradient(0, "avg").size
    assert "filter 2" in repr(entry)
    assert "5 filters" in repr(layer)


def test_file_gives_the_jpeg_file_of_a_picture(whole: Lurk) -> None:
    kept = unpacked(whole.store.path)
    entry = whole["3"][1]
    for kind in entry.entry.pictures:
        assert entry.file(kind) == kept[f"{kind}/3/1.jpg"]
    best = entry.max[0].image
    assert whole.store.image(best).read() == kept[f"images/{best}.jpg"]
    with pytest.warns(DeprecationWarning, match="folder= is now kind="):
        assert entry.file(folder="cropped") == kept["cropped/3/1.jpg"]


def test_a_layer_that_was_read_before_the_store_grew_still_gives_its_pictures(make: Make) -> None:
    lurker = make()
    lurker.compute_top_imgs()
    layer = lurker["3"]
    before = layer[0].file("cropped")
    packs = set(lurker.store.path.glob("pictures/3/*"))
    lurker.compute_viz("3", [0])
    assert packs.isdisjoint(lurker.store.path.glob("pictures/3/*"))
    assert layer[0].file("cropped") == before


def test_cards_embed_pictures_and_escape_text(whole: Lurk) -> None:
    for entry in (whole["3"][2], whole["3"][4], whole["7"][1]):
        html = entry._repr_html_()
        assert html.count("<img") == html.count('src="data:image/jpeg;base64,') >= 8
        assert "<b>" not in html
        assert "<i>" not in html
        assert "&lt;b&gt;&amp;&#x27;&quot;$x" in html


def test_plots_return_axes_and_show_nothing(whole: Lurk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyplot, "show", lambda *a, **k: pytest.fail("shown"))
    draw: list[Callable[..., Any]] = [
        lambda ax=None: whole.plot_top("max", "3", 1, ax=ax),
        lambda ax=None: whole.plot_top("avg", "3", 1, ax=ax),
        lambda ax=None: whole.plot_crop("3", 1, ax=ax),
        lambda ax=None: whole.plot_grads("crop", "3", 1, ax=ax),
        lambda ax=None: whole.plot_grads("avg", "3", 1, ax=ax),
        lambda ax=None: whole.plot_hist("3", 1, ax=ax),
        lambda ax=None: whole.plot_hist("3", 1, "avg", ax=ax),
        lambda ax=None: whole.plot_filter_viz("3", 1, ax=ax),
    ]
    for plot in draw:
        own = plot()
        assert own.get_title().startswith("3, filter 1")
        figure, given = pyplot.subplots()
        assert plot(given) is given
        figure.canvas.draw()
        own.figure.canvas.draw()
        pyplot.close("all")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda lurk: lurk["conv"], ["'conv'", "such as 0, 3, 7"]),
        (lambda lurk: lurk[3], ["no layer 3", "0 to 2"]),
        (lambda lurk: lurk["3"][5], ["no filter 5", "0 to 4"]),
        (lambda lurk: lurk["3"][0].image, ["compute_viz(layers='3', filters=[0])"]),
        (lambda lurk: lurk["3"][0].gradient(), ["compute_grads(layers='3', filters=[0])"]),
        (lambda lurk: lurk.plot_filter_viz("0", 1), ["compute_viz(layers='0', filters=[1])"]),
        (lambda lurk: lurk["7"][0].crop(), ["see the whole image", "photo()"]),
        (lambda lurk: lurk["3"][1].crop(4), ["ranks 0 to 3", "4"]),
        (lambda lurk: lurk["3"][1].gradient(0, "sum"), ["'sum'", "max, avg, crop"]),
        (lambda lurk: lurk.plot_top("best", "3", 1), ["'best'", "max, avg"]),
        (lambda lurk: lurk.plot_hist("3", 1, ax=7), ["ax is a int", "Axes"]),
        (lambda lurk: lurk.compute_grads("3", [5]), ["no filter 5", "0 to 4"]),
        (lambda lurk: lurk.compute_viz("33"), ["'33'", "did you mean 3"]),
        (lambda lurk: lurk.compute_viz(filters=0), ["filters=0", "at least 1"]),
        (lambda lurk: lurk.compute_viz(layers=7), ["layers=7", "list of strings"]),
        (lambda lurk: lurk.compute_viz(layers=["3", 0]), ["layers=['3', 0]", "list of strings"]),
        (lambda lurk: lurk.serve(port="a"), ["port='a'", "not an integer"]),
        (lambda lurk: lurk.compute_viz(filters="3"), ["filters='3'", "numbers"]),
        (lambda lurk: lurk.compute_viz(filters=[1.5]), ["filters=[1.5]", "numbers"]),
        (lambda lurk: lurk.compute_viz("3", 1, steps=0), ["steps=0", "at least 1"]),
        (lambda lurk: lurk.compute_grads(method="magic"), ["'magic'", "deconv, guided, vanilla"]),
    ],
)
def test_missing_layers_filters_and_pictures_are_refused_in_one_line(
    whole: Lurk, ask: Callable[[Lurk], Any], words: list[str]
) -> None:
    before = files(whole.store.path)
    with pytest.raises(LurkError) as refused:
        ask(whole)
    line = str(refused.value)
    assert "\n" not in line
    assert all(word in line for word in words), line
    assert files(whole.store.path) == before


def test_before_the_scan_errors_name_the_missing_call(make: Make) -> None:
    lurker = make()
    for ask in (
        lambda: lurker["3"], lambda: lurker.compute_grads(), lambda: lurker.compute_viz(),
        lambda: lurker.plot_crop("3", 0), lambda: lurker.serve(), lambda: len(lurker),
    ):  # fmt: skip
        with pytest.raises(LurkError, match=r"compute_top_imgs\(\)"):
            ask()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": 7}, ["a int", "torch.nn.Module"]),
        ({"model": "vgg16"}, ["'vgg16'", "leave out preprocess="]),
        ({"preprocess": 7}, ["preprocess is a int"]),
        ({"images": "nowhere"}, ["nowhere", "does not exist"]),
        ({"images": 7}, ["images are a int"]),
        ({"top": 0}, ["top=0"]),
        ({"workers": -1}, ["workers=-1", "at least 0"]),
        ({"names": [1]}, ["names="]),
        ({"device": "tpu"}, ["'tpu'", "cpu"]),
    ],
)
def test_bad_arguments_are_refused(make: Make, given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(LurkError) as refused:
        make(**given)
    assert all(word in str(refused.value) for word in words), refused.value


def test_two_lurks_share_a_folder_only_with_equal_options(make: Make, photos: Path) -> None:
    one, same, other = make(), make(), make(top=2)
    one.compute_top_imgs()
    same.compute_grads("3", [1])
    assert "max_grads" in one["3"][1].entry.pictures
    with pytest.raises(LurkError, match=r"other k .* another out="):
        other.compute_top_imgs()


def test_load_needs_neither_torch_nor_a_network(whole: Lurk) -> None:
    code = f"""
        import matplotlib
        matplotlib.use("Agg")
        import torchlurk
        lurker = torchlurk.Lurk.load({str(whole.store.path)!r})
        assert lurker["3"][2]._repr_html_().startswith("<div")
        assert lurker["3"][2].crop(0).size and lurker["3"][1].image.size
        assert lurker.plot_crop("3", 2).get_title() and lurker.plot_hist("3", 2)
        try:
            lurker.compute_viz()
        except Exception as problem:
            assert "Lurk(model" in str(problem), problem
        else:
            raise AssertionError
    """
    run_without_torch(code)


def test_importing_torchlurk_does_not_import_torch() -> None:
    code = "import sys, torchlurk; sys.exit(bool({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_serve_runs_until_end_serve(whole: Lurk) -> None:
    lurker = Lurk.load(whole.store.path)
    url = lurker.serve(port=0)
    with urlopen(f"{url}saved_model/index.json", timeout=5) as answer:
        assert [one["name"] for one in json.load(answer)["networks"]] == ["tiny"]
    with pytest.raises(LurkError, match=r"end_serve\(\)"):
        lurker.serve()
    port = int(url.rstrip("/").rpartition(":")[2])
    with pytest.raises(LurkError, match=r"another port="):
        Lurk.load(whole.store.path).serve(port)
    lurker.end_serve()
    lurker.end_serve()
    with pytest.raises(URLError):
        urlopen(url, timeout=5)
    assert lurker.serve(port) == url  # the port is free again
    lurker.end_serve()


def test_images_can_be_a_dataset_of_pairs(make: Make) -> None:
    class Pairs:
        classes = ("left", "right")

        def __len__(self) -> int:
            return 3

        def __getitem__(self, at: int) -> tuple[Image.Image, int]:
            return Image.new("RGB", (40, 40), (80 * at, 20, 60)), at % 2

    lurker = make(
        images=Pairs(), preprocess=transforms.Compose([transforms.CenterCrop(32), transforms.ToTensor()])
    )
    lurker.compute_top_imgs()
    assert {name for name, _ in lurker[0][0].classes.max} == {"left", "right"}
    assert inspect(lurker.store.path).problems == ()


def test_the_former_name_of_the_strategy_is_accepted_with_a_warning(make: Make) -> None:
    lurker = make()
    lurker.compute_top_imgs()
    with pytest.warns(DeprecationWarning, match="^way= is now strategy=$"):
        lurker.compute_viz("3", [0], way="naive")
    assert lurker.store.manifest.stages.ascent.config["way"] == "naive"
