"""Stores of a network that is trained further, and their comparisons."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
from click.testing import CliRunner
from safetensors.torch import save_file

from tests.compared import PREPROCESS, network, trained, write_photos
from tests.unit.comparing.helpers import networks
from torchlurk import Comparison, compare
from torchlurk.cli.main import main


@pytest.fixture(scope="package", autouse=True)
def without_windows() -> None:
    matplotlib.use("Agg")


NETWORKS = """
from tests.compared import PREPROCESS, network
def net(): return network(), PREPROCESS
"""


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, and in `saved` the stores `start`, `middle` and `end` of a changing network."""
    path = tmp_path_factory.mktemp("stores")
    photos = write_photos(path / "photos")
    model = network()
    for name in ("start", "middle", "end"):
        save_file(model.state_dict(), path / f"{name}.safetensors")
        (path / f"{name}.py").write_text(NETWORKS)
        result = CliRunner().invoke(
            main,
            ["precompute", "--model", f"{path / 'start.py'}:net", "--weights",
             str(path / f"{name}.safetensors"), "--images", str(photos), "--out",
             str(path / "saved" / name), "--top", "3", "--workers", "0", "--device", "cpu",
             "--stages", "scan"],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        model = trained(model, 0.5, seed=len(name))
    return path


@pytest.fixture(scope="package")
def with_networks(folder: Path) -> Comparison:
    """The comparison of `start` and `end`, with their networks."""
    start, _, end = networks(folder)
    return compare(
        folder / "saved/start", folder / "saved/end", images=folder / "photos", model=[start, end],
        preprocess=PREPROCESS, workers=0, device="cpu", progress=False,
    )  # fmt: skip


@pytest.fixture(scope="package")
def stores_only(folder: Path) -> Comparison:
    """The comparison of all stores, without networks."""
    return compare(*(folder / "saved" / name for name in ("start", "middle", "end")))
