"""The one pattern language for layers, which networks, stores and fine-tuning share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from torch import nn

from torchlurk.errors import LurkError
from torchlurk.graph import select
from torchlurk.store.patterns import match_layers, no_layer_match
from torchlurk.store.schema import LayerRecord
from torchlurk.store.selection import Selection, selected_channels
from torchlurk.training.freeze import chosen_layers

LAYERS = {
    "stem": ("Conv2d",),
    "body.0": ("Conv1x1", "Conv2d"),
    "body.1": ("ReLU",),
    "head": ("Linear",),
    "[odd]*": ("Conv2d",),
}


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["stem"], {"stem"}),
        (["body.*"], {"body.0", "body.1"}),
        (["kind:conv2d"], {"stem", "body.0", "[odd]*"}),
        (["kind:CONV1*"], {"body.0"}),
        (["kind:conv2d", "body.*"], {"body.0"}),
        (["kind:linear", "kind:relu"], {"head", "body.1"}),
        (["kind:relu", "head"], {"head", "body.1"}),
        (["logits", "stem"], {"head", "stem"}),
        (["[odd]*"], {"[odd]*"}),
    ],
)
def test_globs_and_kinds_narrow_each_other_and_names_always_match(
    patterns: list[str], names: set[str]
) -> None:
    assert match_layers(patterns, LAYERS, logits="head") == names


def test_globs_match_the_default_kind_only_if_no_kind_is_given() -> None:
    assert match_layers(["body.*"], LAYERS, default_kind="Conv2d") == {"body.0"}
    assert match_layers(["body.*", "kind:*"], LAYERS, default_kind="Conv2d") == {"body.0", "body.1"}


@pytest.mark.parametrize("pattern", ["tail", "tail.*", "logits"])
def test_a_name_or_glob_without_a_match_is_refused_even_beside_others(pattern: str) -> None:
    with pytest.raises(LurkError, match=f"^no layer matches '{pattern.replace('*', '.')}'; "):
        match_layers(["stem", pattern], LAYERS)


def test_a_kind_may_match_nothing_beside_other_patterns_but_not_alone() -> None:
    assert match_layers(["stem", "kind:Conv3d"], LAYERS) == {"stem"}
    assert match_layers(["kind:Conv3d", "kind:ReLU"], LAYERS) == {"body.1"}
    with pytest.raises(LurkError, match=r"^no layer matches 'kind:Conv3d'; did you mean kind:Conv2d"):
        match_layers(["kind:Conv3d"], LAYERS)


def test_globs_and_kinds_without_a_common_layer_are_refused() -> None:
    with pytest.raises(
        LurkError, match=r"^no layer matches 'body\.\*' and 'kind:Linear'; there are 2 Conv2d"
    ):
        match_layers(["body.*", "kind:Linear"], LAYERS)


def test_the_error_suggests_near_names_or_else_says_what_there_is() -> None:
    assert no_layer_match("boddy.1", LAYERS).hint == (
        "did you mean body.1 or body.0 or [odd]*? there are 2 Conv2d, 1 Conv1x1, 1 ReLU, 1 Linear"
    )
    assert no_layer_match("kind:conv3d", LAYERS).hint.startswith("did you mean kind:Conv2d")
    assert no_layer_match("xyz", LAYERS).hint.endswith("1 Linear, such as stem, body.0, body.1")


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()


def in_network(pattern: str) -> object:
    return select(network(), (3, 9, 9), [pattern])


def in_store(pattern: str) -> object:
    layers = [
        LayerRecord(name=name, kind=kind, channels=2, shape=(2, 1, 1), receptive_field=None, data="layers/x")
        for name, kind in (("0", "Conv2d"), ("1", "ReLU"), ("2", "Conv2d"))
    ]
    return selected_channels(Selection((pattern,)), layers)


def in_training(pattern: str) -> object:
    return chosen_layers(network(), [pattern])


@pytest.mark.parametrize("where", [in_network, in_store, in_training])
@pytest.mark.parametrize("pattern", ["7", "7.*", "kind:Linear"])
def test_networks_stores_and_training_refuse_a_pattern_alike(
    where: Callable[[str], object], pattern: str
) -> None:
    with pytest.raises(LurkError) as refused:
        where(pattern)
    assert str(refused.value.message).endswith(f"layer matches {pattern!r}")
    assert "there are 2 Conv2d, 1 ReLU" in str(refused.value.hint)


def test_patterns_do_not_load_torch() -> None:
    code = "import sys, torchlurk.store.selection; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
