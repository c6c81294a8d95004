"""Incompatible stores, networks and images give an error of one line and write no file."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

from tests import helpers
from tests.compared import PREPROCESS, network, store, trained, write_photos
from tests.stored import places
from torchlurk import Comparison, compare
from torchlurk.cli.main import main
from torchlurk.datasets.images import NOT_READ
from torchlurk.errors import LurkError

NETS = """
from tests import helpers
from tests.compared import PREPROCESS, network
def net(): return network(), PREPROCESS
def other_transform(): return network(), PREPROCESS.__class__(size=(21, 26), resize=(30, 30),
                                                             mean=(0.5,) * 3, std=(0.25,) * 3)
def other_mean(): return network(), PREPROCESS.__class__(size=(21, 26), resize=(21, 26))
def flat():
    model = network()
    model.features = model.first
    model._modules.pop("last")
    return model, PREPROCESS
"""


class Small(nn.Sequential):
    """Another architecture with a layer of the same name."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.add_module("first", nn.Conv2d(3, channels, 3, padding=1))
        self.add_module("relu", nn.ReLU())
        self.add_module("second", nn.Conv2d(channels, 2, 3))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `photos`, `others`, and stores in `saved`; `one` and `two` have weights files."""
    folder = tmp_path_factory.mktemp("inputs")
    photos = write_photos(folder / "photos")
    others = write_photos(folder / "others", count=9)
    one = network()
    two = trained(one)
    for name, model in (("one", one), ("two", two)):
        save_file(model.state_dict(), folder / f"{name}.safetensors")
    save_file(trained(one, seed=4).state_dict(), folder / "third.safetensors")
    (folder / "nets.py").write_text(NETS)
    for name in ("one", "two"):
        result = CliRunner().invoke(
            main,
            ["precompute", "--model", f"{folder / 'nets.py'}:net", "--weights",
             str(folder / f"{name}.safetensors"), "--images", str(photos),
             "--out", str(folder / "saved" / name), "--top", "3", "--filters", "1",
             "--workers", "0", "--device", "cpu", "--stages", "scan,ascent"],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    store(one, others, folder / "saved/images", images=False)
    store(one, photos, folder / "saved/k", top=2, images=False)
    for channels in (6, 4):
        torch.manual_seed(0)
        store(Small(channels), photos, folder / f"saved/small{channels}", images=False)
    return folder


@pytest.fixture
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(inputs, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def files(folder: Path) -> dict[str, bytes]:
    paths = folder.rglob("*")
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in paths}


def refused(here: Path, *arguments: str) -> str:
    before = files(here)
    result = CliRunner().invoke(main, ["compare", *arguments, "--workers", "0", "--device", "cpu"])
    line = helpers.refused(result)
    assert files(here) == before
    return line


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def manifest(change: Callable[[Any], None]) -> Callable[[Path], None]:
    return lambda here: edit(here / "saved/two/network.json", change)


BAD_STORES: dict[str, tuple[Callable[[Path], None], list[str], list[str]]] = {
    "a single store": (lambda here: None, ["saved/one"], ["1 store to compare", "two or more"]),
    "no such store": (lambda here: None, ["saved/one", "saved/none"], ["saved/none", "is this a store?"]),
    "other images": (
        lambda here: None, ["saved/one", "saved/images"],
        ["'saved/images'", "other images (9 of 'others')", "'saved/one' (12 of 'photos')"],
    ),
    "other k": (
        lambda here: None, ["saved/one", "saved/k"], ["'saved/k' has k = 2", "'saved/one' has 3", "--top"],
    ),
    "other architecture": (
        lambda here: None, ["saved/one", "saved/small6"],
        ["'saved/small6' has no layer 'narrow'", "one architecture", "--layers"],
    ),
    "other width": (
        lambda here: None, ["saved/one", "saved/small4", "--layers", "first"],
        ["layer 'first' has 6 filters in 'saved/one' and 4 in 'saved/small4'"],
    ),
    "no such layer": (
        lambda here: None, ["saved/one", "saved/two", "--layers", "frist"], ["'frist'", "did you mean first"]
    ),
    "incomplete scan": (
        manifest(lambda m: m["stages"]["scan"].update(complete=False)), ["saved/one", "saved/two"],
        ["the scan of 'saved/two' is incomplete", "the same torchlurk precompute again"],
    ),
    "newer format": (
        manifest(lambda m: m.update(format=3, more="of it")), ["saved/one", "saved/two"],
        ["has format 3", "upgrade Torchlurk"],
    ),
    "damaged manifest": (
        lambda here: (here / "saved/two/network.json").write_text("{") and None, ["saved/one", "saved/two"],
        ["network.json", "is damaged"],
    ),
    "missing layer file": (
        lambda here: (here / "saved/two/layers/wide.json").unlink(), ["saved/one", "saved/two"],
        ["saved/two/layers/wide.json", "cannot read"],
    ),
    "other map": (
        manifest(lambda m: m["layers"][3].update(shape=[7, 9, 9])), ["saved/one", "saved/two"],
        ["layer 'last' is a Conv2d of shape [7, 6, 7]", "[7, 9, 9]"],
    ),
    "other order": (
        manifest(lambda m: m["layers"].insert(1, m["layers"].pop(2))), ["saved/one", "saved/two"],
        ["runs its layers in another order"],
    ),
    "other input": (
        manifest(lambda m: m["input"].update(shape=[3, 30, 30])), ["saved/one", "saved/two"],
        ["3 x 30 x 30", "3 x 21 x 26", "--size"],
    ),
    "other normalisation": (
        manifest(lambda m: m["input"].update(mean=[0.1, 0.5, 0.5])), ["saved/one", "saved/two"],
        ["mean [0.1, 0.5, 0.5]", "the same transform"],
    ),
    "other classes": (
        manifest(lambda m: m["dataset"].update(classes=["x", "y", "z"])), ["saved/one", "saved/two"],
        ["has other class names", "--words"],
    ),
    "other images skipped": (
        manifest(lambda m: m["dataset"].update(skipped=[{"path": "a/00.png", "reason": "gone"}])),
        ["saved/one", "saved/two"], ["'saved/two' skipped 1", "'saved/one' 0"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_STORES)
def test_incompatible_stores_are_refused_by_name(here: Path, name: str) -> None:
    damage, arguments, words = BAD_STORES[name]
    damage(here)
    line = refused(here, *arguments)
    assert all(word in line for word in words), line


def test_images_of_unsupported_formats_do_not_make_stores_incompatible(here: Path) -> None:
    unread = [{"path": "a/x.heic", "reason": f"{NOT_READ}the format HEIF"}]
    manifest(lambda m: m["dataset"].update(skipped=unread))(here)
    result = CliRunner().invoke(main, ["compare", "saved/one", "saved/two", "--out", "saved/compared"])
    assert result.exit_code == 0, result.output


NETWORKS = ("saved/one", "saved/two", "--images", "photos")
FILES = ("--weights", "two.safetensors", "--weights", "one.safetensors")
MODEL = ("--model", "nets.py:net")

BAD_NETWORKS: dict[str, tuple[list[str], list[str]]] = {
    "no images": (["saved/one", "saved/two", *FILES], ["without images", "--images"]),
    "other images": (
        ["saved/one", "saved/two", "--images", "others", *FILES, *MODEL],
        ["--images: 'others' are not the images", "12 of 'photos'"],
    ),
    "a function not given with --model": (
        [*NETWORKS, *FILES],
        ["the user's own network 'nets.py:net'", "--model FILE.py:FUNCTION"],
    ),
    "missing weights file": (
        [*NETWORKS, *MODEL, *FILES[:2]],
        ["'saved/one'", "file:one.safetensors", "--weights"],
    ),
    "weights of another network": (
        [*NETWORKS, *MODEL, *FILES, "--weights", "third.safetensors"],
        ["'third.safetensors'", "none of the stores", "two: file:two.safetensors"],
    ),
    "no such weights file": (
        [*NETWORKS, *MODEL, "--weights", "none.safetensors"],
        ["'none.safetensors'", "No such file"],
    ),
    "too many models": ([*NETWORKS, *FILES, *MODEL * 3], ["--model: given 3 times for 2 stores"]),
    "another transform": (
        [*NETWORKS, *FILES, "--model", "nets.py:other_transform"],
        ["gives", "'saved/one' records", "has changed since"],
    ),
    "another normalisation": (
        [*NETWORKS, *FILES, "--model", "nets.py:other_mean"],
        ["'saved/one' was computed from inputs", "[0.5, 0.5, 0.5]"],
    ),
    "another code": (
        [*NETWORKS, *FILES, "--model", "nets.py:flat"],
        ["does not fit the network", "another architecture"],
    ),
    "unknown embedding network": ([*NETWORKS[:2], "--embed", "resnet81"], ["no classifier 'resnet81'"]),
}


@pytest.mark.parametrize("name", BAD_NETWORKS)
def test_networks_and_images_of_other_stores_are_refused(here: Path, name: str) -> None:
    arguments, words = BAD_NETWORKS[name]
    line = refused(here, *arguments, "--out", "saved/new")
    assert all(word in line for word in words), line


def test_the_error_names_a_damaged_picture(here: Path) -> None:
    damaged = places(here / "saved/two")["max_activ/wide/0.jpg"]
    damaged.spoil()
    line = refused(here, *NETWORKS, *FILES, *MODEL)
    assert f"max_activ of filter 0 in 'saved/two/pictures/wide/{damaged.path.name}'" in line
    assert "compute its store again" in line


BAD_FOLDERS: dict[str, tuple[str, list[str]]] = {
    "elsewhere": ("other/new", ["--out 'other/new': the folder must be next to 'saved/one'", "'saved/new'"]),
    "a store": ("saved/k", ["--out 'saved/k': the folder is a store"]),
    "other files": ("saved/mine", ["is not a comparison", "'letter.txt'"]),
    "hidden": ("saved/.new", ["hides names that begin with a dot"]),
    "a comparison of others": ("saved/old", ["the comparison of two, one", "--overwrite"]),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_a_folder_with_something_else_is_not_changed(here: Path, name: str) -> None:
    (here / "saved/mine").mkdir()
    (here / "saved/mine/letter.txt").write_text("dear")
    compare("saved/two", "saved/one", out="saved/old")
    out, words = BAD_FOLDERS[name]
    line = refused(here, "saved/one", "saved/two", "--out", out)
    assert all(word in line for word in words), line
    assert compare("saved/one", "saved/two", out="saved/old", overwrite=True).stores == ("one", "two")


def test_a_store_under_another_name_is_refused(here: Path) -> None:
    (here / "saved/two").rename(here / "saved/2")
    assert "contains the store 'two'" in refused(here, "saved/one", "saved/2", "--out", "saved/new")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": [network()]}, ["1 modules for 2 stores", "model="]),
        ({"model": [network(), "vgg16"]}, ["names and modules"]),
        ({"model": [network(), network(3)], "preprocess": PREPROCESS}, ["filter", "records"]),
        ({"model": [7, 8]}, ["model=: expected", "got int"]),
        ({"model": "vgg16", "preprocess": PREPROCESS}, ["preprocess=: networks given by name"]),
        (
            {"model": [network()] * 2, "weights": "one.safetensors"},
            ["model=: modules have their own weights", "leave out weights="],
        ),
        ({"images": None, "model": "vgg16"}, ["without images", "with images="]),
    ],
)
def test_errors_in_python_name_the_arguments(here: Path, options: dict[str, Any], words: list[str]) -> None:
    more: dict[str, Any] = {"images": "photos", "workers": 0, "progress": False, "device": "cpu", **options}
    with pytest.raises(LurkError) as problem:
        compare("saved/one", "saved/two", **more)
    assert "\n" not in str(problem.value)
    assert all(word in str(problem.value) for word in words), problem.value


def test_the_error_names_the_layer_that_gives_nan(here: Path) -> None:
    broken = copy.deepcopy(network())
    with torch.no_grad():
        broken.last.bias[2] = torch.nan
    with pytest.raises(LurkError, match="layer 'last' gives NaN or infinity"):
        compare("saved/one", "saved/one", images="photos", model=[network(), broken], preprocess=PREPROCESS,
                workers=0, progress=False, device="cpu")  # fmt: skip


DAMAGES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "a pair with an unknown store": ("comparison.json", lambda c: c["pairs"][0].update(to=5)),
    "a layer without changes": ("comparison.json", lambda c: c["layers"][0].update(changes=[])),
    "another layer": ("layers/wide.json", lambda c: c.update(layer="narrow")),
    "a short column": ("layers/wide.json", lambda c: c["pairs"][0]["values"]["top_max"].pop()),
    "an unknown measure": ("layers/wide.json", lambda c: c["pairs"][0]["values"].update(luck=[0] * 5)),
    "other pairs": ("layers/wide.json", lambda c: c["pairs"][0].update({"from": 1})),
    "an unknown key": ("layers/wide.json", lambda c: c.update(more=1)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_comparison_is_refused(here: Path, name: str) -> None:
    compare("saved/one", "saved/two", out="saved/new")
    path, change = DAMAGES[name]
    edit(here / "saved/new" / path, change)
    with pytest.raises(LurkError, match=path):
        Comparison.load("saved/new")
