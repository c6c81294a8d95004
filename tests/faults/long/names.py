"""Names as nobody would choose them: of files, classes, modules, outputs, weights and networks."""

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
from torchlurk.store.inspect import inspect
from torchlurk.store.read import read_layer
from torchlurk.web.publish import build_site
from torchlurk.web.snapshot import watch_stores

NAMES = "hostile names of files, classes, modules and outputs: a whole store and site, each in its folder"
FOLDERS = "hostile name of the folder to write: refused in one line, or a whole store"

NET = """
import json
from pathlib import Path
from torch import nn
from torchvision import transforms as T


class Net(nn.Module):
    def __init__(self, names, outputs):
        super().__init__()
        self.own = names
        for name in names:
            self.add_module(name, nn.Conv2d(3, 3, 3, padding=1))
        self.add_module(names[-1], nn.Linear(3, outputs))

    def forward(self, x):
        for name in self.own[:-1]:
            x = self._modules[name](x)
        return self._modules[self.own[-1]](x.mean((2, 3)))


def net():
    given = json.loads(Path("names.json").read_text())
    made = Net(given["modules"], len(given["outputs"]))
    made.__class__ = type(given["class"], (Net,), {})
    return made, T.Compose([T.Resize(12), T.CenterCrop(12), T.ToTensor()]), tuple(given["outputs"])
"""

BAD = (
    "<img src=x onerror=\"document.title='owned'\">", "</script><script>alert(1)</script>",
    "<svg onload=alert(1)>", "javascript:alert(1)", "\"'><b>", "{{7*7}}", "${7*7}", "%2e%2e%2f", "..", "...",
    "../../etc/passwd", "/etc/passwd", "a\\..\\b", "C:\\x", "con", "a\nb", "a\r\nSet-Cookie: x", "a\0b",
    "\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe",
    "\ufeff", "e\u0301" * 50, "\U0001f600" * 20, " ", "-rf", "~", "?a=b#c", "%", "%z", "&amp;", "constructor",
    "__proto__", "toString", "null", "0", "1e9", "x" * 10_000, "<b>" * 3000, "\ud800", "\udcff\udcfe", "a|b",
    "`id`",
)  # fmt: skip
"""Texts that some program has once taken for something else than a name."""


def any_name(random: Random) -> str:
    """One of `BAD`, pieces of some, or characters of all kinds."""
    way = random.randrange(4)
    if way < 2:
        return random.choice(BAD)
    if way == 2:
        one, other = random.choice(BAD), random.choice(BAD)
        return one[: random.randrange(len(one) + 1)] + other[random.randrange(len(other)) :]
    ranges = ((0, 32), (32, 127), (128, 0x250), (0x2000, 0x2070), (0xD800, 0xE000), (0x1F600, 0x1F650))
    return "".join(chr(random.randrange(*random.choice(ranges))) for _ in range(random.randrange(1, 40)))


def file_name(random: Random, suffix: str) -> str:
    """A name that a file system takes: any bytes but two, up to 255 of them."""
    data = any_name(random).encode("utf-8", "surrogatepass").replace(b"/", b"").replace(b"\0", b"")
    # As those bytes come back from the system, which may be no UTF-8.
    return os.fsdecode(data[: 250 - len(suffix)].lstrip(b".") or b"x") + suffix


def _distinct(make: object, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[make()] = None  # type: ignore[operator]
    return list(found)


def make_ground(folder: Path, random: Random) -> list[str]:
    """Write images, words, weights and a network with hostile names; what to add to the command."""
    classes = _distinct(lambda: file_name(random, ""), 2)
    for number in range(4):
        path = folder / "photos" / classes[number % 2] / f"{number}{file_name(random, '.jpg')[:200]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        good(path, random)
    modules = _distinct(lambda: any_name(random).replace(".", "") or "x", 3)
    # Python's own attributes are no names of modules, which torch says itself, nor is what is no text.
    modules = [name if not hasattr(torch.nn.Module(), name) else f"{name}_" for name in modules]
    modules = [name.encode("utf-8", "replace").decode() for name in modules]
    outputs = [any_name(random) for _ in range(3)]
    kind = any_name(random).replace("\0", "").encode("utf-8", "replace").decode()
    given = {"modules": list(dict.fromkeys([*modules, *"pqrst"]))[:3], "outputs": outputs, "class": kind}
    (folder / "names.json").write_text(json.dumps(given))
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


def whole(folder: Path, out: Path, done: Outcome, before: Sequence[str]) -> str:
    """What is wrong with a store that a run has written, and with the site of it; "" where nothing is."""
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
    seen = [(network.name, len(network.layers)) for network in live.networks]
    if seen != [(out.name, len(report.manifest.layers))]:
        return "the live server does not see it"
    known = set(tree(folder / "site/saved_model" / out.name))
    wanted = {n.removeprefix(f"{inside}/") for n in new if n.startswith(f"{inside}/")}
    wanted = wanted - {"SHA256SUMS"} | {"previews.json"}
    if known != wanted:
        return f"the site has other files: {sorted(known ^ wanted)[:3]!r}"
    for line in done.out.splitlines() + done.err.splitlines():
        if "\x1b" in line or "\x07" in line:
            return f"moves the cursor: {line!r}"
    return ""


def name_badly(trial: Trial) -> list[Row]:
    """Precompute and publish with hostile names of everything, then into folders of hostile names."""
    wrong: list[str] = []
    tracebacks = 0
    for number in range(trial.count):
        folder = trial.folder / str(number)
        folder.mkdir()
        more = make_ground(folder, trial.random)
        before = tree(folder)
        done = lurk_here([*COMMAND, *more, "--out", "saved/net"], folder)
        tracebacks += done.traceback
        if problem := whole(folder, folder / "saved/net", done, list(before)):
            wrong.append(f"{number} ({more!r}): {problem}"[:900])
    rows = [Row(NAMES, trial.count, trial.count - len(wrong), None, tracebacks, "", tuple(wrong))]
    return [*rows, _folders(trial)]


def _folders(trial: Trial) -> Row:
    wrong: list[str] = []
    tracebacks = refused = 0
    given = {"modules": ["a", "b", "c"], "outputs": ["x"], "class": "Net"}
    for number in range(trial.count):
        folder = trial.folder / f"folder{number}"
        (folder / "photos").mkdir(parents=True)
        (folder / "nets.py").write_text(NET)
        (folder / "names.json").write_text(json.dumps(given))
        good(folder / "photos/one.png", trial.random)
        *above, name = any_name(trial.random).replace("\0", "").split("/")
        # Whoever names a folder above the others means it.
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
            problem = whole(folder, Path(os.path.normpath(folder / out)), done, before)
        if problem:
            wrong.append(f"{number} {out[:80]!r}: {problem}"[:600])
    measured = f"{refused} refused"
    return Row(FOLDERS, trial.count, trial.count - len(wrong), None, tracebacks, measured, tuple(wrong))


KIND = Kind("names", (NAMES, FOLDERS), name_badly, long=200, short=6)
