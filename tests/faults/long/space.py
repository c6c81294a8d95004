"""No room to write: one clear line, an intact store, and the same command resumes once there is room."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec

from tests.faults.long.commands import (
    Outcome,
    difference,
    lurk,
    lurk_here,
    missing_setpriv,
    tree,
    unprivileged,
)
from tests.faults.long.harness import Kind, Row, Trial
from tests.faults.long.images import NET
from tests.faults.long.pictures import good
from torchlurk.errors import LurkError
from torchlurk.store import read, schema
from torchlurk.store.activations import ACTIVATIONS, check_activations
from torchlurk.store.inspect_pictures import check_layer_pictures
from torchlurk.store.partial import PARTIAL
from torchlurk.store.write import TEMPORARY_SUFFIX

FULL = "disk full during a run (a tmpfs smaller than the store)"
INODES = "no inodes left during a run (a tmpfs with few inodes)"
QUOTA = "quota reached during a run"
TURNED = "file system turned read-only during a run"
REFUSED = "folder that is not writable: refused before anything is computed"
SITE = "no room for a new site: the old site remains"
STDOUT = "stdout to a full disk or a closed pipe"
READ_ONLY = "Read-only file system"
COMMAND = ("precompute", "--model", "nets.py:net", "--images", "photos", "--device", "cpu", "--filters", "2",
           "--ascent", "naive", "--workers", "1")  # fmt: skip
PHOTOS = 12

ROOM = """
mount -t tmpfs -o "$1" tmpfs room || exit 99
if [ "$2" -gt 0 ]; then
    {
        until [ "$(find room -type f | wc -l)" -ge "$2" ] && mount -o remount,ro room; do :; done
    } 2>/dev/null &
    watcher=$!
fi
shift 2
"$@"
code=$?
[ -z "$watcher" ] || kill $watcher 2>/dev/null
mkdir -p kept && cp -a room/. kept/
exit $code
"""
"""A script for a separate mount namespace: mount a tmpfs that turns read-only once it has `$2` files."""

PRELOAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long left = -1;

ssize_t write(int handle, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    char link[64], path[4096];
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (left < 0) left = atol(getenv("QUOTA_BYTES"));
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    if (strstr(path, getenv("QUOTA_FOLDER"))) {
        if ((long)size > left) { errno = EDQUOT; return -1; }
        left -= size;
    }
    return real(handle, data, size);
}
"""
"""A replacement of `write` that fails with EDQUOT after `QUOTA_BYTES` bytes in `QUOTA_FOLDER`."""


def _unshare() -> tuple[str, ...]:
    return ("unshare", "--map-root-user", "--mount")


@functools.cache
def missing_tools() -> str:
    """Return why this machine cannot make the faults; "" if it can."""
    if shutil.which("cc") is None:
        return "the quota needs a C compiler"
    command = [*_unshare(), "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return "unshare is missing"
    return "mount namespaces are not allowed" if done.returncode else missing_setpriv()


@dataclass(frozen=True)
class Setup:
    """The inputs and the expected store of all faults.

    Attributes:
        folder: the working directory of the commands.
        expected: the files of the store of an uninterrupted run.
        random: the seeded random generator.
    """

    folder: Path
    expected: dict[str, bytes]
    random: Random

    @property
    def size(self) -> int:
        """The size of the store on a tmpfs in bytes."""
        return sum(-(-len(data) // 4096) * 4096 for data in self.expected.values())

    def fresh(self) -> None:
        """Delete the files of the last attempt."""
        for name in ("room", "kept"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()


def prepare(folder: Path, random: Random) -> Setup:
    """Write images and a network, and compute the expected store.

    Raises:
        AssertionError: the run fails.
    """
    for number in range(PHOTOS):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        good(path, random)
    (folder / "nets.py").write_text(NET)
    (folder / "quota.c").write_text(PRELOAD)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "quota.so", "quota.c", "-ldl"], cwd=folder, check=True)
    done = lurk_here([*COMMAND, "--out", "whole/net"], folder)
    assert done.code == 0, done.err
    return Setup(folder, tree(folder / "whole"), random)


ONE_PER_LAYER = {
    schema.CIRCUITS: schema.CircuitFile,
    schema.EXPANDED: schema.ExpandedFile,
    schema.SPECTRA: schema.SpectrumFile,
}
"""The record of the files in each folder that has one for each layer."""


def damaged_files(store: Path, may_remain: Callable[[str], bool] = lambda _: False) -> Iterator[str]:
    """Yield the problems of a complete or incomplete store.

    Args:
        store: the folder of the store.
        may_remain: whether an extra file of this name may remain because it cannot be deleted.
    """
    kinds = {
        "images.json": schema.ImagesFile,
        "classes.json": schema.Classes,
        "network.json": schema.Manifest,
        "progress.json": schema.Progress,  # remains where files cannot be deleted
    }
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store).as_posix()
        if path.is_dir() or name == "SHA256SUMS":
            continue
        if name.startswith(f"{PARTIAL}/") and not path.name.startswith("."):
            continue  # contains its own digest; a damaged piece is computed again
        if path.suffix == ".json":
            try:
                one_per_layer = ONE_PER_LAYER.get(path.parent.name, schema.LayerFile)
                msgspec.json.decode(path.read_bytes(), type=kinds.get(name, one_per_layer))
            except msgspec.DecodeError as problem:
                yield f"{name}: {problem}"
        elif path.suffix == ".bin":
            if hashlib.sha256(path.read_bytes()).hexdigest()[:12] not in path.name:
                yield f"{name}: has another digest than its name"
        elif not name.startswith(f"{ACTIVATIONS}/") and not may_remain(path.name):
            yield f"{name} is left over"
    if not (store / "network.json").exists():
        return
    try:
        manifest = read.read_manifest(store)
        yield from check_activations(store, manifest)
        for layer in manifest.layers if manifest.stages.scan.complete else ():
            yield from check_layer_pictures(store, manifest, read.read_layer(store, layer))
    except LurkError as problem:
        yield str(problem)


def _check_stopped(setup: Setup, done: Outcome, words: str) -> str:
    """Return what is wrong with a run that had no room and with its resumption; "" if nothing is."""
    if done.code != 0 and (wrong := done.refused("cannot write", words)):
        return wrong
    lines = [line for line in done.err.splitlines() if line.strip() and "|" not in line]
    if sum(line.startswith("torchlurk: ") for line in lines) > 1:
        return f"more than one line: {lines}"
    store = setup.folder / "kept/net"
    # Nothing can be deleted from a read-only disk, not even a temporary file. The resumed run has to
    # delete it, because its files are compared.
    read_only = words == READ_ONLY
    if wrong := "; ".join(damaged_files(store, lambda name: read_only and name.endswith(TEMPORARY_SUFFIX))):
        return f"not intact: {wrong}"
    again = lurk_here([*COMMAND, "--out", "kept/net"], setup.folder)
    if again.code != 0 or again.traceback:
        return f"does not resume: {again.err[-300:]!r}"
    return ""


def _differing(setup: Setup) -> int:
    actual = tree(setup.folder / "kept")
    return sum(
        difference(actual.get(n, b""), setup.expected.get(n, b""))
        for n in actual.keys() | setup.expected.keys()
    )


def _in_room(setup: Setup, options: str, files: int = 0) -> Outcome:
    setup.fresh()
    before = [*_unshare(), "sh", "-c", ROOM, "sh", options, str(files)]
    return lurk([*COMMAND, "--out", "room/net"], setup.folder, before=before)


def _full(setup: Setup) -> tuple[Outcome, str]:
    pages = setup.random.randrange(2, setup.size // 4096)
    return _in_room(setup, f"size={pages * 4096}"), "No space left on device"


def _inodes(setup: Setup) -> tuple[Outcome, str]:
    nodes = setup.random.randrange(4, len(setup.expected))
    return _in_room(setup, f"nr_inodes={nodes}"), "No space left on device"


def _turned(setup: Setup) -> tuple[Outcome, str]:
    files = setup.random.randrange(1, len(setup.expected) * 3 // 4)
    return _in_room(setup, "size=100m", files), READ_ONLY


def _quota(setup: Setup) -> tuple[Outcome, str]:
    setup.fresh()
    limit = setup.random.randrange(100, sum(map(len, setup.expected.values())))
    environment = {
        "LD_PRELOAD": str(setup.folder / "quota.so"),
        "QUOTA_FOLDER": "/kept/net/",
        "QUOTA_BYTES": str(limit),
    }
    done = lurk([*COMMAND, "--out", "kept/net"], setup.folder, environment=environment)
    return done, "Disk quota exceeded"


def _try_fault(setup: Setup, fault: str, count: int, attempt: Callable[[Setup], tuple[Outcome, str]]) -> Row:
    wrong: list[str] = []
    differing = tracebacks = stopped = 0
    for number in range(count):
        done, words = attempt(setup)
        tracebacks += done.traceback
        stopped += done.code != 0
        problem = _check_stopped(setup, done, words)
        different = 0 if problem else _differing(setup)
        differing += different
        if problem or different:
            wrong.append(f"{number}: {problem or f'{different} bytes differ'}")
    return Row(fault, count, count - len(wrong), differing, tracebacks, f"{stopped} stopped", tuple(wrong))


REFUSALS: tuple[tuple[str, str, str], ...] = (
    ("mkdir -p kept/net && chmod 555 kept/net", "kept/net", "Permission denied"),
    ("mkdir -p kept && touch kept/net", "kept/net", "File exists|Not a directory"),
    ("mkdir -p kept && touch kept/net", "kept/net/deeper", "Not a directory"),
    ("mkdir -p kept && ln -s /dev/full kept/net", "kept/net", "File exists|Not a directory"),
    ("mkdir -p kept && ln -s nowhere kept/net", "kept/net", "File exists"),
    ("true", "/proc/net", "No such file|Permission denied|not permitted"),
    ("true", "/dev/null/net", "Not a directory"),
    ("mkdir -p kept && chmod 555 kept", "kept/net", "Permission denied"),
    ("mkdir -p kept", f"kept/{'n' * 300}", "File name too long"),
)
"""A shell script that runs first, the output folder, and the system's possible messages, separated by `|`."""


def _refused(setup: Setup, count: int) -> Row:
    wrong: list[str] = []
    tracebacks = 0
    for number in range(count):
        script, out, words = REFUSALS[number % len(REFUSALS)]
        setup.fresh()
        subprocess.run(["sh", "-c", script], cwd=setup.folder, check=True)
        # File permissions apply only to a process without root's rights.
        arguments = [*COMMAND, "--out", out]
        if "chmod" in script:
            done = lurk(arguments, setup.folder, before=unprivileged())
        else:
            done = lurk_here(arguments, setup.folder)
        tracebacks += done.traceback
        problem = done.refused("cannot write")
        if not problem and not any(word in done.line for word in words.split("|")):
            problem = f"{words} not in {done.line}"
        if not problem and "images on cpu" in done.err:
            problem = "the run started"
        if problem:
            wrong.append(f"{out}: {problem}")
        subprocess.run(["chmod", "-R", "u+rwX", "kept"], cwd=setup.folder, check=True)
    return Row(REFUSED, count, count - len(wrong), None, tracebacks, "", tuple(wrong))


def _site(setup: Setup, count: int) -> Row:
    wrong: list[str] = []
    tracebacks = 0
    for number in range(count):
        setup.fresh()
        # The old site has a single page file, so that any change is visible.
        keep = "mkdir room/site && touch room/site/.torchlurk-site room/site/old &&"
        pages = setup.random.randrange(8, 60)
        script = ROOM.replace('"$@"\n', f'{keep} "$@"\n')
        before = [*_unshare(), "sh", "-c", script, "sh", f"size={pages * 4096}", "0"]
        done = lurk(["site", "whole/net", "--out", "room/site"], setup.folder, before=before)
        tracebacks += done.traceback
        problem = done.refused("No space left on device")
        left = sorted(tree(setup.folder / "kept"))
        if not problem and left != ["site/.torchlurk-site", "site/old"]:
            problem = f"the files are now {left}"
        if problem:
            wrong.append(f"{number}: {problem}")
    return Row(SITE, count, count - len(wrong), None, tracebacks, "", tuple(wrong))


def _stdout(setup: Setup, count: int) -> Row:
    """Write stdout to a full disk or to a closed pipe."""
    wrong: list[str] = []
    tracebacks = 0
    for number in range(count):
        full = number % 2 == 0
        script = '"$@" > /dev/full' if full else '{ "$@"; echo $? > code; } | true; exit $(cat code)'
        done = lurk(["inspect", "whole/net"], setup.folder, before=["sh", "-c", script, "sh"])
        tracebacks += done.traceback
        problem = done.refused("No space left on device") if full else done.err
        if problem or done.code != 1:
            wrong.append(f"{number}: ended with {done.code}: {problem}")
    return Row(STDOUT, count, count - len(wrong), None, tracebacks, "", tuple(wrong))


def run_without_room(trial: Trial) -> list[Row]:
    """Stop runs by each kind of missing room, and resume them."""
    setup = prepare(trial.folder, trial.random)
    faults = ((FULL, _full), (INODES, _inodes), (QUOTA, _quota), (TURNED, _turned))
    rows = [_try_fault(setup, fault, trial.count, attempt) for fault, attempt in faults]
    rows += [_refused(setup, max(trial.count, 5)), _site(setup, trial.count)]
    return [*rows, _stdout(setup, max(trial.count, 2))]


KIND = Kind(
    "space",
    (FULL, INODES, QUOTA, TURNED, REFUSED, SITE, STDOUT),
    run_without_room,
    long=18,
    short=1,
    needs=missing_tools,
)
