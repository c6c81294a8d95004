"""Checkpoints of other things than float32 tensors: other types, objects beside weights, extra state."""

from __future__ import annotations

import argparse
import collections
import hashlib
import runpy
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.checkpoints import A, holds, load, small, under
from tests.networks import seeded
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import load_weights, read_weights, state_digest
from torchlurk.models.isolation import to_float32
from torchlurk.models.plain_values import NotPlainError, from_json, to_json

# other types than float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_the_networks_own_types_stay(tmp_path: Path, dtype: torch.dtype) -> None:
    saved = {name: value.to(dtype) if value.is_floating_point() else value for name, value in A.items()}
    network = small()
    load(saved, tmp_path, network)
    assert network[0].weight.dtype is torch.float32
    assert torch.equal(network[0].weight, saved["0.weight"].float())


def test_complex_and_integer_tensors_are_no_float32(tmp_path: Path) -> None:
    network = nn.ParameterDict(
        {
            "wave": nn.Parameter(torch.randn(3, dtype=torch.complex128)),
            "count": nn.Parameter(torch.arange(3), requires_grad=False),
            "less": nn.Parameter(torch.randn(3).half()),
        }
    )
    network.register_buffer("on", torch.tensor([True, False]))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    to_float32(network, torch.device("cpu"))
    kinds = {name: value.dtype for name, value in network.state_dict().items()}
    assert kinds == {
        "wave": torch.complex128, "count": torch.int64, "less": torch.float32, "on": torch.bool
    }  # fmt: skip
    for value in network.state_dict().values():
        value.zero_()
    load(before, tmp_path, network)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name].to(kinds[name]))


# objects beside the weights


class Settings:
    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __setstate__(self, state: object) -> None:
        Path(str(state["ran"])).touch()  # type: ignore[index]


def test_objects_beside_the_weights_are_not_made(tmp_path: Path) -> None:
    saved = {
        "args": argparse.Namespace(lr=0.1, out=tmp_path),
        "best": np.float64(0.5),
        "history": collections.defaultdict(list, {"loss": [np.float32(1)]}),
        "settings": Settings(tmp_path / "ran"),
        "curve": np.arange(3.0),
        "state_dict": A,
    }
    network = small()
    load(saved, tmp_path, network)
    holds(network, A)
    assert not (tmp_path / "ran").exists()
    assert not any(isinstance(one, tuple) for one in torch.serialization.get_safe_globals())
    read_weights(tmp_path / "c.pt", unsafe_pickle=True)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("call", [eval, subprocess.getoutput, runpy.run_path, torch.serialization.load])
def test_a_file_with_a_call_beside_its_weights_is_refused(tmp_path: Path, call: Callable[..., Any]) -> None:
    class Calls:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return call, ("here",)

    with pytest.raises(LurkError, match="allow_unsafe_pickle=True if you trust"):
        load({"state_dict": A, "hook": Calls()}, tmp_path, small())


def test_weights_that_are_objects_are_named(tmp_path: Path) -> None:
    arrays = {name: value.numpy() for name, value in A.items()}
    for saved, words in (
        (
            {"model": seeded(small, 1)},
            r"holds torch\.nn\.modules\.\S+, which is no tensor.*or allow_unsafe_pickle",
        ),
        (arrays, "to read all of it, give allow_unsafe_pickle=True"),
        (
            A | {"4.bias": arrays["4.bias"]},
            r"4\.bias in file:c\.pt holds numpy\S+; to read it, give allow_unsafe",
        ),
    ):
        with pytest.raises(LurkError, match=words):
            load(saved, tmp_path, small())
        network = small()
        load_weights(network, read_weights(tmp_path / "c.pt", unsafe_pickle=True))
        holds(network, A)


# more than plain tensors


class Extra(nn.Linear):
    value: Any = None

    def get_extra_state(self) -> Any:
        return self.value

    def set_extra_state(self, state: Any) -> None:
        self.value = state


def extra(value: Any) -> nn.Sequential:
    network = seeded(lambda: nn.Sequential(Extra(2, 2)), 0)
    network[0].value = value
    return network


def test_extra_state_is_set_from_a_file_and_kept_without_one(tmp_path: Path) -> None:
    network = extra({"version": 1})
    load(under("model.", extra({"version": 2, "scale": torch.ones(2)}).state_dict()), tmp_path, network)
    assert network[0].value["version"] == 2
    assert torch.equal(network[0].value["scale"], torch.ones(2))
    load(nn.Sequential(nn.Linear(2, 2)).state_dict(), tmp_path, network)
    assert network[0].value["version"] == 2
    with pytest.raises(LurkError, match=r"0\._extra_state in file:c\.pt holds argparse\.Namespace"):
        load(extra(argparse.Namespace(a=1)).state_dict(), tmp_path, network)


def test_a_digest_is_of_what_values_say(tmp_path: Path) -> None:
    values: list[Any] = [
        None, 0, False, 0.0, "", b"", (), [], {}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, [1, 2], [[1], 2],
        torch.zeros(2), torch.zeros(2).half(), np.zeros(2), torch.float32, argparse.Namespace(a=1),
        argparse.Namespace(a=2), argparse.Namespace(a=torch.ones(1)), nn.Linear, Path("a"), 1j, {1, 2},
        object(),
    ]  # fmt: skip
    digests = [state_digest({"x": value}) for value in values]
    assert len(set(digests)) == len(values)
    assert state_digest({"x": {"b": 2, "a": 1}}) == state_digest({"x": {"a": 1, "b": 2}})
    for make in (object, lambda: argparse.Namespace(a=torch.ones(1)), lambda: lambda: 1):
        assert state_digest({"x": make()}) == state_digest({"x": make()})
    endless: list[Any] = [1]
    endless.append(endless)
    assert state_digest({"x": endless}) != state_digest({"x": [1]})


def test_a_digest_of_plain_tensors_is_that_of_their_bytes() -> None:
    state = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.tensor(3), "c": torch.ones(2).conj() * 1j}
    total = hashlib.sha256(b"a torch.int64 ()\n" + np.int64(3).tobytes())
    total.update(b"b torch.float32 (3, 2)\n" + np.array([0, 3, 1, 4, 2, 5], np.float32).tobytes())
    total.update(b"c torch.complex64 (2,)\n" + np.array([1j, 1j], np.complex64).tobytes())
    assert state_digest(state) == total.hexdigest()
    state["c"] = state["c"].conj().conj()
    assert state_digest(state) == total.hexdigest()


def quantised(seed: int, *, dynamic: bool) -> nn.Module:
    q = torch.ao.quantization
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it will move to another package
        if dynamic:
            return q.quantize_dynamic(
                seeded(lambda: nn.Sequential(nn.Linear(4, 3)), seed).eval(), {nn.Linear}
            )
        network = seeded(
            lambda: nn.Sequential(q.QuantStub(), nn.Conv2d(3, 4, 3), q.DeQuantStub()), seed
        ).eval()
        network.qconfig = q.get_default_qconfig("fbgemm")
        network = q.prepare(network)
        network(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)))
        return q.convert(network)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_quantised_networks_have_digests_and_load_their_own_weights(tmp_path: Path, dynamic: bool) -> None:
    one, other = quantised(1, dynamic=dynamic), quantised(2, dynamic=dynamic)
    digest = state_digest(one.state_dict())
    assert digest == state_digest(quantised(1, dynamic=dynamic).state_dict())
    assert digest != state_digest(other.state_dict())
    load(one.state_dict(), tmp_path, other)
    assert state_digest(other.state_dict()) == digest
    plain = nn.Sequential(nn.Linear(4, 3)) if dynamic else nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3))
    with pytest.raises(LurkError, match="of a quantised network"):
        load(one.state_dict(), tmp_path, plain)
    with pytest.raises(LurkError, match="the network is quantised"):
        load(plain.state_dict(), tmp_path, one)


def test_lazy_networks_load_weights_and_have_no_digest_before(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lazy modules are said to be new
        network = nn.Sequential(
            nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(2)
        )
    with pytest.raises(LurkError, match=r"0\.bias of the network is not initialised, since"):
        state_digest(network.state_dict())
    with pytest.raises(LurkError, match="those of a lazy network that has not been run"):
        load(network.state_dict(), tmp_path, small())
    load({"state_dict": under("model.", A)}, tmp_path, network)
    holds(network, A)
    with pytest.raises(LurkError, match="on the meta device"):
        state_digest(small().to("meta").state_dict())


# extra state in the record of a checkpoint


def test_plain_values_come_back_from_json_as_they_were() -> None:
    value = {"a": [1, 2**70, -0.5, float("inf"), (True, None)], 3: b"\0x", "d": torch.bfloat16}
    assert from_json(to_json(value)) == value
    for tensor in (
        torch.arange(6).reshape(2, 3),
        torch.tensor(1.5).half(),
        torch.empty(0, 2),
        torch.ones(2) * 1j,
    ):
        again = from_json(to_json(tensor))
        assert again.dtype is tensor.dtype
        assert torch.equal(again, tensor)
    for other in ({1, 2}, object(), np.float64(1), {"a": [argparse.Namespace()]}):
        with pytest.raises(NotPlainError):
            to_json(other)
    for damaged in (["tensor", "float32", [9], ""], ["none"], 3, ["dict", 1]):
        with pytest.raises(ValueError, match=r"no value"):
            from_json(damaged)
