"""Digests of state dicts; extra state, quantised and lazy networks."""

from __future__ import annotations

import argparse
import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.checkpoints import A, holds, load, small, under
from tests.networks import seeded
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import state_digest


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


def test_extra_state_is_loaded_if_the_file_has_it(tmp_path: Path) -> None:
    network = extra({"version": 1})
    load(under("model.", extra({"version": 2, "scale": torch.ones(2)}).state_dict()), tmp_path, network)
    assert network[0].value["version"] == 2
    assert torch.equal(network[0].value["scale"], torch.ones(2))
    load(nn.Sequential(nn.Linear(2, 2)).state_dict(), tmp_path, network)
    assert network[0].value["version"] == 2
    with pytest.raises(LurkError, match=r"0\._extra_state in file:c\.pt holds argparse\.Namespace"):
        load(extra(argparse.Namespace(a=1)).state_dict(), tmp_path, network)


def test_digest_depends_on_values_only(tmp_path: Path) -> None:
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


def test_digest_of_tensors_is_that_of_names_types_shapes_and_bytes() -> None:
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
