"""Nowhere to write: one clear line, an intact store, and the same command goes on where there is room."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
from PIL import Image

from tests.faults.long.commands import Outcome, difference, lurk, lurk_here, tree, unprivileged, wants_setpriv
from tests.faults.long.harness import Kind, Row, Trial
from tests.faults.long.images import NET
from tests.faults.long.pictures import good
from torchlurk.errors import LurkError
from torchlurk.store import read, schema
from torchlurk.store.partial import PARTIAL
from torchlurk.store.write import TEMPORARY_SUFFIX

FULL = "disk full in the middle (a tmpfs smaller than the store)"
FILES = "no more files in the middle (a tmpfs of few inodes)"
QUOTA = "quota reached in the middle"
TURNED = "file system turned read-only in the middle"
REFUSED = "folder that cannot be written: refused before anything is computed"
SITE = "site for which there is no room: the one before stays"
STDOUT = "stdout on a full disk, or into a pipe that is closed"
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
"""In a mount namespace of its own: a small room, which turns read-only when it holds so many files."""

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
"""In place of the system's `write`: after so many bytes in a folder, the answer of a quota."""


def _unshare() -> tuple[str, ...]:
    return ("unshare", "--map-root-user", "--mount")


@functools.cache
def wants() -> str:
    """Why this cannot be tried here; "" where it can."""
    if shutil.which("cc") is None:
        return "there is no C compiler for the quota"
    command = [*_unshare(), "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return "there is no unshare"
    return "mount namespaces are not allowed" if done.returncode else wants_setpriv()


@dataclass(frozen=True)
class Ground:
    """What all faults are tried on.

    Attributes:
        folder: where commands run.
        whole: the files of the store that an undisturbed run writes.
        random: what chance decides.
    """

    folder: Path
    whole: dict[str, bytes]
    random: Random

    @property
    def size(self) -> int:
        """The bytes of the store, as a tmpfs counts them."""
        return sum(-(-len(data) // 4096) * 4096 for data in self.whole.values())

    def fresh(self) -> None:
        """Take away what an attempt has left."""
        for name in ("room", "kept"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()


def prepare(folder: Path, random: Random) -> Ground:
    """Write images and a network, and compute the store where there is room.

    Raises:
        AssertionError: that does not succeed.
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
    return Ground(folder, tree(folder / "whole"), random)


def intact(store: Path, stays: Callable[[str], bool] = lambda _: False) -> Iterator[str]:
    """What of a store is not whole, be it complete or not.

    Args:
        store: its folder.
        stays: whether a file of such a name, which belongs to no store, could not be taken away.
    """
    kinds = {
        "images.json": schema.ImageEntries,
        "classes.json": schema.Classes,
        "network.json": schema.Manifest,
        "progress.json": schema.Progress,  # where nothing can be taken away any more, it stays
    }
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store).as_posix()
        if path.is_dir() or name == "SHA256SUMS":
            continue
        if name.startswith(f"{PARTIAL}/") and not path.name.startswith("."):
            continue  # it carries its own digest, and what is damaged is computed again
        if path.suffix == ".json":
            try:
                msgspec.json.decode(path.read_bytes(), type=kinds.get(name, schema.LayerFile))
            except msgspec.DecodeError as problem:
                yield f"{name}: {problem}"
        elif path.suffix == ".jpg":
            try:
                with Image.open(path) as picture:
                    picture.load()
            except OSError as problem:
                yield f"{name}: {problem}"
        elif not stays(path.name):
            yield f"{name} is left over"
    if not (store / "network.json").exists():
        return
    try:
        manifest = read.read_manifest(store)
        for layer in manifest.layers if manifest.stages.scan.complete else ():
            for entry in read.read_layer(store, layer).filters:
                for kind in entry.pictures:
                    if not (store / schema.picture_path(kind, layer.name, entry.channel)).exists():
                        yield f"{layer.data} names a picture in {kind} that is not there"
    except LurkError as problem:
        yield str(problem)


def _broken_off(ground: Ground, done: Outcome, words: str) -> str:
    """What is wrong after a run that found no room; the same command then goes on in what it left."""
    if done.code != 0 and (wrong := done.refused("cannot write", words)):
        return wrong
    lines = [line for line in done.err.splitlines() if line.strip() and "|" not in line]
    if sum(line.startswith("torchlurk: ") for line in lines) > 1:
        return f"more than one line: {lines}"
    store = ground.folder / "kept/net"
    # From a disk that has turned read-only nothing can be taken away, not even a file that was about to
    # get its name; the run that goes on has to do it, for what it leaves is compared.
    stays = words == READ_ONLY
    if wrong := "; ".join(intact(store, lambda name: stays and name.endswith(TEMPORARY_SUFFIX))):
        return f"not intact: {wrong}"
    again = lurk_here([*COMMAND, "--out", "kept/net"], ground.folder)
    if again.code != 0 or again.traceback:
        return f"does not go on: {again.err[-300:]!r}"
    return ""


def _differing(ground: Ground) -> int:
    found = tree(ground.folder / "kept")
    return sum(
        difference(found.get(n, b""), ground.whole.get(n, b"")) for n in found.keys() | ground.whole.keys()
    )


def _in_room(ground: Ground, options: str, files: int = 0) -> Outcome:
    ground.fresh()
    before = [*_unshare(), "sh", "-c", ROOM, "sh", options, str(files)]
    return lurk([*COMMAND, "--out", "room/net"], ground.folder, before=before)


def _full(ground: Ground) -> tuple[Outcome, str]:
    pages = ground.random.randrange(2, ground.size // 4096)
    return _in_room(ground, f"size={pages * 4096}"), "No space left on device"


def _files(ground: Ground) -> tuple[Outcome, str]:
    nodes = ground.random.randrange(4, len(ground.whole))
    return _in_room(ground, f"nr_inodes={nodes}"), "No space left on device"


def _turned(ground: Ground) -> tuple[Outcome, str]:
    files = ground.random.randrange(1, len(ground.whole) * 3 // 4)
    return _in_room(ground, "size=100m", files), READ_ONLY


def _quota(ground: Ground) -> tuple[Outcome, str]:
    ground.fresh()
    most = ground.random.randrange(100, sum(map(len, ground.whole.values())))
    environment = {
        "LD_PRELOAD": str(ground.folder / "quota.so"),
        "QUOTA_FOLDER": "/kept/net/",
        "QUOTA_BYTES": str(most),
    }
    done = lurk([*COMMAND, "--out", "kept/net"], ground.folder, environment=environment)
    return done, "Disk quota exceeded"


def _tried(ground: Ground, fault: str, count: int, attempt: Callable[[Ground], tuple[Outcome, str]]) -> Row:
    wrong: list[str] = []
    differing = tracebacks = stopped = 0
    for number in range(count):
        done, words = attempt(ground)
        tracebacks += done.traceback
        stopped += done.code != 0
        problem = _broken_off(ground, done, words)
        many = 0 if problem else _differing(ground)
        differing += many
        if problem or many:
            wrong.append(f"{number}: {problem or f'{many} bytes differ'}")
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
"""What to do before, the folder to write, and the system's word for it: several are possible."""


def _refused(ground: Ground, count: int) -> Row:
    wrong: list[str] = []
    tracebacks = 0
    for number in range(count):
        script, out, words = REFUSALS[number % len(REFUSALS)]
        ground.fresh()
        subprocess.run(["sh", "-c", script], cwd=ground.folder, check=True)
        # Permissions hold only for a process that has given up root's rights.
        arguments = [*COMMAND, "--out", out]
        if "chmod" in script:
            done = lurk(arguments, ground.folder, before=unprivileged())
        else:
            done = lurk_here(arguments, ground.folder)
        tracebacks += done.traceback
        problem = done.refused("cannot write")
        if not problem and not any(word in done.line for word in words.split("|")):
            problem = f"{words} not in {done.line}"
        if not problem and "images on cpu" in done.err:
            problem = "it was begun"
        if problem:
            wrong.append(f"{out}: {problem}")
        subprocess.run(["chmod", "-R", "u+rwX", "kept"], cwd=ground.folder, check=True)
    return Row(REFUSED, count, count - len(wrong), None, tracebacks, "", tuple(wrong))


def _site(ground: Ground, count: int) -> Row:
    wrong: list[str] = []
    tracebacks = 0
    for number in range(count):
        ground.fresh()
        # The site before is of one file, so that any change would show.
        keep = "mkdir room/site && touch room/site/.torchlurk-site room/site/old &&"
        pages = ground.random.randrange(8, 60)
        script = ROOM.replace('"$@"\n', f'{keep} "$@"\n')
        before = [*_unshare(), "sh", "-c", script, "sh", f"size={pages * 4096}", "0"]
        done = lurk(["site", "whole/net", "--out", "room/site"], ground.folder, before=before)
        tracebacks += done.traceback
        problem = done.refused("No space left on device")
        left = sorted(tree(ground.folder / "kept"))
        if not problem and left != ["site/.torchlurk-site", "site/old"]:
            problem = f"there is now {left}"
        if problem:
            wrong.append(f"{number}: {problem}")
    return Row(SITE, count, count - len(wrong), None, tracebacks, "", tuple(wrong))


def _told_to_nobody(ground: Ground, count: int) -> Row:
    """What is printed finds no room, or nobody who reads it."""
    wrong: list[str] = []
    tracebacks = 0
    for number in range(count):
        full = number % 2 == 0
        script = '"$@" > /dev/full' if full else '{ "$@"; echo $? > code; } | true; exit $(cat code)'
        done = lurk(["inspect", "whole/net"], ground.folder, before=["sh", "-c", script, "sh"])
        tracebacks += done.traceback
        problem = done.refused("No space left on device") if full else done.err
        if problem or done.code != 1:
            wrong.append(f"{number}: ended with {done.code}: {problem}")
    return Row(STDOUT, count, count - len(wrong), None, tracebacks, "", tuple(wrong))


def leave_no_room(trial: Trial) -> list[Row]:
    """Break runs off for want of room in all ways, and let them go on."""
    ground = prepare(trial.folder, trial.random)
    ways = ((FULL, _full), (FILES, _files), (QUOTA, _quota), (TURNED, _turned))
    rows = [_tried(ground, fault, trial.count, attempt) for fault, attempt in ways]
    rows += [_refused(ground, max(trial.count, 5)), _site(ground, trial.count)]
    return [*rows, _told_to_nobody(ground, max(trial.count, 2))]


KIND = Kind(
    "space", (FULL, FILES, QUOTA, TURNED, REFUSED, SITE, STDOUT), leave_no_room, long=18, short=1, needs=wants
)
