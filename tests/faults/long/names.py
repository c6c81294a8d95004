"""Hostile names of files, classes, modules, outputs, weights and networks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from tests.faults.long.commands import Outcome, lurk_here, tree
from tests.faults.long.harness import Kind, Row, Trial
from tests.faults.long.pictures import good
from torchlurk.errors import LurkError
from torchlurk.store.activations import ACTIVATIONS
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_layer
from torchlurk.web.publish import build_site
from torchlurk.web.snapshot import watch_stores

NAMES = "hostile names of files, classes, modules and outputs: complete store and site, no file outside them"
FOLDERS = "hostile name of the output folder: refused in one line, or a complete store"

NET = """
import json
from pathlib import Path
from torch import nn
from torchvision import transforms as T


class Net(nn.Module):
    def __init__(self, names, outputs):
        super().__init__()
        self.names = names
        for name in names:
            self.add_module(name, nn.Conv2d(3, 3, 3, padding=1))
        self.add_module(names[-1], nn.Linear(3, outputs))

    def forward(self, x):
        for name in self.names[:-1]:
            x = self._modules[name](x)
        return self._modules[self.names[-1]](x.mean((2, 3)))


def net():
    names = json.loads(Path("names.json").read_text())
    model = Net(names["modules"], len(names["outputs"]))
    model.__class__ = type(names["class"], (Net,), {})
    return model, T.Compose([T.Resize(12), T.CenterCrop(12), T.ToTensor()]), tuple(names["outputs"])
"""

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\">", "</script><script>alert(1)</script>",
    "<svg onload=alert(1)>", "javascript:alert(1)", "\"'><b>", "{{7*7}}", "${7*7}", "%2e%2e%2f", "..", "...",
    "../../etc/passwd", "/etc/passwd", "a\\..\\b", "C:\\x", "con", "a\nb", "a\r\nSet-Cookie: x", "a\0b",
    "\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe",
    "\ufeff", "e\u0301" * 50, "\U0001f600" * 20, " ", "-rf", "~", "?a=b#c", "%", "%z", "&amp;", "constructor",
    "__proto__", "toString", "null", "0", "1e9", "x" * 10_000, "<b>" * 3000, "\ud800", "\udcff\udcfe", "a|b",
    "`id`",
)  # fmt: skip
"""Texts that some program may interpret as something other than a name."""


def any_name(random: Random) -> str:
    """Return one of `HOSTILE`, pieces of two of them, or random characters."""
    choice = random.randrange(4)
    if choice < 2:
        return random.choice(HOSTILE)
    if choice == 2:
        first, second = random.choice(HOSTILE), random.choice(HOSTILE)
        return first[: random.randrange(len(first) + 1)] + second[random.randrange(len(second)) :]
    ranges = ((0, 32), (32, 127), (128, 0x250), (0x2000, 0x2070), (0xD800, 0xE000), (0x1F600, 0x1F650))
    return "".join(chr(random.randrange(*random.choice(ranges))) for _ in range(random.randrange(1, 40)))


def file_name(random: Random, suffix: str) -> str:
    """Return a valid file name: up to 255 bytes without `/` and NUL."""
    data = any_name(random).encode("utf-8", "surrogatepass").replace(b"/", b"").replace(b"\0", b"")
    # Decode as the operating system's functions do: the bytes may not be UTF-8.
    return os.fsdecode(data[: 250 - len(suffix)].lstrip(b".") or b"x") + suffix


def _distinct(make: object, count: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names[make()] = None  # type: ignore[operator]
    return list(names)


def make_inputs(folder: Path, random: Random) -> list[str]:
    """Write images, class names and a network with hostile names; return the options for them."""
    classes = _distinct(lambda: file_name(random, ""), 2)
    for number in range(4):
        path = folder / "photos" / classes[number % 2] / f"{number}{file_name(random, '.jpg')[:200]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        good(path, random)
    modules = _distinct(lambda: any_name(random).replace(".", "") or "x", 3)
    # torch refuses module names that are attributes of Module, and names must be valid Unicode.
    modules = [name if not hasattr(torch.nn.Module(), name) else f"{name}_" for name in modules]
    modules = [name.encode("utf-8", "replace").decode() for name in modules]
    outputs = [any_name(random) for _ in range(3)]
    kind = any_name(random).replace("\0", "").encode("utf-8", "replace").decode()
    names = {"modules": list(dict.fromkeys([*modules, *"pqrst"]))[:3], "outputs": outputs, "class": kind}
    (folder / "names.json").write_text(json.dumps(names))
    more: list[str] = []
    file = file_name(random, ".py").replace(":", "")
    (folder / file).write_text(NET)
    more += ["--model", f"{file}:net"]
    if random.random() < 0.5:
        words = [any_name(random).encode("utf-8", "replace").decode() for _ in classes]
        lines = ["".join(word.split("\t")).replace(",", "") for word in words]
        lines = [" ".join(line.splitlines()).strip("\ufeff ") or "x" for line in lines]
        (folder / "words.txt").write_text("\n".join(lines) + "\n", "utf-8")
        more += ["--words", "words.txt"]
    return more


COMMAND = ("precompute", "--images", "photos", "--device", "cpu", "--layers", "kind:Conv2d", "--layers",
           "logits",
           "--filters", "1", "--stages", "scan,gradients", "--workers", "1")  # fmt: skip


def check_store(folder: Path, out: Path, done: Outcome, before: Sequence[str]) -> str:
    """Return what is wrong with the store of a run and with its site; "" if nothing is."""
    if done.code != 0 or done.traceback:
        return f"ended with {done.code}: {done.err[-400:]!r}"
    new = sorted(set(tree(folder)) - set(before))
    inside = out.relative_to(folder).as_posix()
    index = (Path(inside).parent / "index.json").as_posix()
    outside = [name for name in new if not name.startswith(f"{inside}/") and name != index]
    if outside:
        return f"wrote {outside[:3]!r} outside"
    try:
        report = inspect(out)
        if report.problems:
            return report.problems[0]
        for layer in report.manifest.layers:
            read_layer(out, layer)
        build_site([out], folder / "site")
        live = watch_stores([out]).live()
    except LurkError as problem:
        return str(problem)
    served = [(network.name, len(network.layers)) for network in live.networks]
    if served != [(out.name, len(report.manifest.layers))]:
        return "the live server does not list the store"
    published = set(tree(folder / "site/saved_model" / out.name))
    expected = {n.removeprefix(f"{inside}/") for n in new if n.startswith(f"{inside}/")}
    expected = {name for name in expected if not name.startswith(f"{ACTIVATIONS}/")}
    expected = expected - {"SHA256SUMS"} | {"previews.json", "previews.bin"}
    if published != expected:
        return f"the site has other files: {sorted(published ^ expected)[:3]!r}"
    for line in done.out.splitlines() + done.err.splitlines():
        if "\x1b" in line or "\x07" in line:
            return f"prints control characters: {line!r}"
    return ""


def use_hostile_names(trial: Trial) -> list[Row]:
    """Precompute and publish with hostile names of the inputs, then with hostile output folders."""
    wrong: list[str] = []
    tracebacks = 0
    for number in range(trial.count):
        folder = trial.folder / str(number)
        folder.mkdir()
        more = make_inputs(folder, trial.random)
        before = tree(folder)
        done = lurk_here([*COMMAND, *more, "--out", "saved/net"], folder)
        tracebacks += done.traceback
        if problem := check_store(folder, folder / "saved/net", done, list(before)):
            wrong.append(f"{number} ({more!r}): {problem}"[:900])
    rows = [Row(NAMES, trial.count, trial.count - len(wrong), None, tracebacks, "", tuple(wrong))]
    return [*rows, _folders(trial)]


def _folders(trial: Trial) -> Row:
    wrong: list[str] = []
    tracebacks = refused = 0
    names = {"modules": ["a", "b", "c"], "outputs": ["x"], "class": "Net"}
    for number in range(trial.count):
        folder = trial.folder / f"folder{number}"
        (folder / "photos").mkdir(parents=True)
        (folder / "nets.py").write_text(NET)
        (folder / "names.json").write_text(json.dumps(names))
        good(folder / "photos/one.png", trial.random)
        *above, name = any_name(trial.random).replace("\0", "").split("/")
        # Leave out `..`: `--out` may name a parent folder.
        parts = [part for part in above if part != ".."]
        out = os.fsdecode("/".join(["saved", *parts, name or "."]).encode("utf-8", "surrogatepass"))
        before = list(tree(folder))
        done = lurk_here([*COMMAND, "--model", "nets.py:net", f"--out={out}"], folder)
        tracebacks += done.traceback
        if done.code == 1:
            refused += 1
            left = set(tree(folder)) - set(before)
            problem = done.refused() or (f"left {sorted(left)[:3]!r}" if left else "")
        else:
            problem = check_store(folder, Path(os.path.normpath(folder / out)), done, before)
        if problem:
            wrong.append(f"{number} {out[:80]!r}: {problem}"[:600])
    measured = f"{refused} refused"
    return Row(FOLDERS, trial.count, trial.count - len(wrong), None, tracebacks, measured, tuple(wrong))


KIND = Kind("names", (NAMES, FOLDERS), use_hostile_names, long=200, short=6)
