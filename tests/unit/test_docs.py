"""The documents are true: commands parse, Python runs, the example store is valid, imports keep the order."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
import sys
from collections import OrderedDict
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import matplotlib
import msgspec
import nbformat
import pytest
import torch
from click.testing import CliRunner
from matplotlib import pyplot
from nbclient import NotebookClient
from PIL import Image
from torch import nn
from torch.distributed.run import get_args_parser as launcher
from torchvision import transforms as T

from tests.stored import places
from torchlurk.cli.main import main
from torchlurk.store import comparison, schema

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shell_lines(document: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.strip()]


ALL_LINES = [(str(page.relative_to(ROOT)), line) for page in DOCUMENTS for line in shell_lines(page)]


@pytest.mark.parametrize(("document", "line"), ALL_LINES)
def test_every_command_in_the_documents_exists(document: str, line: str) -> None:
    program, *arguments = shlex.split(line)
    if program == "torchrun":
        given = launcher().parse_args(arguments)
        assert (given.module, given.training_script) == (True, "torchlurk")
        program, arguments = "torchlurk", given.training_script_args
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
    elif program in ("torchlurk", "python"):
        command: click.Command = main
        if program == "python":
            command = runpy.run_path(str(ROOT / arguments.pop(0)))["main"]
        context = click.Context(command)
        while isinstance(command, click.Group):
            command = command.commands[arguments.pop(0)]
        command.make_context(command.name, arguments, parent=context)
    else:
        assert program == "pip"
        assert arguments[0] == "install"


def python_snippets(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)


FILTER = "saved_model/mine/thumbs/features.3/max_activ-0.*.bin"
WRITTEN = {
    "README.md": [FILTER],
    "docs/how-to/python.md": [FILTER, "crop.png", "bee.png", "filter-3.png", "training.gif"],
    "docs/how-to/ablate.md": [],
    "docs/how-to/explain.md": [],
    "docs/how-to/fine-tune.md": ["runs/mine/transfer.json"],
}
"""The documents whose Python runs here, and files that it writes."""


@pytest.mark.parametrize("document", WRITTEN)
def test_the_python_of_the_documents_runs(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    for number in range(8):
        path = tmp_path / "photos" / ("day" if number % 2 else "night") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 36), 20 + 20 * number).convert("RGB").save(path)
    for name in ("photo.jpg", "cat.jpg", "dog.jpg"):
        Image.open(tmp_path / "photos/day/1.png").save(tmp_path / name)
    body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 400))
    model = nn.Sequential(OrderedDict(features=body, layer4=nn.BatchNorm2d(5), head=head))
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(Net=lambda: model))
    names: dict[str, Any] = {
        "model": model,
        "names": [f"class {number}" for number in range(400)],
        "x": torch.rand(1, 3, 32, 32),
        "preprocess": T.Compose([T.Resize((32, 32)), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)]),
        "batches": [(torch.zeros(1, 3, 32, 32), torch.zeros(1))] * 3,
        "train": lambda model, x, y: None,
    }
    names["transform"] = names["preprocess"]
    snippets = python_snippets(ROOT / document)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, document, "exec"), names)
    pyplot.close("all")
    for name in WRITTEN[document]:
        assert list(tmp_path.glob(name)), name


RUN_ELSEWHERE = {
    "docs/how-to/own-network.md": "tests/unit/test_own_networks.py",
    "docs/how-to/compare.md": "tests/unit/comparing/test_run.py",
}


def test_a_test_runs_the_python_of_every_document() -> None:
    found = {str(page.relative_to(ROOT)) for page in DOCUMENTS if python_snippets(page)}
    assert found == {*WRITTEN, *RUN_ELSEWHERE}
    for document, test in RUN_ELSEWHERE.items():
        assert document in (ROOT / test).read_text("utf-8")


def test_the_commands_of_the_tutorial_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    ran = []
    for line in shell_lines(ROOT / "docs/tutorial/index.md"):
        program, command, *arguments = shlex.split(line)
        if program != "torchlurk" or command == "serve":
            continue
        if command == "precompute":
            arguments += ["--device", "cpu", "--workers", "0"]
        done = CliRunner().invoke(main, [command, *arguments])
        assert done.exit_code == 0, (line, done.output, done.exception)
        ran.append(command)
    assert ran == ["precompute", "inspect", "site", "precompute", "site"]
    kept = places(tmp_path / "saved_model/small")
    assert len([name for name in kept if name.startswith("max_activ/features.3/")]) == 8
    assert (tmp_path / "_site/index.html").is_file()


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_run_and_are_kept_without_outputs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("data:image/jpeg" in output.get("data", {}).get("text/html", "") for output in shown)
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 2


def test_the_documents_use_every_command() -> None:
    for name in main.commands:
        assert any(line.startswith(f"torchlurk {name}") for _, line in ALL_LINES)


def test_no_document_installs_the_package_of_the_same_name_from_pypi() -> None:
    for document in DOCUMENTS:
        assert not re.search(r"pip install torchlurk\b", document.read_text("utf-8"))


def test_links_and_pictures_of_the_documents_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            if not target.startswith("https://"):
                assert (document.parent / target).exists(), (document.name, target)


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    paths = re.findall(r"`((?:torchlurk|tests|site|docs|requirements)/[^` ]*)`", text)
    assert len(paths) > 25
    for path in paths:
        assert (ROOT / path).exists(), path


def test_contributors_are_told_the_order_of_the_packages() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (line,) = re.findall(r"^`errors` →(?:.|\n)*?`cli`$", text, re.MULTILINE)
    assert re.findall(r"`(\w+)`", line) == packages()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 130


def example() -> dict[str, Any]:
    text = (ROOT / "docs/reference/format.md").read_text("utf-8")
    return json.loads(re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[-1])


KINDS = {
    "index.json": schema.Index,
    "toy/network.json": schema.Manifest,
    "toy/circuits/0.json": schema.CircuitFile,
    "toy/classes.json": schema.Classes,
    "toy/images.json": schema.ImagesFile,
    "toy/layers/0.json": schema.LayerFile,
    "comparisons.json": comparison.Comparisons,
    "toy-to-older/comparison.json": comparison.ComparisonRecord,
    "toy-to-older/layers/0.json": comparison.LayerComparison,
}


@pytest.mark.parametrize("name", KINDS)
def test_the_example_of_the_format_fits_the_schema(name: str) -> None:
    found = msgspec.convert(example()[name], KINDS[name])
    assert msgspec.json.decode(msgspec.json.encode(found)) == example()[name]


@pytest.mark.parametrize("name", KINDS)
def test_the_schema_wants_every_key_of_the_example(name: str) -> None:
    whole, kind = example()[name], KINDS[name]
    for key in whole:
        optional = not next(f for f in msgspec.structs.fields(kind) if f.encode_name == key).required
        # Older stores do without the keys that came later.
        with nullcontext() if optional else pytest.raises(msgspec.ValidationError):
            msgspec.convert({k: v for k, v in whole.items() if k != key}, kind)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**whole, "unknown": 1}, kind)


def test_the_example_names_the_packs_of_its_pictures() -> None:
    layer, images = example()["toy/layers/0.json"], example()["toy/images.json"]
    for entry in layer["filters"]:
        (pack,) = layer["packs"]["pictures"]
        row = pack["lengths"][pack["items"].index(entry["channel"])]
        assert [kind for kind, length in zip(pack["kinds"], row, strict=True) if length] == entry["pictures"]
    assert [str(image) for pack in images["packs"] for image in pack["items"]] == sorted(images["images"])


def keys(kind: Any) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_the_format_document_names_every_key_of_the_schema() -> None:
    text = (ROOT / "docs/reference/format.md").read_text("utf-8")
    for kind in [*vars(schema).values(), *vars(comparison).values()]:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for key in keys(kind):
                assert f"`{key}`" in text or f'"{key}"' in text, (kind.__name__, key)


def packages() -> list[str]:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    return [
        name.removesuffix(".py").rstrip("/")
        for name in re.findall(r"^\| `([a-z_]+(?:\.py|/))` \|", text, re.M)
    ]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("torchlurk"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("torchlurk.")}
    return found


def test_the_architecture_lists_every_package_once() -> None:
    package = ROOT / "torchlurk"
    there = {p.stem for p in package.glob("*.py")} | {p.parent.name for p in package.glob("*/*.py")}
    assert sorted(packages()) == sorted(there - {"__init__", "__main__", "__pycache__"})


def test_a_package_imports_only_from_packages_above_it() -> None:
    order = {package: number for number, package in enumerate(packages())}
    for path in sorted((ROOT / "torchlurk").rglob("*.py")):
        package = path.relative_to(ROOT / "torchlurk").parts[0].removesuffix(".py")
        if package in ("__init__", "__main__"):
            continue
        for other in imports(path) & order.keys():
            assert order[other] <= order[package], f"{path} imports {other}"


def test_the_store_never_imports_torch() -> None:
    for path in (ROOT / "torchlurk/store").glob("*.py"):
        assert not re.search(r"^\s*(import|from) torch\b(?!lurk)", path.read_text("utf-8"), re.MULTILINE), (
            path
        )
