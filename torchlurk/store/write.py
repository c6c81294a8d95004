"""Writing a store: every file appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from torchlurk.errors import LurkError
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import FORMAT, PROGRESS, SUMS, Index, NetworkEntry


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file by way of a temporary one beside it, so that a reader never sees half of it.

    Raises:
        LurkError: it cannot be written; what stood there before still does.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as problem:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise LurkError(
            f"cannot write {str(path)!r} ({problem.strerror or problem}): "
            "make room there, or choose another --out"
        ) from problem


def write_json(path: Path, record: object) -> None:
    """Write a record of the format: compact, keys sorted, one line, UTF-8."""
    write_bytes(path, msgspec.json.encode(record, order="sorted") + b"\n")


def write_sums(store: Path) -> None:
    """Write `SHA256SUMS`: the digests of the store's JSON files, as `sha256sum --check` reads them."""
    found = [*store.glob("*.json"), *store.glob("layers/*.json")]
    files = [path for path in found if path != store / PROGRESS]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(store).as_posix()}\n"
        for path in files
    ]
    write_bytes(store / SUMS, "".join(sorted(lines, key=lambda line: line[66:])).encode())


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, before hours are spent.

    Raises:
        LurkError: the folder cannot be made or written to.
    """
    probe = folder / ".torchlurk-probe"
    write_bytes(probe, b"")
    probe.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
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
                f"another run is writing {str(folder)!r}: wait until it has ended, or choose another --out"
            ) from problem
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


def write_index(folder: Path) -> Index:
    """Write `index.json` of a folder of stores, from what lies in it.

    Args:
        folder: the parent of the stores.

    Returns:
        What was written.
    """
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
