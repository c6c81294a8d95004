"""Building a site: stores, comparisons and the page in one folder that any static host can serve.

All URLs in the folder are relative, so it works under any path.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from torchlurk.errors import LurkError, Option
from torchlurk.runtime.resources import site_folder
from torchlurk.store.comparison import COMPARISON, COMPARISONS, ComparisonEntry, ComparisonRecord, Comparisons
from torchlurk.store.comparisons import open_comparison, open_matching, sort_folders
from torchlurk.store.previews import PREVIEW_THUMBS, PREVIEWS, make_previews
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import (
    CIRCUITS,
    EXPANDED,
    FORMAT,
    IMAGES,
    PICTURE_KINDS,
    PICTURES,
    SPECTRA,
    THUMBS,
    Index,
    Manifest,
    NetworkEntry,
)
from torchlurk.store.write import write_bytes, write_json
from torchlurk.web.page import STORES_FOLDER, render_page, static_files
from torchlurk.web.sizes import FIRST_VIEW, FileTotals, measure_site

SITE_MARKER = ".torchlurk-site"
"""File that marks a folder as a site, which may be replaced."""


@dataclass(frozen=True)
class SiteReport:
    """What `build_site` wrote.

    Attributes:
        out: Folder of the site.
        networks: Names of the stores.
        comparisons: Names of the comparisons.
        kinds: Totals of the files by kind.
        left_out: Why some comparisons were left out.
        warnings: Sizes that hosts refuse.
    """

    out: Path
    networks: tuple[str, ...]
    comparisons: tuple[str, ...]
    kinds: dict[str, FileTotals]
    left_out: tuple[LurkError, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> FileTotals:
        """Totals over all files."""
        return sum(self.kinds.values(), FileTotals())

    @property
    def first_view_gzip_bytes(self) -> int:
        """Compressed size of what a visitor loads before any data or picture."""
        return sum(self.kinds[kind].gzip_bytes for kind in FIRST_VIEW if kind in self.kinds)


@dataclass(frozen=True)
class _Store:
    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name


@dataclass(frozen=True)
class _Comparison:
    folder: Path
    record: ComparisonRecord

    @property
    def name(self) -> str:
        return self.record.name


def build_site(folders: Sequence[Path], out: Path, optional: Sequence[Path] = ()) -> SiteReport:
    """Write a folder that any static host can serve.

    The site is built beside `out` and swapped in at the end, so a failed build leaves `out` unchanged.

    Args:
        folders: Stores, and comparisons of them. The page opens with the first store.
        out: Folder to write: a new or empty one, or an earlier site.
        optional: More comparisons. Those that do not match the stores are left out.

    Returns:
        What was written, with warnings about comparisons that were left out and sizes that hosts refuse.

    Raises:
        LurkError: A store or a comparison cannot be read, a comparison does not match the stores, two of them
            have the same name, or `out` cannot be used.
    """
    store_folders, comparison_folders = sort_folders([Path(folder) for folder in folders])
    if not store_folders:
        raise LurkError("no store given", "a site needs at least one; run torchlurk precompute first")
    stores = [_open_store(folder) for folder in store_folders]
    _check_store_names(stores)
    manifests = {store.name: store.manifest for store in stores}
    required = {folder: open_comparison(folder, manifests) for folder in comparison_folders}
    matching, left_out = open_matching([f for f in optional if f not in required], manifests)
    comparisons = [_Comparison(folder, record) for folder, record in {**required, **matching}.items()]
    _check_comparison_names(comparisons)
    out = Path(out).absolute()
    _check_out(out, [*(store.folder for store in stores), *(c.folder.resolve() for c in comparisons)])
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.new-", dir=out.parent))
    except OSError as problem:
        raise LurkError(
            f"cannot write {str(out)!r} ({problem.strerror})", "choose another folder"
        ) from problem
    try:
        temporary.chmod(0o755)
        _write_site(stores, comparisons, temporary)
        kinds, warnings = measure_site(temporary)
        _swap(temporary, out)
    except OSError as problem:
        raise LurkError(
            f"cannot write {str(problem.filename or out)!r} ({problem.strerror})",
            "free some space or choose another folder",
        ) from problem
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return SiteReport(
        out=out,
        networks=tuple(store.name for store in stores),
        comparisons=tuple(comparison.name for comparison in comparisons),
        kinds=kinds,
        left_out=tuple(left_out),
        warnings=tuple(warnings),
    )


def _open_store(folder: Path) -> _Store:
    manifest = read_manifest(folder)
    name = manifest.name
    if name in ("", ".", "..", "index.json", COMPARISONS) or re.search(r"[/\\\0]", name):
        raise LurkError(
            f"the store {str(folder)!r} is named {name!r}, which cannot be a folder", "compute it again"
        )
    if not manifest.stages.scan.complete:
        raise LurkError(
            f"the store {str(folder)!r} cannot be published: its scan is not complete",
            "start the same precompute command again",
        )
    return _Store(folder.resolve(), manifest)


def _check_store_names(stores: Sequence[_Store]) -> None:
    for first, second in pairwise(sorted(stores, key=lambda store: store.name)):
        if first.name == second.name:
            raise LurkError(
                f"the stores {str(first.folder)!r} and {str(second.folder)!r} are both named {first.name!r}",
                ("a site needs distinct names; compute one of them with another ", Option("out")),
            )


def _check_comparison_names(comparisons: Sequence[_Comparison]) -> None:
    for first, second in pairwise(sorted(comparisons, key=lambda comparison: comparison.name)):
        if first.name == second.name:
            raise LurkError(
                f"the comparisons {str(first.folder)!r} and {str(second.folder)!r} are the same or have the "
                f"same name",
                "leave one of them out",
            )


def _check_out(out: Path, folders: Sequence[Path]) -> None:
    """Raise an error unless `out` is a new or empty folder or a site, apart from stores and comparisons."""
    path = repr(str(out))
    target = out.resolve()
    for folder in folders:
        kind = "comparison" if (folder / COMPARISON).is_file() else "store"
        if target.is_relative_to(folder):
            raise LurkError(f"{path} is inside the {kind} {str(folder)!r}", "choose a folder outside it")
        if folder.is_relative_to(target):
            raise LurkError(f"{path} contains the {kind} {str(folder)!r}", "choose another folder")
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise LurkError(f"{path} is not a plain folder", "choose another name")
    try:
        filled = any(out.iterdir())
    except OSError as problem:
        raise LurkError(f"cannot read {path} ({problem.strerror})", "choose another folder") from problem
    if filled and not (out / SITE_MARKER).is_file():
        raise LurkError(
            f"{path} is neither empty nor an earlier site (it has no file {SITE_MARKER})",
            "choose another folder or empty this one",
        )


def _write_site(stores: Sequence[_Store], comparisons: Sequence[_Comparison], folder: Path) -> None:
    source = site_folder()
    names = static_files(source)
    for name in names:
        _copy(source / name, folder / name)
    (folder / "index.html").write_text(render_page(source, names), encoding="utf-8")
    (folder / ".nojekyll").touch()
    (folder / SITE_MARKER).write_text("A folder that torchlurk wrote and may replace.\n", encoding="utf-8")
    root = folder / STORES_FOLDER
    for store in stores:
        for path in _published_files(store.folder):
            # A run removes packs that it has replaced.
            with suppress(FileNotFoundError):
                _link(path, root / store.name / path.relative_to(store.folder))
        previews, thumbs = make_previews(store.folder, store.manifest)
        write_bytes(root / store.name / PREVIEW_THUMBS, thumbs)
        write_json(root / store.name / PREVIEWS, previews)
    for comparison in comparisons:
        for name in (COMPARISON, *(layer.data for layer in comparison.record.layers)):
            _link(comparison.folder / name, root / comparison.name / name)
    networks = [NetworkEntry(name=s.name, title=s.manifest.title, path=s.name) for s in stores]
    write_json(root / "index.json", Index(format=FORMAT, networks=networks))
    entries = [
        ComparisonEntry(name=comparison.name, title=comparison.record.title, path=comparison.name)
        for comparison in sorted(comparisons, key=lambda comparison: comparison.name)
    ]
    write_json(root / COMPARISONS, Comparisons(format=FORMAT, comparisons=entries))


def _published_files(store: Path) -> Iterator[Path]:
    """Yield the files of a store that the format names, and no others.

    Packs are yielded before the JSON that names them, as a run may remove them meanwhile, and again after it,
    as the run may have written others.
    """
    packs = [f"{IMAGES}/*.bin", f"{PICTURES}/*/*.bin", f"{THUMBS}/*/*.bin"]
    # A store of format 1 has a file for each picture.
    packs += [f"{IMAGES}/*.jpg", *(f"{folder}/*/*.jpg" for folder in PICTURE_KINDS)]
    # What a manifest says is complete exists already when the manifest is read.
    folders = ("layers", CIRCUITS, EXPANDED, SPECTRA)
    data = ("network.json", "images.json", "classes.json", *(f"{folder}/*.json" for folder in folders))
    for pattern in (*packs, *data, *packs):
        for path in sorted(p for p in store.glob(pattern) if p.is_file() and p.name[0] != "."):
            # In a store from somewhere else, a link could publish any file of this machine.
            if not path.resolve().is_relative_to(store):
                raise LurkError(
                    f"{str(path)!r} is a link to a file outside the store, which would be published",
                    "remove it",
                )
            yield path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where that is not possible; do nothing if the target exists."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.is_symlink():
            raise OSError
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _swap(new: Path, out: Path) -> None:
    """Replace `out` by `new`; restore it if that fails."""
    if not out.exists():
        new.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old-", dir=out.parent))
    try:
        out.rename(old / "site")
        try:
            new.rename(out)
        except OSError:
            (old / "site").rename(out)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
