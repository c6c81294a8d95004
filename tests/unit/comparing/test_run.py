"""Comparisons from the command and from Python: the same files, with and without networks."""

from __future__ import annotations

import re
import subprocess
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from matplotlib import pyplot
from torch import nn

from tests.compared import LAYERS, PREPROCESS, store, write_photos
from tests.processes import run_without_torch
from tests.unit.comparing.helpers import files, networks
from torchlurk import Comparison, compare
from torchlurk.cli.main import main
from torchlurk.comparing.measures import MEASURES
from torchlurk.comparing.summaries import distribution
from torchlurk.errors import LurkError
from torchlurk.store.read_comparison import read_comparison, read_comparisons, read_layer_comparison
from torchlurk.store.schema import safe_name

ROOT = Path(__file__).parents[3]


def test_the_command_and_python_write_the_same_bytes(folder: Path) -> None:
    command = folder / "saved/by-command"
    result = CliRunner().invoke(
        main,
        ["compare", str(folder / "saved/start"), str(folder / "saved/end"), "--out", str(command), "--images",
         str(folder / "photos"), "--model", f"{folder / 'start.py'}:net", "--weights",
         str(folder / "end.safetensors"), "--weights", str(folder / "start.safetensors"), "--workers", "0",
         "--device", "cpu"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"{command}: 4 layers, 22 filters, 17 measures"
    assert lines[1].startswith("start → end: Of 4 layers, 4 changed. By activation maps, ")
    assert [line.partition(":")[0] for line in lines[2:]] == list(LAYERS)
    assert "There are no cross-activations: not all stores have" in result.stderr
    start, _, end = networks(folder)
    for _ in range(2):  # and again, over what is there
        compare(
            folder / "saved/start", folder / "saved/end", images=str(folder / "photos"), model=[start, end],
            preprocess=PREPROCESS, workers=0, device="cpu", progress=False, out=folder / "saved/by-python",
        )  # fmt: skip
        assert files(folder / "saved/by-python").keys() == files(command).keys()
    for name, data in files(command).items():
        again = (folder / "saved/by-python" / name).read_bytes()
        if name.startswith("layers/"):
            assert again == data
        assert str(folder).encode() not in data
    names = [entry.name for entry in read_comparisons(folder / "saved").comparisons]
    assert names == sorted(names)
    assert {"by-command", "by-python"} <= set(names)


def test_the_files_contain_what_python_returns(folder: Path, stores_only: Comparison) -> None:
    out = folder / "saved/written"
    found = compare(*(folder / "saved" / name for name in ("start", "middle", "end")), out=out)
    record = read_comparison(out)
    assert record == found.record
    assert record.name == "written"
    assert record.title == "start → middle → end"
    assert [(pair.before, pair.after) for pair in record.pairs] == [(0, 1), (0, 2), (1, 2)]
    assert [store.path for store in record.stores] == ["start", "middle", "end"]
    assert not record.networks
    assert record.note is not None
    loaded = Comparison.load(out)
    assert list(loaded) == list(found) == list(stores_only)
    for layer in record.layers:
        assert layer.data == f"layers/{safe_name(layer.name)}.json"
        own = read_layer_comparison(out, record, layer)
        for change, pair in zip(layer.changes, own.pairs, strict=True):
            assert change.distributions.keys() == pair.values.keys()
            for name, summary in change.distributions.items():
                assert sum(summary.histogram) == summary.counted
                assert summary == distribution(MEASURES[name], pair.values[name])
    fewer = compare(folder / "saved/start", folder / "saved/end", layers="wide", out=out, overwrite=True)
    assert fewer.layers == ("wide",)
    assert sorted(files(out)) == ["SHA256SUMS", "comparison.json", "layers/wide.json"]
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, check=False)
    assert done.returncode == 0


def test_stores_are_compared_and_comparisons_are_read_without_torch(folder: Path) -> None:
    code = f"""
        import torchlurk
        found = torchlurk.compare({str(folder / "saved/start")!r}, {str(folder / "saved/end")!r},
                                  out={str(folder / "saved/torchless")!r})
        again = torchlurk.Comparison.load({str(folder / "saved/torchless")!r})
        assert list(again) == list(found) and again._repr_html_() and again.to_pandas() is not None
    """
    run_without_torch(code)


def test_networks_are_restored(folder: Path) -> None:
    models = [networks(folder)[0].double(), networks(folder)[1]]
    models[0].train()
    models[0].first.weight.requires_grad_(False)

    def state() -> list[object]:
        return [
            (name, id(p), p.data_ptr(), p.dtype, p.requires_grad, p.stride(), p.sum().item())
            for model in models
            for name, p in model.named_parameters()
        ] + [
            (m.training, len(m._forward_hooks), len(m._forward_pre_hooks))
            for one in models
            for m in one.modules()
        ]

    before = state()
    more = {"preprocess": PREPROCESS, "workers": 0, "device": "cpu", "progress": False}
    stores = (folder / "saved/start", folder / "saved/middle")
    # A file's digest says nothing of a module's values, and its scores are those of the store.
    compare(*stores, images=folder / "photos", model=models, **more)
    assert state() == before
    with pytest.raises(LurkError):
        compare(*stores, images=folder / "photos", model=models[::-1], **more)
    assert state() == before


def test_a_batch_that_does_not_fit_into_memory_is_halved(with_networks: Comparison, folder: Path) -> None:
    start, _, end = networks(folder)
    fed: list[int] = []

    def refuse(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        fed.append(len(inputs[0]))
        if len(inputs[0]) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    end.narrow.register_forward_pre_hook(refuse)
    found = compare(
        folder / "saved/start", folder / "saved/end", images=folder / "photos", model=[start, end],
        preprocess=PREPROCESS, workers=0, device="cpu", progress=False, batch_size=7,
    )  # fmt: skip
    # After the network was tried, and one image whose scores are checked: 7 of 12, which do not fit, and no
    # more than 3 from there on.
    assert fed[-7:] == [1, 7, 3, 3, 1, 3, 2]
    for row, other in zip(with_networks, found, strict=True):
        for name, value in row.values.items():
            assert other[name] == (value if value is None else pytest.approx(value, rel=1e-4, abs=1e-6))


def test_networks_of_torchvision_are_loaded_by_their_manifests(folder: Path, tmp_path: Path) -> None:
    command = [
        "precompute", "--model", "squeezenet1_1", "--weights", "random", "--size", "48", "--layers",
        "features.0", "--layers", "features.3.squeeze", "--images", str(folder / "photos"), "--stages",
        "scan", "--workers", "0", "--device", "cpu",
    ]  # fmt: skip
    for seed in ("0", "1"):
        out = str(tmp_path / f"saved/seed{seed}")
        assert CliRunner().invoke(main, [*command, "--seed", seed, "--out", out]).exit_code == 0
    given = [str(tmp_path / f"saved/seed{seed}") for seed in (0, 1)]
    result = CliRunner().invoke(
        main, ["compare", *given, "--images", str(folder / "photos"), "--workers", "0"]
    )
    assert result.exit_code == 0, result.output
    found = Comparison.load(tmp_path / "saved/seed0-to-seed1")
    assert found.record.networks
    assert found.record.dataset.images == 12
    assert min(found["direction"]) > 0.3


def test_the_code_in_the_documentation_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
        models.append(nn.Sequential(OrderedDict(features=body)).eval())
    photos = write_photos(tmp_path / "photos", 6)
    for name, model in zip(("before", "after"), models, strict=True):
        store(model, photos, tmp_path / "saved_model" / name, images=False)
    (snippet,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/how-to/compare.md").read_text(), re.MULTILINE | re.DOTALL
    )
    names = {"before": models[0], "after": models[1], "preprocess": PREPROCESS}
    exec(compile(snippet, "compare.md", "exec"), names)
    pyplot.close("all")
    assert "Of 2 layers, 2 changed." in capsys.readouterr().out
