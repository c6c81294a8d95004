"""Sizes of a site's files: totals by kind, and warnings about sizes that hosts refuse."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

from torchlurk.web.page import STORES_FOLDER

FIRST_VIEW = ("page", "styles", "scripts")
"""Kinds of files that a visitor loads before any data or picture."""

_TEXT_SUFFIXES = (".html", ".css", ".js", ".json", ".svg", ".md", ".txt", "")
"""Suffixes of files that hosts compress."""

_MAX_SITE_BYTES = 10**9
_MAX_FILE_BYTES = 100 * 10**6


@dataclass(frozen=True)
class FileTotals:
    """Totals over some files.

    Attributes:
        files: Number of files.
        bytes: Size in bytes.
        gzip_bytes: Compressed size in bytes; the same as `bytes` for pictures.
    """

    files: int = 0
    bytes: int = 0
    gzip_bytes: int = 0

    def __add__(self, other: FileTotals) -> FileTotals:
        """Return the totals over the files of both."""
        return FileTotals(
            self.files + other.files,
            self.bytes + other.bytes,
            self.gzip_bytes + other.gzip_bytes,
        )


def measure_site(folder: Path) -> tuple[dict[str, FileTotals], list[str]]:
    """Measure the files of a site.

    Returns:
        Totals by kind, and warnings about sizes that hosts refuse.
    """
    kinds: dict[str, FileTotals] = {}
    warnings: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        size = path.stat().st_size
        is_text = path.suffix in _TEXT_SUFFIXES
        compressed = len(gzip.compress(path.read_bytes(), 6, mtime=0)) if is_text else size
        kind = _kind(name)
        kinds[kind] = kinds.get(kind, FileTotals()) + FileTotals(1, size, compressed)
        if size > _MAX_FILE_BYTES:
            warnings.append(f"{name} has {size / 1e6:.0f} MB; GitHub refuses files over 100 MB")
    total = sum(totals.bytes for totals in kinds.values())
    if total > _MAX_SITE_BYTES:
        warnings.append(f"the site has {total / 1e9:.1f} GB; GitHub Pages hosts at most 1 GB")
    return kinds, warnings


def _kind(name: str) -> str:
    if name.startswith(f"{STORES_FOLDER}/"):
        return "data" if name.endswith(".json") else "pictures"
    by_suffix = {".html": "page", ".css": "styles", ".js": "scripts"}
    return by_suffix.get(Path(name).suffix, "other")
