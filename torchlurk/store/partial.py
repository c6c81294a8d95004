"""Partial results of a run: one file each, in `partial/` of the store, until they are merged.

A partial result is that of a shard of images in the scan, or of a block of filters in the other stages. The
first line of its file has the digest of what it was computed from, and the digest of the content. It is valid
only if both are as expected, so what another configuration left behind, or a disk damaged, is computed again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from torchlurk.errors import LurkError
from torchlurk.store.schema import FORMAT, Digest, Format, Record
from torchlurk.store.write import write_bytes

PARTIAL = "partial"
"""Folder of the partial results in a store; it is removed when the stage is complete."""


class Header(Record, frozen=True):
    """The first line of a file.

    Attributes:
        format: Number of the format.
        piece: Name of the partial result.
        config: Digest of what it was computed from.
        sha256: Digest of the rest of the file.
    """

    format: Format
    piece: str
    config: Digest
    sha256: Digest


@dataclass(frozen=True)
class PartialResults:
    """The partial results of one kind of work.

    Attributes:
        store: Folder of the store.
        work: Kind of work, such as `scan`.
        config: Digest of what they are computed from.
    """

    store: Path
    work: str
    config: str

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.store / PARTIAL / self.work

    def write(self, name: str, content: bytes) -> None:
        """Write a partial result.

        Args:
            name: Its name, a path in the folder.
            content: Its content.

        Raises:
            LurkError: It cannot be written.
        """
        header = Header(FORMAT, name, self.config, hashlib.sha256(content).hexdigest())
        write_bytes(self.folder / name, msgspec.json.encode(header, order="sorted") + b"\n" + content)

    def has(self, name: str) -> bool:
        """Return whether a partial result exists, by its first line; only `read` checks the content."""
        try:
            with (self.folder / name).open("rb") as file:
                return self._matches(_decode_header(file.readline()), name)
        except OSError:
            return False

    def read(self, name: str) -> bytes:
        """Return the content of a partial result.

        Raises:
            LurkError: It is missing or damaged, or was computed with other options.
        """
        try:
            return self._read_valid(name)
        except LurkError as problem:
            raise LurkError(
                problem.message, "start the same command again, which computes it anew"
            ) from problem

    def collect_valid(self, names: Iterable[str], report: Callable[[str], None]) -> set[str]:
        """Return the names of the valid partial results; report and delete the invalid ones.

        Args:
            names: Names of the partial results to look for.
            report: Prints a line.
        """
        valid = set()
        for name in names:
            path = self.folder / name
            if not path.exists():
                continue
            try:
                self._read_valid(name)
                valid.add(name)
            except LurkError as problem:
                report(f"{problem}; this run computes it anew")
                with suppress(OSError):
                    path.unlink()
        return valid

    def names(self) -> set[str]:
        """Return the names of all files, valid or not."""
        return {
            (Path(folder) / name).relative_to(self.folder).as_posix()
            for folder, _, files in os.walk(self.folder)
            for name in files
            if not name.startswith(".")
        }

    def remove(self, names: Iterable[str]) -> None:
        """Remove partial results after they have been merged into the store."""
        for name in names:
            # A file that remains does no harm, and the next write reports a disk that is read-only.
            with suppress(OSError):
                (self.folder / name).unlink()

    def remove_all(self) -> None:
        """Remove all partial results of this kind of work."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # not empty: it holds those of other kinds of work
            self.folder.parent.rmdir()

    def _read_valid(self, name: str) -> bytes:
        """Return the content of a partial result, or raise an error without a hint."""
        path = self.folder / name
        try:
            line, _, content = path.read_bytes().partition(b"\n")
        except OSError as problem:
            raise LurkError(f"cannot read {str(path)!r} ({problem.strerror or problem})") from problem
        header = _decode_header(line)
        if header is None or hashlib.sha256(content).hexdigest() != header.sha256:
            raise LurkError(f"{str(path)!r} is damaged")
        if not self._matches(header, name):
            raise LurkError(f"{str(path)!r} was computed with other options")
        return content

    def _matches(self, header: Header | None, name: str) -> bool:
        return header is not None and (header.piece, header.config) == (name, self.config)


def _decode_header(line: bytes) -> Header | None:
    try:
        return msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def count_partial_results(store: Path) -> dict[str, int]:
    """Return the number of partial results in a store by kind of work, sorted by name."""
    counts: dict[str, int] = {}
    for folder, _, files in os.walk(store / PARTIAL):
        names = [name for name in files if not name.startswith(".")]
        if names:
            work = Path(folder).relative_to(store / PARTIAL).parts[0]
            counts[work] = counts.get(work, 0) + len(names)
    return dict(sorted(counts.items()))


def digest_records(*parts: object) -> str:
    """Return the SHA-256 digest of records of the format and plain values, in hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
