"""Comparisons: the command and Python, the files, the table, the plots, what the documents say of them."""

from __future__ import annotations

import re
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
from click.testing import CliRunner
from matplotlib import pyplot
from safetensors.torch import save_file
from torch import nn

from tests.compared import LAYERS, PREPROCESS, network, store, trained, write_photos
from tests.processes import run_without_torch
from torchlurk import Comparison, compare
from torchlurk.cli.main import main
from torchlurk.comparing.measures import MEASURES
from torchlurk.comparing.summaries import distribution
from torchlurk.errors import LurkError
from torchlurk.store.read_comparison import read_comparison, read_comparisons, read_layer_comparison
from torchlurk.store.schema import safe_name

ROOT = Path(__file__).parents[2]
NETS = """
from tests.compared import PREPROCESS, network
def net(): return network(), PREPROCESS
"""


@pytest.fixture(scope="module", autouse=True)
def without_windows() -> None:
    matplotlib.use("Agg")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photos`, and in `saved` the stores `start`, `middle` and `end` of a network that moves on."""
    folder = tmp_path_factory.mktemp("made")
    photos = write_photos(folder / "photos")
    model = network()
    for name in ("start", "middle", "end"):
        save_file(model.state_dict(), folder / f"{name}.safetensors")
        (folder / f"{name}.py").write_text(NETS)
        told = CliRunner().invoke(
            main,
            ["precompute", "--model", f"{folder / 'start.py'}:net", "--weights",
             str(folder / f"{name}.safetensors"), "--images", str(photos), "--out",
             str(folder / "saved" / name), "--top", "3", "--workers", "0", "--device", "cpu",
             "--stages", "scan"],
        )  # fmt: skip
        assert told.exit_code == 0, told.output
        model = trained(model, 0.5, seed=len(name))
    return folder


def networks(made: Path) -> list[nn.Module]:
    from safetensors.torch import load_file

    found = []
    for name in ("start", "middle", "end"):
        model = network()
        model.load_state_dict(load_file(made / f"{name}.safetensors"))
        found.append(model)
    return found


@pytest.fixture(scope="module")
def two(made: Path) -> Comparison:
    """`start` and `end` with their networks."""
    start, _, end = networks(made)
    return compare(
        made / "saved/start", made / "saved/end", images=made / "photos", model=[start, end],
        preprocess=PREPROCESS, workers=0, device="cpu", progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def three(made: Path) -> Comparison:
    """All stores, alone."""
    return compare(*(made / "saved" / name for name in ("start", "middle", "end")))


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_command_and_python_write_the_same_bytes(made: Path) -> None:
    command = made / "saved/by-command"
    told = CliRunner().invoke(
        main,
        ["compare", str(made / "saved/start"), str(made / "saved/end"), "--out", str(command), "--images",
         str(made / "photos"), "--model", f"{made / 'start.py'}:net", "--weights",
         str(made / "end.safetensors"), "--weights", str(made / "start.safetensors"), "--workers", "0",
         "--device", "cpu"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0] == f"{command}: 4 layers, 22 filters, 17 measures"
    assert lines[1].startswith("start → end: Of 4 layers, 4 changed. By activation maps, ")
    assert [line.partition(":")[0] for line in lines[2:]] == list(LAYERS)
    assert "There are no cross-activations: not all stores have" in told.stderr
    start, _, end = networks(made)
    for _ in range(2):  # and again, over what is there
        compare(
            made / "saved/start", made / "saved/end", images=str(made / "photos"), model=[start, end],
            preprocess=PREPROCESS, workers=0, device="cpu", progress=False, out=made / "saved/by-python",
        )  # fmt: skip
        assert files(made / "saved/by-python").keys() == files(command).keys()
    for name, data in files(command).items():
        again = (made / "saved/by-python" / name).read_bytes()
        if name.startswith("layers/"):
            assert again == data
        assert str(made).encode() not in data
    names = [entry.name for entry in read_comparisons(made / "saved").comparisons]
    assert names == sorted(names)
    assert {"by-command", "by-python"} <= set(names)


def test_what_is_written_is_what_python_gives(made: Path, three: Comparison) -> None:
    out = made / "saved/written"
    found = compare(*(made / "saved" / name for name in ("start", "middle", "end")), out=out)
    record = read_comparison(out)
    assert record == found.record
    assert record.name == "written"
    assert record.title == "start → middle → end"
    assert [(pair.before, pair.after) for pair in record.pairs] == [(0, 1), (0, 2), (1, 2)]
    assert [store.path for store in record.stores] == ["start", "middle", "end"]
    assert not record.networks
    assert record.note is not None
    loaded = Comparison.load(out)
    assert list(loaded) == list(found) == list(three)
    for layer in record.layers:
        assert layer.data == f"layers/{safe_name(layer.name)}.json"
        own = read_layer_comparison(out, record, layer)
        for change, pair in zip(layer.changes, own.pairs, strict=True):
            assert change.distributions.keys() == pair.values.keys()
            for name, told in change.distributions.items():
                assert sum(told.histogram) == told.counted
                assert told == distribution(MEASURES[name], pair.values[name])
    fewer = compare(made / "saved/start", made / "saved/end", layers="wide", out=out, overwrite=True)
    assert fewer.layers == ("wide",)
    assert sorted(files(out)) == ["SHA256SUMS", "comparison.json", "layers/wide.json"]
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, check=False)
    assert done.returncode == 0


def test_rows_are_sorted_by_the_size_of_a_measure(two: Comparison) -> None:
    assert len(two) == 22
    for measure in two.measures:
        sizes = [None if v is None else abs(v) for v in two.sort(measure)[measure]]
        some = [size for size in sizes if size is not None]
        assert sizes == [*sorted(some, reverse=True), *[None] * (len(sizes) - len(some))]
    assert two.sort()["maps"] == two.sort("maps")["maps"]
    up = two.sort("weights", ascending=True)
    assert up["weights"] == sorted(two["weights"])
    assert (up[0].layer, up[0].channel) == (two.sort("weights")[-1].layer, two.sort("weights")[-1].channel)
    wide = two.layer("wide").sort("difference").head(3)
    assert len(wide) == 3
    assert wide.layers == ("wide",)
    assert wide[0]["difference"] == max(two.layer(2)["difference"])
    assert [(row.layer, row.channel) for row in two][:7] == [*(("first", c) for c in range(6)), ("narrow", 0)]
    assert two.pair == ("start", "end")
    assert "22 filters of 4 layers" in repr(two)


def test_other_pairs_of_stores(three: Comparison) -> None:
    assert three.pair == ("start", "end")
    step = three.between("middle", "end")
    assert step.pair == three.between(1, -1).pair == ("middle", "end")
    assert step["mean_shift"] != three["mean_shift"]
    assert three.between(0, 1).summary.splitlines()[1].startswith("first: ")
    assert step.layer("last").sort("active").pair == ("middle", "end")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda found: found.sort("luck"), ["'luck'", "top_max"]),
        (lambda found: found["luck"], ["'luck'"]),
        (lambda found: found[0]["luck"], ["'luck'", "top_max"]),
        (lambda found: found.layer("frist"), ["'frist'", "first, narrow"]),
        (lambda found: found.layer(4), ["no layer 4"]),
        (lambda found: found.between(2, 1), ["not compared", "start → middle"]),
        (lambda found: found.between("begin", 1), ["'begin'", "start, middle, end"]),
        (lambda found: found.between(0, 3), ["no store 3", "0 to 2"]),
        (lambda found: found.plot_time("wide", 5), ["no filter 5", "0 to 4"]),
        (lambda found: found.plot_hist(ax=7), ["ax is a int"]),
    ],
)
def test_what_there_is_not_is_one_line(three: Comparison, ask: Any, words: list[str]) -> None:
    with pytest.raises(LurkError) as problem:
        ask(three)
    assert all(word in str(problem.value) for word in words), problem.value
    with pytest.raises(IndexError):
        three[22]


def test_a_table_for_pandas(two: Comparison, three: Comparison) -> None:
    frame = two.sort("weights").to_pandas()
    assert list(frame.columns) == [
        "layer",
        "channel",
        *two.measures,
        "partner_channel",
        "partner_correlation",
    ]
    assert len(frame) == 22
    row = two.sort("weights")[0]
    assert frame["weights"].iloc[0] == row["weights"] == frame["weights"].max()
    assert (frame["layer"].iloc[0], frame["partner_channel"].iloc[0]) == (row.layer, row.partner)
    assert (frame.dtypes[list(two.measures)] == "float64").all()
    assert "partner_channel" not in three.to_pandas()


def test_a_table_for_a_notebook(two: Comparison) -> None:
    html = two.sort("maps")._repr_html_()
    assert html.count("<tr>") == 13
    assert "and 10 more filters" in html
    assert "and " not in re.sub(r"<[^>]*>", " ", two.head(2)._repr_html_()).split("more filters")[0][-20:]
    assert "more filters" not in two.head(2)._repr_html_()


def test_plots_give_axes_and_show_nothing(
    two: Comparison, three: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyplot, "show", lambda *a, **k: pytest.fail("shown"))
    draw: list[Any] = [
        lambda ax=None: two.plot_layers("maps", ax=ax),
        lambda ax=None: two.plot_layers(ax=ax),
        lambda ax=None: two.layer("wide").plot_hist("weights", ax=ax),
        lambda ax=None: two.plot_hist("active", ax=ax),
        lambda ax=None: two.plot_against("weights", "maps", ax=ax),
        lambda ax=None: three.plot_time("wide", 2, "top_max", ax=ax),
    ]
    for plot in draw:
        own = plot()
        assert own.get_title()
        figure, given = pyplot.subplots()
        assert plot(given) is given
        figure.canvas.draw()
        own.figure.canvas.draw()
    pyplot.close("all")
    bars = two.layer("wide").plot_hist("weights").patches
    assert sum(bar.get_height() for bar in bars) == 5
    pyplot.close("all")


def test_stores_are_compared_and_comparisons_read_without_torch(made: Path) -> None:
    code = f"""
        import torchlurk
        found = torchlurk.compare({str(made / "saved/start")!r}, {str(made / "saved/end")!r},
                                  out={str(made / "saved/torchless")!r})
        again = torchlurk.Comparison.load({str(made / "saved/torchless")!r})
        assert list(again) == list(found) and again._repr_html_() and again.to_pandas() is not None
    """
    run_without_torch(code)


def test_networks_come_back_as_they_were(made: Path) -> None:
    models = [networks(made)[0].double(), networks(made)[1]]
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
    stores = (made / "saved/start", made / "saved/middle")
    # A file's digest says nothing of a module's values, and its scores are those of the store.
    compare(*stores, images=made / "photos", model=models, **more)
    assert state() == before
    with pytest.raises(LurkError):
        compare(*stores, images=made / "photos", model=models[::-1], **more)
    assert state() == before


def test_a_batch_that_does_not_fit_is_halved(two: Comparison, made: Path) -> None:
    start, _, end = networks(made)
    fed: list[int] = []

    def refuse(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        fed.append(len(inputs[0]))
        if len(inputs[0]) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    end.narrow.register_forward_pre_hook(refuse)
    found = compare(
        made / "saved/start", made / "saved/end", images=made / "photos", model=[start, end],
        preprocess=PREPROCESS, workers=0, device="cpu", progress=False, batch_size=7,
    )  # fmt: skip
    # After the network was tried, and one image whose scores are checked: 7 of 12, which do not fit, and no
    # more than 3 from there on.
    assert fed[-7:] == [1, 7, 3, 3, 1, 3, 2]
    for row, other in zip(two, found, strict=True):
        for name, value in row.values.items():
            assert other[name] == (value if value is None else pytest.approx(value, rel=1e-4, abs=1e-6))


def test_networks_of_torchvision_are_found_as_the_stores_say(made: Path, tmp_path: Path) -> None:
    command = [
        "precompute", "--model", "squeezenet1_1", "--weights", "random", "--size", "48", "--layers",
        "features.0", "--layers", "features.3.squeeze", "--images", str(made / "photos"), "--stages", "scan",
        "--workers", "0", "--device", "cpu",
    ]  # fmt: skip
    for seed in ("0", "1"):
        out = str(tmp_path / f"saved/seed{seed}")
        assert CliRunner().invoke(main, [*command, "--seed", seed, "--out", out]).exit_code == 0
    given = [str(tmp_path / f"saved/seed{seed}") for seed in (0, 1)]
    told = CliRunner().invoke(main, ["compare", *given, "--images", str(made / "photos"), "--workers", "0"])
    assert told.exit_code == 0, told.output
    found = Comparison.load(tmp_path / "saved/seed0-to-seed1")
    assert found.record.networks
    assert found.record.dataset.images == 12
    assert min(found["direction"]) > 0.3


def test_the_documents_name_every_measure_as_it_is() -> None:
    text = (ROOT / "docs/compare.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \|.*\| (.*?) \|$", text, re.MULTILINE)
    listed = {name: told for names, told in rows for name in re.findall(r"`(\w+)`", names)}
    assert list(listed) == list(MEASURES)
    for name, measure in MEASURES.items():
        low, high = (
            None if end is None else f"{end:g}".replace("-", "−") for end in (measure.low, measure.high)
        )
        told = f"{low} to {high}" if high else f"from {low}" if low else "any"
        assert listed[name] == told, name
        assert measure.signed == ("signed" in next(line for line in text.splitlines() if f"`{name}`" in line))
        assert measure.edges == sorted(set(measure.edges))


def test_the_python_of_the_document_runs(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
        r"^```python\n(.*?)^```", (ROOT / "docs/compare.md").read_text(), re.MULTILINE | re.DOTALL
    )
    names = {"before": models[0], "after": models[1], "preprocess": PREPROCESS}
    exec(compile(snippet, "compare.md", "exec"), names)
    pyplot.close("all")
    assert "Of 2 layers, 2 changed." in capsys.readouterr().out
