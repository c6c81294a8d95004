"""Writing a store: every file appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from torchlurk.errors import LurkError
from torchlurk.store.read import read_checksums, read_manifest
from torchlurk.store.schema import CHECKSUMS, FORMAT, PROGRESS, Index, NetworkEntry

TEMPORARY_SUFFIX = ".part"
"""How the names of temporary files end."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file by way of a temporary one beside it, so that a reader never sees half of it.

    The content is on the disk before the file gets its name, so a power cut leaves no half of it either.

    Raises:
        LurkError: it cannot be written; what stood there before still does.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{path.name}-", suffix=TEMPORARY_SUFFIX, dir=path.parent
        )
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        temporary = None
    except OSError as problem:
        raise LurkError(
            f"cannot write {str(path)!r} ({problem.strerror or problem}): make room there and start the same "
            "command again, which goes on from what is done, or choose another --out"
        ) from problem
    finally:
        if temporary is not None:
            with suppress(OSError):  # of a disk that has turned read-only; the reason is told already
                Path(temporary).unlink()


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that a process left below a folder when it was killed."""
    for path in folder.rglob(f".*{TEMPORARY_SUFFIX}"):
        with suppress(OSError):
            path.unlink()


def write_json(path: Path, record: object) -> None:
    """Write a record of the format: compact, keys sorted, one line, UTF-8."""
    write_bytes(path, msgspec.json.encode(record, order="sorted") + b"\n")


def write_checksums(store: Path, changed: Iterable[str] | None = None) -> None:
    """Write `SHA256SUMS`: the digests of the store's JSON files, as `sha256sum --check` reads them.

    Args:
        store: the store's folder.
        changed: the files whose digests are taken anew, relative to it; all that there are by default.
    """
    if changed is None:
        found = [*store.glob("*.json"), *store.glob("layers/*.json")]
        sums = {}
        changed = [path.relative_to(store).as_posix() for path in found if path != store / PROGRESS]
    else:
        sums = read_checksums(store)
    for name in changed:
        sums[name] = hashlib.sha256((store / name).read_bytes()).hexdigest()
    write_bytes(store / CHECKSUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode())


def write_json_with_checksum(store: Path, name: str, record: object) -> None:
    """Write a JSON file of a store, and its digest."""
    write_json(store / name, record)
    write_checksums(store, [name])


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, before hours are spent.

    Raises:
        LurkError: the folder cannot be made or written to.
    """
    probe = folder / ".torchlurk-probe"
    write_bytes(probe, b"")
    with suppress(OSError):  # a disk that has become full since, or read-only, is told of by the next writing
        probe.unlink()


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold a folder against other runs, in this process and in others, for as long as the context lasts.

    The lock is the system's on the folder itself: it leaves no file, and ends with the process. Where the
    system or the file system has none, there is none.

    Raises:
        LurkError: another run holds it.
    """
    try:
        import fcntl
    except ImportError:  # not a Unix
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise LurkError(
                f"another run ({_holder(handle)}) is writing {str(folder)!r}: wait until it has ended, "
                "or choose another --out"
            ) from problem
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


@contextmanager
def _in_turn(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a context for the folder."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    """Who locks an open file, as far as the system tells."""
    status = os.fstat(handle)
    here = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        locks = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        locks = []
    for line in locks:
        fields = line.split()
        if here in fields and fields[1] == "FLOCK" and fields[fields.index(here) - 1] != "0":
            return f"process {fields[fields.index(here) - 1]}"
    return "of another process or machine"


def write_index(folder: Path) -> Index:
    """Write `index.json` of a folder of stores, from what lies in it; runs of several stores take turns.

    Args:
        folder: the parent of the stores.

    Returns:
        What was written.
    """
    with _in_turn(folder):
        for left in folder.glob(f".index.json-*{TEMPORARY_SUFFIX}"):
            with suppress(OSError):
                left.unlink()  # by one that was killed, as all others wait
        networks = []
        for path in sorted(folder.glob("*/network.json")):
            try:
                manifest = read_manifest(path.parent)
            except LurkError:
                continue  # another store that is damaged is no reason to fail this one
            networks.append(NetworkEntry(name=manifest.name, title=manifest.title, path=path.parent.name))
        index = Index(format=FORMAT, networks=sorted(networks, key=lambda entry: entry.name))
        write_json(folder / "index.json", index)
    return index
