"""The pieces that a run has finished: a file each, under `partial/` of the store, until they are merged.

A piece is a shard of images for the scan, a block of filters for the other stages. Its file says what it
was computed from, as a digest, and carries the digest of its own content: a piece counts only if both are
as they should be, so what another configuration left, or a disk has damaged, is computed again.
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
"""The folder of a store that holds the pieces; it is gone when the stage is complete."""


class Header(Record, frozen=True):
    """The first line of a file: which piece, what it was computed from, and the digest of the rest."""

    format: Format
    piece: str
    config: Digest
    sha256: Digest


@dataclass(frozen=True)
class PartialResults:
    """The finished pieces of one kind of work.

    Attributes:
        store: the store's folder.
        work: such as `scan`.
        config: the digest of what they are computed from.
    """

    store: Path
    work: str
    config: str

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.store / PARTIAL / self.work

    def write(self, piece: str, content: bytes) -> None:
        """Keep a finished piece, by its name.

        Raises:
            LurkError: it cannot be written.
        """
        header = Header(FORMAT, piece, self.config, hashlib.sha256(content).hexdigest())
        write_bytes(self.folder / piece, msgspec.json.encode(header, order="sorted") + b"\n" + content)

    def has(self, piece: str) -> bool:
        """Whether a piece is there, by its name and its first line; whether it is whole, `read` finds out."""
        try:
            with (self.folder / piece).open("rb") as file:
                return self._fits(file.readline(), piece)
        except OSError:
            return False

    def read(self, piece: str) -> bytes:
        """The content of a piece.

        Raises:
            LurkError: it is not there, is damaged, or was computed from something else.
        """
        path = self.folder / piece
        try:
            line, _, content = path.read_bytes().partition(b"\n")
        except OSError as problem:
            raise LurkError(
                f"cannot read {str(path)!r} ({problem.strerror or problem}): start the same command again"
            ) from problem
        header = _header(line)
        if header is None or hashlib.sha256(content).hexdigest() != header.sha256:
            raise LurkError(f"{str(path)!r} is damaged: start the same command again, which computes it anew")
        if not self._fits(line, piece):
            raise LurkError(
                f"{str(path)!r} was computed with other options: start the same command again, "
                "which computes it anew"
            )
        return content

    def collect_valid(self, pieces: Iterable[str], report: Callable[[str], None]) -> set[str]:
        """Which of some pieces are there, whole; what else lies in their places is told of, and removed."""
        found = set()
        for piece in pieces:
            path = self.folder / piece
            if not path.exists():
                continue
            try:
                self.read(piece)
                found.add(piece)
            except LurkError as problem:
                report(
                    str(problem).replace("start the same command again, which computes", "this run computes")
                )
                with suppress(OSError):
                    path.unlink()
        return found

    def _fits(self, line: bytes, piece: str) -> bool:
        header = _header(line)
        return header is not None and (header.piece, header.config) == (piece, self.config)

    def names(self) -> set[str]:
        """The pieces that lie there, whatever they were computed from."""
        return {
            (Path(folder) / name).relative_to(self.folder).as_posix()
            for folder, _, files in os.walk(self.folder)
            for name in files
            if not name.startswith(".")
        }

    def remove(self, pieces: Iterable[str]) -> None:
        """Remove some pieces, when what they were for is in the store."""
        for piece in pieces:
            # What stays is of no harm, and a disk that cannot be written is told of by the next writing.
            with suppress(OSError):
                (self.folder / piece).unlink()

    def remove_all(self) -> None:
        """Remove all pieces, when what they were for is in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # others may lie there
            self.folder.parent.rmdir()


def _header(line: bytes) -> Header | None:
    try:
        return msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def count_partial_results(store: Path) -> dict[str, int]:
    """How many pieces of each kind of work wait in a store to be merged."""
    found: dict[str, int] = {}
    for folder, _, files in os.walk(store / PARTIAL):
        whole = [name for name in files if not name.startswith(".")]
        if whole:
            work = Path(folder).relative_to(store / PARTIAL).parts[0]
            found[work] = found.get(work, 0) + len(whole)
    return dict(sorted(found.items()))


def digest_records(*parts: object) -> str:
    """The sha256, in hex, of records of the format and plain values."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
