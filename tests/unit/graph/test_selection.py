"""Which layers a pattern means."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import Branching, seeded
from torchlurk.errors import LurkError
from torchlurk.graph import select

SIZE = (3, 32, 32)


def names(model: nn.Module, *patterns: str) -> list[str]:
    return [layer.name for layer in select(model, SIZE, patterns).layers]


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return seeded(lambda: torchvision.models.resnet18(weights=None))


def test_a_glob_means_convolutions(resnet: nn.Module) -> None:
    assert names(resnet, "layer4.1.*") == ["layer4.1.conv1", "layer4.1.conv2"]
    assert names(resnet, "layer4.1.conv1", "conv1") == ["conv1", "layer4.1.conv1"]


def test_kinds_and_globs_narrow_each_other(resnet: nn.Module) -> None:
    assert names(resnet, "layer2.*", "kind:BatchNorm2d") == [
        "layer2.0.bn1", "layer2.0.bn2", "layer2.0.downsample.1", "layer2.1.bn1", "layer2.1.bn2",
    ]  # fmt: skip
    assert names(resnet, "kind:linear") == ["fc"]
    assert names(resnet, "kind:basicblock") == [f"layer{i}.{j}" for i in range(1, 5) for j in range(2)]
    assert len(names(resnet, "kind:*pool*")) == 2
    assert names(resnet, "kind:Linear", "kind:MaxPool2d") == ["maxpool", "fc"]


def test_a_name_is_enough_whatever_its_kind(resnet: nn.Module) -> None:
    assert names(resnet, "layer3") == ["layer3"]
    assert names(resnet, "relu", "avgpool", "fc") == ["relu", "avgpool", "fc"]
    # A block and what is in it: what is inside comes first, and the block follows it.
    graph = select(resnet, SIZE, ["layer1.0", "layer1.0.conv2", "layer1"])
    assert [layer.name for layer in graph.layers] == ["layer1.0.conv2", "layer1.0", "layer1"]
    assert graph.edges == (("layer1.0.conv2", "layer1.0"), ("layer1.0", "layer1"))


@pytest.mark.parametrize(
    ("make", "logits", "kind"),
    [
        (torchvision.models.resnet18, "fc", "Linear"),
        (torchvision.models.squeezenet1_1, "classifier.3", "AdaptiveAvgPool2d"),
        (torchvision.models.mobilenet_v2, "classifier.1", "Linear"),
    ],
)
def test_logits_are_what_the_network_gives(make: type, logits: str, kind: str) -> None:
    model = seeded(lambda: make(weights=None))
    (layer,) = select(model, (3, 64, 64), ["logits"]).layers
    assert (layer.name, layer.kind) == (logits, kind)
    assert layer.shape == (1000, 1, 1)
    assert layer.flat
    assert layer.sees_all


def test_a_network_that_ends_in_a_function_has_no_logits() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + self.b(x)

    with pytest.raises(LurkError, match=r"^no single module of Two gives its output"):
        names(Two().eval(), "logits")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("layer9.*", "did you mean layer"),
        ("layr1.0.conv1", "layer1.0.conv1"),
        ("kind:conv3d", "kind:Conv2d"),
        ("kind:Transformer", "20 Conv2d"),
        ("relu.*", "did you mean relu"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused(resnet: nn.Module, pattern: str, words: str) -> None:
    with pytest.raises(LurkError, match=f"^no layer matches '{pattern.replace('*', '.')}") as caught:
        names(resnet, pattern)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_pattern_of_several_that_means_nothing_is_refused(resnet: nn.Module) -> None:
    with pytest.raises(LurkError, match=r"^no layer matches 'layer9\.\*'"):
        names(resnet, "layer1.*", "layer9.*")


def test_a_path_that_depends_on_the_data_is_recorded() -> None:
    class Moody(nn.Module):
        """Goes on by the branch that its input asks for."""

        def __init__(self) -> None:
            super().__init__()
            self.bright, self.dark = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 5)
            self.end = nn.Conv2d(4, 2, 3, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.bright(x) if x.mean() > 0 else self.dark(x)
            return self.end(F.relu(x))

    graph = select(seeded(Moody), SIZE, ["kind:Conv2d"])
    assert graph.recorded
    assert [layer.name for layer in graph.layers] == ["bright", "end"]
    assert graph.edges == (("bright", "end"),)
    last = graph.layer("end").field
    assert last.box(2, 3) == (6, 4, 11, 9)
    assert last.rows.cut(2) == (0, 32, 2)


def test_the_network_is_as_it_was() -> None:
    model = seeded(Branching)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    names(model, "kind:*")
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
