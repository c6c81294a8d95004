"""Files of weights: formats, nested state dicts, and files that are refused."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints import A
from tests.unit.models.conftest import Evil, conv_net, never
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import read_weights, state_digest
from torchlurk.models.weights import resolve_weights


def test_safetensors_and_torch_files_give_the_same_weights(tmp_path: Path) -> None:
    state = conv_net().state_dict()
    save_file(state, tmp_path / "a.weights")
    torch.save(state, tmp_path / "b.weights")
    first, second = read_weights(tmp_path / "a.weights"), read_weights(tmp_path / "b.weights")
    assert first.name == "file:a.weights"
    assert first.sha256 == hashlib.sha256((tmp_path / "a.weights").read_bytes()).hexdigest()
    assert not first.partial
    assert state_digest(first.state) == state_digest(second.state) == state_digest(state)


@pytest.mark.parametrize("nest", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dict_is_found_below_a_key_and_a_prefix(tmp_path: Path, nest: str, prefix: str) -> None:
    state = conv_net().state_dict()
    torch.save({"epoch": 3, nest: {prefix + k: v for k, v in state.items()}}, tmp_path / "c.pt")
    assert state_digest(read_weights(tmp_path / "c.pt").state) == state_digest(state)


def write_bad(kind: str, path: Path) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("these are\nno weights")
    elif kind == "evil":
        torch.save({"a": Evil(path.with_suffix(".ran"))}, path)
    elif kind == "module":
        torch.save(conv_net(), path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "numbers":
        torch.save({"epoch": 3}, path)
    elif kind == "script":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(conv_net()).save(path)
    elif kind in ("cut.pt", "cut.safetensors"):
        state = conv_net().state_dict()
        (torch.save if kind == "cut.pt" else save_file)(state, path)
        path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "folder",
        "empty",
        "text",
        "evil",
        "module",
        "tensor",
        "numbers",
        "script",
        "cut.pt",
        "cut.safetensors",
    ],
)
def test_files_without_weights_are_reported_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights"
    write_bad(kind, path)
    with pytest.raises(LurkError, match="weights") as caught:
        resolve_weights("vgg16", str(path), tmp_path, report=never, download=never)
    assert "\n" not in str(caught.value)
    assert not path.with_suffix(".ran").exists()


def test_file_name_may_contain_a_colon(tmp_path: Path) -> None:
    torch.save(A, tmp_path / "a:b.pt")
    assert read_weights(tmp_path / "a:b.pt").name == "file:a:b.pt"
    torch.save({"ema": A}, tmp_path / "c.pt")
    assert read_weights(tmp_path / "c.pt:ema").name == "file:c.pt:ema"
