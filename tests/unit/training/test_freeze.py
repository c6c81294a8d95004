"""The head of a network, and the layers that are trained."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from tests.networks import seeded
from tests.runs import Normed
from tests.zoo import ZOO
from torchlurk.errors import LurkError
from torchlurk.graph.tracing import trace_operations
from torchlurk.models.validate import check_network
from torchlurk.training.freeze import chosen_layers, find_head, freeze_all_but

CONVOLUTIONS = {"squeezenet1_1": "classifier.1"}


LINEAR = {
    "resnet18": "fc", "vgg11": "classifier.6", "mobilenet_v2": "classifier.1", "googlenet": "fc",
    "densenet121": "classifier", "mobilenet_v3_small": "classifier.3", "vit_b_16": "heads.head",
    "reused and functional ReLUs": "head", "a path that depends on the data": "head",
}  # fmt: skip


@pytest.mark.parametrize(("name", "head"), (CONVOLUTIONS | LINEAR).items())
def test_the_head_of_known_networks_is_found(name: str, head: str) -> None:
    case = ZOO[name]
    model, shape = seeded(case.make), (3, case.size, case.size)
    assert find_head(model, trace_operations(model, shape), check_network(model, shape).logits) == head


class Summed(nn.Module):
    """Its output comes from two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(48, 4), nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x.flatten(1)) + self.b(x.flatten(1))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Summed(), "does not come from one Linear or Conv2d"),
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.BatchNorm1d(4)), "does not come from one"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()),
            "has 4 channels, but the network's output has 16 values per image",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "output has no values per image, so it is not a classifier"),
        (nn.Sequential(nn.Conv2d(3, 6, 4, groups=3), nn.Flatten()), "it is not a classifier"),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), "does not come from one"),
    ],
)
def test_a_network_without_a_head_is_refused(model: nn.Module, words: str) -> None:
    model.eval()
    with pytest.raises(LurkError, match=words):
        find_head(model, trace_operations(model, (3, 4, 4)), check_network(model, (3, 4, 4)).logits)


@pytest.mark.parametrize(
    ("patterns", "layers"),
    [
        ([], []),
        (["first"], ["first", "first.0", "first.1", "first.2"]),
        (["*.0"], ["first.0", "second.0"]),
        (["kind:Conv*", "head"], ["first.0", "second.0", "head"]),
        (["KIND:x", "first.1"], None),
        (["kind:batchnorm2d"], ["first.1", "second.1"]),
        (["d*", "head"], None),
        (["[dh]*"], ["drop", "head"]),
    ],
)
def test_patterns_match_layers_and_modules_inside_them(patterns: list[str], layers: list[str] | None) -> None:
    if layers is None:
        with pytest.raises(LurkError, match="unfreeze="):
            chosen_layers(Normed(), patterns)
    else:
        assert list(chosen_layers(Normed(), patterns)) == layers


def test_the_error_suggests_similar_names() -> None:
    with pytest.raises(LurkError, match=r"unfreeze=: no layer matches 'secnod'.*did you mean second"):
        chosen_layers(Normed(), ["head", "secnod"])
    with pytest.raises(LurkError, match=r"unfreeze=first.2: first.2 is a ReLU, which has no parameters"):
        chosen_layers(Normed(), ["first.2"])


def test_only_chosen_layers_require_gradients_and_are_in_training_mode() -> None:
    model = Normed().train()
    trained = freeze_all_but(model, chosen_layers(model, ["second", "head"]))
    assert list(trained) == [
        "second.0.weight", "second.0.bias", "second.1.weight", "second.1.bias", "head.weight", "head.bias"
    ]  # fmt: skip
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name in trained)
    training = {name for name, module in model.named_modules() if module.training}
    assert training == {"second", "second.0", "second.1", "second.2", "head"}
