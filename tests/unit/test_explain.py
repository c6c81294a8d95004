"""Targets by name, pictures of attributions, the sheet, and `explain` and `gradients` from Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms as T

import torchlurk
from torchlurk.attribution.targets import ClassLogit, LayerUnit, find_class, parse_unit
from torchlurk.errors import LurkError
from torchlurk.explaining import METHODS, AttributionParams
from torchlurk.explaining.drawing import FRAME, drawn, framed, gray, signed, stretched, window
from torchlurk.explaining.files import _share
from torchlurk.explaining.record import Scores
from torchlurk.explaining.sheet import Cell, Row, contact_sheet

NAMES = ("tabby", "tiger cat", "tiger", "bull mastiff", "crane", "crane", "König")


def test_classes_by_number_name_and_part_of_a_name() -> None:
    assert find_class("3", NAMES, 7) == find_class(3, (), 7) == 3
    assert find_class("TABBY", NAMES, 7) == 0
    assert find_class("tiger", NAMES, 7) == 2, "a whole name goes before a part of another"
    assert find_class(" mastiff ", NAMES, 7) == 3
    assert find_class("könig", NAMES, 7) == 6


@pytest.mark.parametrize(
    ("wanted", "names", "words"),
    [
        ("7", NAMES, ["class 7", "0 to 6"]),
        (-1, NAMES, ["class -1", "0 to 6"]),
        ("tabbi", NAMES, ["'tabbi'", "did you mean tabby (0)?"]),
        ("xyz", NAMES, ["'xyz'", "tabby (0), tiger cat (1), ", "König (6)"]),
        ("", NAMES, ["''", "tabby (0)"]),
        ("ti", NAMES, ["'ti'", "3 classes", "tiger cat (1), tiger (2), bull mastiff (3)"]),
        ("crane", NAMES, ["2 classes (crane (4), crane (5))", "number"]),
        ("tabby", (), ["'tabby'", "0 to 6", "--words"]),
        ("dog", tuple(f"dog {i}" for i in range(40)), ["fits 40 classes", "dog 11 (11) and 28 more"]),
    ],
)
def test_classes_that_there_are_not(wanted: str | int, names: tuple[str, ...], words: list[str]) -> None:
    with pytest.raises(LurkError) as problem:
        find_class(wanted, names, len(names) or 7)
    for word in words:
        assert word in str(problem.value)
    assert "\n" not in str(problem.value)


def test_units() -> None:
    assert parse_unit("features.28:7") == LayerUnit("features.28", 7)
    assert parse_unit("a:0@12,3") == LayerUnit("a", 0, (12, 3))
    assert str(parse_unit("a.b:7@6,3")) == "a.b:7@6,3"
    assert str(parse_unit("a.b:7")) == "a.b:7"
    for wrong in ("features.28", "a:x", "a:1@2", "a:-1", ":1", "a:1@2,3,4", ""):
        with pytest.raises(LurkError, match="write LAYER:CHANNEL"):
            parse_unit(wrong)


@pytest.mark.parametrize(
    "given", [{"methods": ("x",)}, {"methods": ()}, {"methods": ("deconv", "deconv")}, {"samples": 0},
              {"steps": 0}, {"sigma": -1.0}, {"sigma": float("nan")}],
)  # fmt: skip
def test_recipes_that_there_are_not(given: dict[str, object]) -> None:
    with pytest.raises(LurkError):
        AttributionParams(**given)  # type: ignore[arg-type]


def test_a_stretched_picture_goes_from_lowest_to_highest() -> None:
    values = torch.tensor([[[-1.0, 0.0], [1.0, 3.0]]] * 3) + torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)
    found = stretched(values, (0, 1, 2))
    assert found[:, :, 0].tolist() == [[0, 51], [102, 204]]
    assert found[:, :, 2].tolist() == [[51, 102], [153, 255]]
    assert not stretched(torch.zeros(3, 2, 2), (0, 1, 2)).any()


def test_a_gray_picture_is_the_sum_of_sizes_cut_at_the_99th_percentile() -> None:
    values = torch.zeros(2, 10, 20)
    values[0] = torch.linspace(0, -1, 200).view(10, 20)
    values[1, 0, 0] = 50.0
    found = gray(values)
    total = values.abs().sum(0).numpy()
    wanted = (total / np.quantile(total, 0.99)).clip(0, 1) * 255
    assert np.array_equal(found, np.repeat(wanted.round().astype(np.uint8)[:, :, None], 3, 2))
    assert found[0, 0, 0] == 255
    one = torch.zeros(3, 20, 20)
    one[1, 4, 4] = -2
    assert gray(one).sum() == 3 * 255, "where nearly all is 0, the highest is white"
    assert not gray(torch.zeros(3, 4, 4)).any()


def test_a_signed_picture_has_zero_gray() -> None:
    values = torch.zeros(3, 4, 4)
    values[0, 0, 0], values[0, 1, 1] = 2.0, -2.0
    found = signed(values, (0, 1, 2))
    assert found[3, 3].tolist() == [128, 128, 128]
    assert found[0, 0, 0] == 255
    assert found[1, 1, 0] == 1


@pytest.mark.parametrize(("channels", "shown"), [(1, (0,)), (3, (0, 1, 2)), (5, (4, 2, 0))])
@pytest.mark.parametrize("method", METHODS)
def test_inputs_of_any_channels_are_drawn(method: str, channels: int, shown: tuple[int, ...]) -> None:
    values = torch.randn(channels, 6, 8, generator=torch.Generator().manual_seed(0))
    assert drawn(method, values, shown).shape == (6, 8, 3)


def test_a_window_is_the_part_that_is_not_zero_if_it_is_small() -> None:
    one, other = torch.zeros(3, 20, 30), torch.zeros(3, 20, 30)
    assert window([one, other]) is None
    one[1, 4, 7], other[2, 9, 10] = -1.0, 2.0
    assert window([one, other]) == (slice(4, 10), slice(7, 11))
    other[0, 19, 29] = 1e-9
    assert window([one, other]) is None, "more than a quarter"


def test_a_frame_is_around_its_part_and_leaves_that_alone() -> None:
    picture = np.full((20, 30, 3), 77, np.uint8)
    found = framed(picture, (slice(4, 10), slice(0, 5)))
    assert (picture == 77).all()
    assert (found[4:10, 0:5] == 77).all()
    assert found[3, 2].tolist() == [0, 0, 0]
    assert found[2, 2].tolist() == list(FRAME) == found[5, 6].tolist()
    assert (found[14:] == 77).all()


def test_a_long_caption_is_broken_where_the_sheet_is_narrow() -> None:
    picture = np.zeros((50, 50, 3), np.uint8)
    short, long = (
        contact_sheet(["image"], [Row(text, (Cell(picture),))], 100) for text in ("a", "word " * 9)
    )
    assert short.shape[1] == long.shape[1]
    assert long.shape[0] >= short.shape[0] + 30
    assert (long[:, -2:] == 255).all(), "nothing runs over the edge"


def test_a_sheet_shows_its_pictures_where_they_belong_and_text_that_can_be_read() -> None:
    red, blue = np.zeros((10, 20, 3), np.uint8), np.zeros((10, 20, 3), np.uint8)
    red[:, :, 0], blue[:, :, 2] = 255, 255
    rows = [Row("a dog", (Cell(red), Cell(blue))), Row("x" * 500, (Cell(None), Cell(red, "0.12")))]
    found = contact_sheet(["image", "integrated gradients"], rows, 100)
    assert found.dtype == np.uint8
    reds, blues = ((found == colour).all(2) for colour in ([255, 0, 0], [0, 0, 255]))
    assert reds.sum() == 2 * 100 * 50
    assert blues.sum() == 100 * 50
    assert np.argwhere(reds)[0][1] < np.argwhere(blues)[0][1]
    left = found[:, : np.argwhere(blues)[0][1]]
    ink = (left < 100).all(2).any(1).nonzero()[0]
    lines = np.split(ink, (np.diff(ink) > 1).nonzero()[0] + 1)
    assert any(7 <= len(line) <= 30 for line in lines), "letters some pixels high"
    assert np.array_equal(found, contact_sheet(["image", "integrated gradients"], rows, 100))


def test_what_is_exported_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys, torchlurk; assert 'torch' not in sys.modules; "
        "from torchlurk import explain, gradients; assert callable(explain) and callable(gradients)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(torchlurk.__file__).parents[1])
    with pytest.raises(AttributeError, match="explane"):
        _ = torchlurk.explane


def net() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )


def fed(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.resize((12, 10)))).permute(2, 0, 1) / 255


def test_explain_takes_any_transform_and_images_in_memory() -> None:
    images = [Image.new(mode, (20, 20), 90) for mode in ("L", "I;16")] + [Image.new("RGBA", (9, 9))]
    found = torchlurk.explain(
        net(), fed, images, [1, "0:2", ClassLogit(3)], params=AttributionParams(samples=2, steps=2)
    )
    assert [one.name for one in found] == ["image 1", "image 2", "image 3"]
    assert [one.target_name for one in found] == ["class 1", "0:2", "class 3"]
    assert found[0].attributions["guided"].shape == (3, 10, 12)


def test_explain_takes_what_lurk_takes() -> None:
    image = Image.effect_noise((40, 30), 60).convert("RGB")
    first = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    params = AttributionParams(("gradient",))
    colours = T.Compose([T.Resize((10, 12)), T.ToTensor()])
    (found,) = torchlurk.explain(first, colours, image, params=params)
    assert found.attributions["gradient"].shape == (1, 10, 12), "a transform of colours, given in gray"
    for told in (None, (0.5, 0.25)):
        (found,) = torchlurk.explain(net(), told, image, params=params)
        assert found.attributions["gradient"].shape == (3, 224, 224)


@pytest.mark.parametrize("x", ["x", torch.zeros(1, 3, 10, 12, dtype=torch.uint8)])
def test_gradients_are_of_floats(x: object) -> None:
    with pytest.raises(LurkError, match=r"x is a (str|torch\.uint8): give a tensor of floats"):
        torchlurk.gradients(net(), x, 1)  # type: ignore[arg-type]


def test_explain_of_shares_leaves_them_as_they_are() -> None:
    model = torch.nn.Sequential(net(), torch.nn.Softmax(1))
    (found,) = torchlurk.explain(
        model, fed, Image.new("RGB", (9, 9), "red"), params=AttributionParams(("gradient",))
    )
    assert [p.probability for p in found.predictions] == [p.logit for p in found.predictions]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"images": []}, "0 images"),
        ({"images": 7}, "an image is a int"),
        ({"model": 7}, "the model is a int"),
        ({"preprocess": 7}, "preprocess is a int"),
        ({"target": [1, 2]}, "1 images and 2 targets"),
        ({"target": 4}, "0 to 3"),
        ({"target": ClassLogit(4)}, "0 to 3"),
        ({"randomize": "some"}, "'some'"),
        ({"classes": None}, "no classes"),
        ({"classes": ["a"]}, "1 names"),
        ({"preprocess": lambda image: 3}, "gives a int"),
    ],
)
def test_what_explain_refuses(given: dict[str, object], words: str) -> None:
    usual = {"model": net(), "preprocess": fed, "images": [Image.new("RGB", (9, 9))]}
    with pytest.raises(LurkError, match=words):
        torchlurk.explain(**(usual | {"params": AttributionParams(("gradient",))} | given))


@pytest.mark.parametrize(
    ("target", "more", "words"),
    [
        (9, {}, "0 to 3"),
        ("0:9", {}, "4 filters"),
        ("7", {}, "no layer '7'"),
        (0, {"layers": ["x"]}, "no layer 'x'"),
        (0, {"parameters": ["1"]}, "no parameters"),
        ("0", {}, r"\(2, 4, 8, 10\) values: give weights"),
        ("0", {"weights": torch.ones(3)}, r"weights of shape \(3,\)"),
        (lambda output: 3.0, {}, "gives a float"),
        (lambda output: torch.ones(2), {}, "has no gradient"),
    ],
)
def test_what_gradients_refuse(target: object, more: dict[str, object], words: str) -> None:
    with pytest.raises(LurkError, match=words):
        torchlurk.gradients(net(), torch.zeros(2, 3, 10, 12), target, **more)


def test_the_document_names_every_key_of_the_record() -> None:
    text = (Path(torchlurk.__file__).parents[1] / "docs/explain.md").read_text("utf-8")

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return {*value, *(key for inner in value.values() for key in keys(inner))}
        return {key for inner in value for key in keys(inner)} if isinstance(value, list) else set()

    schema = json.loads(msgspec.json.encode(msgspec.json.schema(Scores)))
    for definition in schema["$defs"].values():
        for key in definition["properties"]:
            assert f"`{key}`" in text, key
    for name in METHODS:
        assert f"`{name}`" in text


def test_nothing_is_certain() -> None:
    assert [_share(p) for p in (1.0, 0.996, 0.99, 0.5, 0.0)] == [">99%", ">99%", "99%", "50%", "0%"]
