"""What the documents say is so: commands parse, the example fits the schema, the rooms stand in order."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
from collections import OrderedDict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import matplotlib
import msgspec
import nbformat
import pytest
import torch
from matplotlib import pyplot
from nbclient import NotebookClient
from PIL import Image
from torch import nn
from torch.distributed.run import get_args_parser as launcher
from torchvision import transforms as T

from torchlurk.cli.main import main
from torchlurk.store import comparison, schema

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shell_lines(document: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.strip()]


ALL_LINES = [(document.name, line) for document in DOCUMENTS for line in shell_lines(document)]


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


def python_snippets(heading: str) -> list[str]:
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    for number in range(4):
        path = tmp_path / "photos" / ("day" if number % 2 else "night") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 36), 20 + 20 * number).convert("RGB").save(path)
    Image.open(tmp_path / "photos/day/1.png").save(tmp_path / "photo.jpg")
    body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 400))
    model = nn.Sequential(OrderedDict(features=body, head=head))
    names: dict[str, Any] = {
        "model": model,
        "preprocess": T.Compose([T.Resize((32, 32)), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)]),
        "batches": [(torch.zeros(1, 3, 32, 32), torch.zeros(1))] * 3,
        "train": lambda model, x, y: None,
    }
    snippets = python_snippets("From Python")
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)
    pyplot.close("all")
    for name in ("crop.png", "bee.png", "filter-3.png", "training.gif"):
        assert (tmp_path / name).is_file()
    assert (tmp_path / "saved_model/mine/max_activ/features.3/2.jpg").is_file()


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.ipynb")), ids=lambda path: path.name)
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


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for name in main.commands:
        assert f"torchlurk {name}" in text


def test_the_readme_never_installs_the_others_package() -> None:
    for document in DOCUMENTS:
        assert not re.search(r"pip install torchlurk\b", document.read_text("utf-8"))


def test_links_and_pictures_of_the_documents_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
            if not target.startswith("https://"):
                assert (document.parent / target).exists(), (document.name, target)


def example() -> dict[str, Any]:
    text = (ROOT / "docs/format.md").read_text("utf-8")
    return json.loads(re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[-1])


KINDS = {
    "index.json": schema.Index,
    "toy/network.json": schema.Manifest,
    "toy/classes.json": schema.Classes,
    "toy/images.json": schema.ImageEntries,
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
    whole = example()[name]
    if name == "toy/images.json":
        whole = whole["0"]
    for key in whole:
        kind = schema.ImageEntry if name == "toy/images.json" else KINDS[name]
        optional = not next(f for f in msgspec.structs.fields(kind) if f.encode_name == key).required
        # Older stores do without the keys that came later.
        with nullcontext() if optional else pytest.raises(msgspec.ValidationError):
            msgspec.convert({k: v for k, v in whole.items() if k != key}, kind)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**whole, "unknown": 1}, kind)


def keys(kind: Any) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_the_format_document_names_every_key_of_the_schema() -> None:
    text = (ROOT / "docs/format.md").read_text("utf-8")
    for kind in [*vars(schema).values(), *vars(comparison).values()]:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for key in keys(kind):
                assert f"`{key}`" in text or f'"{key}"' in text, (kind.__name__, key)


def rooms() -> list[str]:
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


def test_the_architecture_lists_every_room_once() -> None:
    package = ROOT / "torchlurk"
    there = {p.stem for p in package.glob("*.py")} | {p.parent.name for p in package.glob("*/*.py")}
    assert sorted(rooms()) == sorted(there - {"__init__", "__main__", "__pycache__"})


def test_a_room_imports_only_from_rooms_above_it() -> None:
    order = {room: number for number, room in enumerate(rooms())}
    for path in sorted((ROOT / "torchlurk").rglob("*.py")):
        room = path.relative_to(ROOT / "torchlurk").parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        for other in imports(path) & order.keys():
            assert order[other] <= order[room], f"{path} imports {other}"


def test_the_store_never_imports_torch() -> None:
    for path in (ROOT / "torchlurk/store").glob("*.py"):
        assert not re.search(r"^\s*(import|from) torch\b(?!lurk)", path.read_text("utf-8"), re.MULTILINE), (
            path
        )
