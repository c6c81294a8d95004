"""Objects beside weights are not created, and files with calls are refused."""

from __future__ import annotations

import argparse
import collections
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.checkpoints import A, holds, load, small
from tests.networks import seeded
from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import load_weights, read_weights, state_digest


class Settings:
    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __setstate__(self, state: object) -> None:
        Path(str(state["ran"])).touch()  # type: ignore[index]


def test_objects_beside_the_weights_are_not_created(tmp_path: Path) -> None:
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
def test_file_with_a_call_beside_its_weights_is_refused(tmp_path: Path, call: Callable[..., Any]) -> None:
    class Calls:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return call, ("here",)

    with pytest.raises(LurkError, match="allow_unsafe_pickle=True if you trust"):
        load({"state_dict": A, "hook": Calls()}, tmp_path, small())


def test_weights_that_are_objects_need_unsafe_pickle(tmp_path: Path) -> None:
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


def test_whole_network_needs_unsafe_pickle(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    torch.save(network, tmp_path / "whole.pt")
    with pytest.raises(LurkError, match="allow_unsafe_pickle=True if you trust"):
        read_weights(tmp_path / "whole.pt")
    found = read_weights(tmp_path / "whole.pt", unsafe_pickle=True)
    assert state_digest(found.state) == state_digest(network.state_dict())
