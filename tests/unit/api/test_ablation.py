"""`Lurk.ablate`: the tables, beside plain torch, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_tensor

from tests.helpers import refusal
from tests.networks import Branching, conv, seeded
from torchlurk import Ablation, Lurk
from torchlurk.circuits.ablation_means import MaximaEffect
from torchlurk.circuits.ablation_table import describe_channels, filter_effects

CLASSES = ["red", "green", "blue"]
Make = Callable[..., Lurk]


def photo(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (21, 26, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PHOTOS = [photo(number) for number in range(7)]


def transform(image: Image.Image) -> Tensor:
    return 4 * to_tensor(image) - 2


X = torch.stack([transform(image) for image in PHOTOS])


class Photos:
    """Pairs of an image and a class."""

    classes = CLASSES

    def __len__(self) -> int:
        return len(PHOTOS)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return PHOTOS[index], index % 3


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(model: nn.Module | None = None, **more: Any) -> Lurk:
        usual: dict[str, Any] = {
            "images": Photos(), "out": tmp_path / "saved/net", "device": "cpu", "workers": 0,
            "progress": False, "batch_size": 3,
        }  # fmt: skip
        return Lurk(seeded(Branching) if model is None else model, transform, **{**usual, **more})

    return made


def run(model: nn.Module, layer: str = "", values: dict[int, float] | None = None) -> dict[str, Tensor]:
    """The mean maxima of all convolutions and the mean logits, by plain hooks."""
    found: dict[str, Tensor] = {}
    handles = []

    def change(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        output = output.clone()
        for channel, value in (values or {}).items():
            output[:, channel] = value
        return output

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            found[name] = output.amax((2, 3)).double().mean(0)

        return hook

    for name, module in model.named_modules():
        if name == layer:
            handles.append(module.register_forward_hook(change))
        elif isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(keep(name)))
    with torch.no_grad():
        logits = model(X)
    for handle in handles:
        handle.remove()
    return {**found, "logits": logits.double().mean(0), "predicted": logits.argmax(1)}


def check(found: Ablation, before: dict[str, Tensor], after: dict[str, Tensor], layers: list[str]) -> None:
    """Compare all rows with two runs."""
    assert list(found.layers) == layers
    assert len(found.filters) == sum(len(before[name]) for name in layers)
    for row in found.filters:
        assert row.before == pytest.approx(float(before[row.layer][row.channel]), abs=1e-5)
        assert row.after == pytest.approx(float(after[row.layer][row.channel]), abs=1e-5)
        assert row.change == row.after - row.before
        assert row.relative == pytest.approx(row.change / float(before[row.layer].abs().mean()), rel=1e-4)
    sizes = [abs(row.relative or 0) for row in found.filters]
    assert sizes == sorted(sizes, reverse=True)
    assert len({(row.layer, row.channel) for row in found.filters}) == len(found.filters)
    for one in found.classes:
        assert one.before == pytest.approx(float(before["logits"][one.index]), abs=1e-5)
        assert one.after == pytest.approx(float(after["logits"][one.index]), abs=1e-5)
    sizes = [abs(one.change) for one in found.classes]
    assert sizes == sorted(sizes, reverse=True)
    if found.classes:
        same = (before["predicted"] == after["predicted"]).double().mean()
        assert found.agreement == pytest.approx(float(same))


def test_filters_set_to_zero(make: Make, tmp_path: Path) -> None:
    model = seeded(Branching)
    found = make(model, names=CLASSES).ablate("first", [4, 1, 4])
    assert (found.layer, found.channels, found.to, found.values) == ("first", (1, 4), "zero", (0, 0))
    assert found.images == len(PHOTOS)
    before, after = run(model), run(model, "first", {1: 0.0, 4: 0.0})
    check(found, before, after, ["narrow", "wide", "last"])
    assert sorted(one.name for one in found.classes) == sorted(CLASSES)
    assert found.accuracy is not None
    right = torch.arange(len(PHOTOS)) % 3
    for share, result in zip(found.accuracy, (before, after), strict=True):
        assert share == pytest.approx(float((result["predicted"] == right).double().mean()))
    assert repr(found) == (
        "<ablation of 'first', filters 1 and 4 set to zero: 16 filters and 3 classes, 7 images>"
    )
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_filter_set_to_its_mean(make: Make) -> None:
    model = seeded(Branching)
    lurker = make(model, layers="last")
    found = lurker.ablate("wide", np.int64(2), "mean")
    with torch.no_grad():
        inner = model.wide(model.pool(torch.relu(model.first(X))))
    assert found.values == pytest.approx([float(inner[:, 2].mean())], rel=1e-4)
    check(found, run(model), run(model, "wide", {2: found.values[0]}), ["last"])
    assert [one.name for one in sorted(found.classes, key=lambda one: one.index)] == ["0", "1", "2"]
    assert found.accuracy is None
    assert "set to the mean" in repr(found)


def test_the_classes_alone_can_depend_on_a_layer(make: Make) -> None:
    found = make().ablate("logits", 1)
    assert (found.layer, found.layers, found.filters) == ("head", (), ())
    assert found.classes[0].index == 1
    assert found.classes[0].after == 0
    assert [one.change for one in found.classes[1:]] == [0, 0]


def test_contributions_stand_beside_the_changes(make: Make) -> None:
    lurker = make()
    assert all(one.contribution is None for one in lurker.ablate("narrow", [0, 2]).filters), "no store yet"
    lurker.compute_top_imgs()
    lurker.compute_circuits()
    found = lurker.ablate("narrow", [0, 2])
    for effect in found.filters_of("last"):
        made_of = lurker["last"][effect.channel].made_of()
        parts = [row.contribution for row in made_of if row.layer == "narrow" and row.channel in (0, 2)]
        assert effect.contribution == (pytest.approx(sum(parts)) if parts else None)
    assert any(one.contribution is not None for one in found.filters)


def test_tables(make: Make) -> None:
    found = make().ablate("narrow", 0)
    frame = found.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "layer",
        "channel",
        "before",
        "after",
        "change",
        "relative",
        "contribution",
    ]
    assert frame.channel.tolist() == [row.channel for row in found.filters]
    assert frame.relative.dtype == "float64"
    assert found.filters_of("last") == found.filters
    assert refusal(lambda: found.filters_of("wide")) == "layer 'wide' is not compared; choose one of last"


def test_a_layer_without_activation_has_no_relative_change() -> None:
    zeros, some = torch.zeros(2).double(), torch.tensor([0.0, 0.5]).double()
    rows = filter_effects({"a": MaximaEffect(1, some, some), "b": MaximaEffect(1, zeros, some)})
    assert [(row.layer, row.channel, row.relative) for row in rows] == [
        ("b", 1, None), ("a", 0, 0), ("a", 1, 0), ("b", 0, None)
    ]  # fmt: skip


def test_names_of_channels() -> None:
    assert describe_channels([3]) == "filter 3"
    assert describe_channels([1, 3, 5]) == "filters 1, 3 and 5"


def maps() -> nn.Module:
    return nn.Sequential(conv(3, 4, 3), nn.ReLU(), conv(4, 2, 3))


class Loose(Branching):
    """It has a layer that is never called, and a container whose modules are."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = conv(3, 3, 1)
        self.parts = nn.ModuleList([self.first])

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@pytest.mark.parametrize(
    ("model", "ask", "line"),
    [
        (Branching, lambda lurk: lurk.ablate("frist", 1),
         "the network has no layer 'frist'; did you mean first"),
        (Branching, lambda lurk: lurk.ablate("first", 6),
         "channels=6: layer 'first' has 6 filters; choose from 0 to 5"),
        (Branching, lambda lurk: lurk.ablate("first", [0, -1]), "channels=-1: layer 'first' has 6 filters"),
        (Branching, lambda lurk: lurk.ablate("first", []), "no filter is given; give at least one"),
        (Branching, lambda lurk: lurk.ablate("first", "1"), "channels='1': not the number of a filter"),
        (Branching, lambda lurk: lurk.ablate("first", 1.5), "channels=1.5: not the number of a filter"),
        (Branching, lambda lurk: lurk.ablate("first", 1, "median"),
         "to='median': unknown; choose one of zero, mean"),
        (Loose, lambda lurk: lurk.ablate("unused", 1), "layer 'unused' (Conv2d) is never called"),
        (Loose, lambda lurk: lurk.ablate("parts", 0), "layer 'parts' is never called; ablate a layer in it"),
        (maps, lambda lurk: lurk.ablate("2", 1),
         "no layer that is compared depends on '2', and the network has no classes; name later layers with"),
        (maps, lambda lurk: lurk.ablate("logits", 1), "no layer that is compared depends on '2'"),
    ],
)  # fmt: skip
def test_what_is_refused(
    make: Make, model: Callable[[], nn.Module], ask: Callable[[Lurk], object], line: str
) -> None:
    assert refusal(lambda: ask(make(seeded(model)))).startswith(line)


def test_names_of_another_number_of_classes_are_refused(make: Make) -> None:
    line = refusal(lambda: make(names=["a", "b"]).ablate("first", 1))
    assert line.startswith("there are 2 class names, but the network has 3 outputs")


def test_a_loaded_store_has_no_network(make: Make, tmp_path: Path) -> None:
    lurker = make()
    lurker.compute_top_imgs()
    loaded = Lurk.load(tmp_path / "saved/net")
    assert refusal(lambda: loaded.ablate("first", 1)).startswith("ablate: ")
    digests = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    lurker.ablate("first", 1)
    assert digests == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_images_that_cannot_be_read_are_skipped(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number, image in enumerate(PHOTOS[:3]):
        (folder / "some").mkdir(parents=True, exist_ok=True)
        image.save(folder / f"some/{number}.png")
    whole = make(images=folder).ablate("first", 1)
    (folder / "some/9.png").write_bytes(b"no image")
    assert make(images=folder).ablate("first", 1) == whole
    assert whole.images == 3
    for path in folder.glob("some/[0-2].png"):
        path.write_bytes(b"no image")
    for to in ("zero", "mean"):
        line = refusal(lambda to=to: make(images=folder).ablate("first", 1, to))  # type: ignore[misc]
        assert line == "none of the 4 images of 'photos' can be read; give other images"
