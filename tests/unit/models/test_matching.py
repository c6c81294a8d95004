"""The weights of a network are found in checkpoints as training loops write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import prune

from tests.checkpoints import A, B, holds, load, small, state_of, under
from tests.networks import seeded
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import load_weights, read_weights


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.head = nn.Linear(4, 2)


def optimiser() -> dict[str, Any]:
    network = small()
    found = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    found.step()
    return found.state_dict()


LIGHTNING = {
    "epoch": 3,
    "global_step": 40,
    "state_dict": under("net.", A) | {"criterion.weight": torch.ones(2), "val_acc.correct": torch.tensor(4)},
    "optimizer_states": [optimiser()],
    "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.5)}},
    "loops": {"fit_loop": {"state_dict": {}}},
    "hyper_parameters": {"lr": 0.1},
}


@pytest.mark.parametrize(
    "saved",
    [
        LIGHTNING,
        torch.optim.swa_utils.AveragedModel(seeded(small, 1)).state_dict(),
        {"epoch": 3, "model_ema": A, "optimizer": optimiser()},
        {"model_state": under("module._orig_mod.", A), "opt": optimiser()},
        {"params_ema": under("_orig_mod.module.", A)},
        {"G": under("net.", A), "D": {"0.weight": torch.ones(3, 3)}},
        {"run": {"trainer": {"ema": {"shadow": under("module.model.", A)}}}},
        {"student": under("module.backbone.", A) | {"module.head.last.weight": torch.ones(2)}},
        [A, optimiser()],
        A | {"epoch": 3, "best_acc": torch.tensor(0.4), "n_averaged": torch.tensor(2)},
        A | {"total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)},
        {"model": A, "model_ema": {name: value.clone() for name, value in A.items()}},
        {"weights": A, "optimizer": {"momentum": B}, "exp_avg": B, "grads": B},
    ],
)
def test_weights_are_found_under_any_keys_and_prefixes(tmp_path: Path, saved: Any) -> None:
    network = small()
    assert load(saved, tmp_path, network) == []
    holds(network, A)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.net."])
def test_wrapped_network_loads_weights_with_and_without_its_prefix(tmp_path: Path, prefix: str) -> None:
    network = nn.DataParallel(seeded(small, 3))
    load({"state_dict": under(prefix, A)}, tmp_path, network)
    holds(network, under("module.", A))
    named = nn.ModuleDict({"model": seeded(small, 3)})
    load(under(prefix, A), tmp_path, named)
    holds(named, under("model.", A))


def test_wrapped_parts_and_parts_under_separate_keys(tmp_path: Path) -> None:
    state = state_of(1, Parts)
    parts: dict[str, dict[str, Tensor]] = {"backbone": {}, "head": {}}
    for name, value in state.items():
        parts[name.partition(".")[0]][name.partition(".")[2]] = value
    within = under("backbone.module.", parts["backbone"]) | under("head._orig_mod.", parts["head"])
    for saved in (within, {"epoch": 2, **parts, "optimizer": optimiser()}):
        network = seeded(Parts, 3)
        load(saved, tmp_path, network)
        holds(network, state)


def test_pruned_weights_and_tied_weights_with_one_name(tmp_path: Path) -> None:
    pruned = seeded(small, 1)
    prune.l1_unstructured(pruned[0], "weight", 0.5)
    network = small()
    load(pruned.state_dict(), tmp_path, network)
    assert torch.equal(network[0].weight, pruned[0].weight)
    assert (network[0].weight == 0).sum() == network[0].weight.numel() // 2
    tied = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    tied[1].weight = tied[0].weight
    saved = {name: value + 1 for name, value in tied.state_dict().items() if name != "1.weight"}
    save_file(saved, tmp_path / "tied.safetensors")
    load_weights(tied, read_weights(tmp_path / "tied.safetensors"))
    assert torch.equal(tied[1].weight, saved["0.weight"])


SEVERAL: dict[str, tuple[Any, tuple[str, str]]] = {
    "ema": ({"model": A, "model_ema": B}, ("model", "model_ema")),
    "dino": (
        {"student": under("module.backbone.", A), "teacher": under("backbone.", B)},
        ("student.module.backbone", "teacher.backbone"),
    ),
    "flat": ({"all": under("online.", A) | under("target.", B)}, ("all.online", "all.target")),
    "wrapped": ({"net": under("0.", A), "ema": under("module.", B)}, ("net.0", "ema.module")),
}  # fmt: skip


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_matches_are_listed_and_one_can_be_chosen(tmp_path: Path, kind: str) -> None:
    saved, labels = SEVERAL[kind]
    network = seeded(small, 3)
    with pytest.raises(LurkError, match=r"2 sets of weights .* differ, .* weights=c\.pt:") as caught:
        load(saved, tmp_path, network)
    assert all(label in str(caught.value) for label in labels)
    holds(network, state_of(3))
    for state, label in zip((A, B), labels, strict=True):
        for entry in (label, label.partition(".module")[0]):
            load(saved, tmp_path, network, f":{entry}")
            holds(network, state)
    with pytest.raises(LurkError, match="no weights 'none' that fit the network; choose from those that fit"):
        load(saved, tmp_path, network, ":none")


def test_exact_match_is_taken_and_reported(tmp_path: Path) -> None:
    network = small()
    copies = {"state_dict": under("model.", A), "callbacks": {"SWA": {"average": under("model.", B)}}}
    assert "taking state_dict.model (c.pt:callbacks" in load(copies, tmp_path, network)[0]
    holds(network, A)
    assert "c.pt:ema_model" in load(B | under("ema_model.", A), tmp_path, network)[0]
    holds(network, B)


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"optimizer": optimiser()}, "hold a dict (optimizer), not a state dict"),
        ({"optimizer": {"momentum": A}}, "not a state dict"),
        ({"exp_avg": A, "exp_avg_sq": B}, "not a state dict"),
        (under("momentum.", A) | under("optimizer.", B), "missing 0.weight"),
        ({"state_dict": under("model.", {n: v for n, v in A.items() if n != "4.bias"})}, "missing 4.bias"),
        ({"state_dict": under("model.", A | {"4.bias": torch.ones(5)})}, "4.bias is (5,) in file:c.pt"),
        ({"state_dict": under("model.", A | {"9.bias": torch.ones(5)})}, "unknown 9.bias"),
        (A | {"4.bias": [1, 2]}, "4.bias is a list"),
        (A | {"4.bias": torch.ones(2, dtype=torch.complex64)}, "4.bias is complex"),
        (A | {"4.bias": torch.full((2,), 1e300, dtype=torch.float64)}, "4.bias in file:c.pt is too large"),
        (A | {"4.bias": torch.tensor([1, torch.nan]).to(torch.float8_e5m2)}, "4.bias in file:c.pt holds"),
        (A | {"1.running_var": torch.full((4,), torch.inf)}, "1.running_var in file:c.pt holds NaN or inf"),
    ],
)  # fmt: skip
def test_misfits_are_reported_in_one_line(
    tmp_path: Path, saved: Any, words: str
) -> None:  # fmt: skip
    network = seeded(small, 3)
    with pytest.raises(LurkError) as caught:
        load(saved, tmp_path, network)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    holds(network, state_of(3))


def test_buffers_may_hold_infinity(tmp_path: Path) -> None:
    network = small()
    network.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
    network.register_buffer("unused", torch.tensor(torch.nan))
    saved = {name: value.clone() for name, value in network.state_dict().items()}
    network.get_buffer("mask").zero_()
    load(saved, tmp_path, network)
    assert torch.equal(network.get_buffer("mask"), saved["mask"])
