"""Writing a store: every file appears complete or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from torchlurk.errors import LurkError, Option
from torchlurk.store.read import read_checksums, read_manifest
from torchlurk.store.schema import (
    CHECKSUMS,
    CIRCUITS,
    EXPANDED,
    FORMAT,
    PROGRESS,
    SPECTRA,
    Index,
    NetworkEntry,
)

TEMPORARY_SUFFIX = ".part"
"""Suffix of temporary files."""

_FLUSHING_THREADS = 4
"""Threads that wait for the disk; more are not faster."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: to a temporary file beside it, which then replaces it.

    The content is flushed to the disk first, so that a power failure cannot leave an incomplete file.

    Raises:
        LurkError: The file cannot be written; its previous content is unchanged.
    """
    write_files([(path, data)])


def write_files(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write files, each atomically, and none before the contents of all are flushed to the disk.

    Flushing many files together is much faster than one by one.

    Args:
        files: Paths and contents. Each content is written before the next one is asked for.

    Raises:
        LurkError: A file cannot be written.
    """
    temporary: dict[Path, Path] = {}
    current: Path | None = None
    try:
        for current, data in files:
            current.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                prefix=f".{current.name}-", suffix=TEMPORARY_SUFFIX, dir=current.parent
            )
            temporary[current] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), 0o644)
        # File systems write what several threads wait for in one go.
        with ThreadPoolExecutor(min(_FLUSHING_THREADS, len(temporary) or 1)) as pool:
            flushes = {target: pool.submit(sync_file, path) for target, path in temporary.items()}
            for target, flush in flushes.items():
                current = target
                flush.result()
        while temporary:
            current = next(iter(temporary))
            temporary[current].replace(current)
            del temporary[current]
    except OSError as problem:
        raise LurkError(
            f"cannot write {str(current)!r} ({problem.strerror or problem})",
            (
                "free some space and start the same command again, which resumes, or choose another ",
                Option("out"),
            ),
        ) from problem
    finally:
        for path in temporary.values():
            with suppress(OSError):  # on a disk that became read-only; the error above says why
                path.unlink()


def sync_file(path: Path) -> None:
    """Flush the content of a file to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that a killed process left in a folder and its subfolders."""
    for path in folder.rglob(f".*{TEMPORARY_SUFFIX}"):
        with suppress(OSError):
            path.unlink()


def write_json(path: Path, record: object) -> None:
    """Write a record of the format: compact, with sorted keys, in one line, as UTF-8.

    Raises:
        LurkError: The file cannot be written.
    """
    write_bytes(path, encode_json(record))


def encode_json(record: object) -> bytes:
    """Return the content of a JSON file, see `write_json`."""
    return msgspec.json.encode(record, order="sorted") + b"\n"


def write_checksums(store: Path, changed: Iterable[str] | None = None) -> None:
    """Write `SHA256SUMS`: the digests of the store's JSON files, as `sha256sum --check` reads them.

    Args:
        store: Folder of the store.
        changed: Files whose digests are computed again, relative to the store; all by default.

    Raises:
        LurkError: The file cannot be written.
    """
    if changed is None:
        folders = ("layers", CIRCUITS, EXPANDED, SPECTRA)
        files = [*store.glob("*.json"), *(path for name in folders for path in store.glob(f"{name}/*.json"))]
        digests = {}
        changed = [path.relative_to(store).as_posix() for path in files if path != store / PROGRESS]
    else:
        digests = read_checksums(store)
    for name in changed:
        digests[name] = hashlib.sha256((store / name).read_bytes()).hexdigest()
    write_bytes(store / CHECKSUMS, "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode())


def write_json_with_checksum(store: Path, name: str, record: object) -> None:
    """Write a JSON file of a store, and then its digest.

    Raises:
        LurkError: A file cannot be written.
    """
    write_json(store / name, record)
    write_checksums(store, [name])


def check_writable(folder: Path) -> None:
    """Raise an error if a folder cannot be created or written to, before hours are spent.

    Raises:
        LurkError: The folder cannot be created or written to.
    """
    probe = folder / ".torchlurk-probe"
    write_bytes(probe, b"")
    with suppress(OSError):  # if the disk became read-only meanwhile, the next write reports it
        probe.unlink()


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Lock a folder against other runs, in this process and in others, within the context.

    The lock is the operating system's, on the folder itself: it needs no file, and ends with the process. It
    has no effect where the system or the file system does not support locks.

    Raises:
        LurkError: Another run holds the lock.
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
                f"another run ({_lock_holder(handle)}) is writing {str(folder)!r}",
                ("wait until it has ended, or choose another ", Option("out")),
            ) from problem
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


@contextmanager
def _waiting_lock(folder: Path) -> Iterator[None]:
    """Lock a folder within the context; wait while another process does."""
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


def _lock_holder(handle: int) -> str:
    """Return who holds the lock of an open file, as far as the system says."""
    status = os.fstat(handle)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        locks = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        locks = []
    for line in locks:
        fields = line.split()
        if device in fields and fields[1] == "FLOCK" and fields[fields.index(device) - 1] != "0":
            return f"process {fields[fields.index(device) - 1]}"
    return "of another process or machine"


def write_index(folder: Path) -> Index:
    """Write `index.json` of a folder of stores; runs that do so at the same time take turns.

    Args:
        folder: The parent folder of the stores.

    Returns:
        The index. Stores that cannot be read are left out.

    Raises:
        LurkError: The file cannot be written.
    """
    with _waiting_lock(folder):
        for temporary in folder.glob(f".index.json-*{TEMPORARY_SUFFIX}"):
            with suppress(OSError):
                temporary.unlink()  # left by a killed process, since all others wait
        networks = []
        for path in sorted(folder.glob("*/network.json")):
            try:
                manifest = read_manifest(path.parent)
            except LurkError:
                continue  # a damaged store beside this one must not make this run fail
            networks.append(NetworkEntry(name=manifest.name, title=manifest.title, path=path.parent.name))
        index = Index(format=FORMAT, networks=sorted(networks, key=lambda entry: entry.name))
        write_json(folder / "index.json", index)
    return index
