"""Stores, comparisons of them and the site's files become one folder that any static host can serve.

Everything in the folder is referred to by relative URLs, so it works under any path.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import jinja2

from torchlurk.errors import LurkError
from torchlurk.runtime.resources import site_folder
from torchlurk.store.comparison import COMPARISON, COMPARISONS, ComparisonEntry, ComparisonRecord, Comparisons
from torchlurk.store.comparisons import open_comparison, open_matching, sort_folders
from torchlurk.store.previews import PREVIEWS, make_previews
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import FORMAT, PICTURE_KINDS, Index, Manifest, NetworkEntry
from torchlurk.store.write import write_json

TITLE = "Torchlurk"
SITE_MARKER = ".torchlurk-site"
STORES_FOLDER = "saved_model"
CSP = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'"
FIRST_VIEW = ("page", "styles", "scripts", "vendor")

_STATIC = ("css/**/*.css", "js/**/*.js", "vendor/**/*", "*.svg")
_TEXT = (".html", ".css", ".js", ".json", ".svg", ".md", ".txt", "")
_BIG_SITE = 10**9
_BIG_FILE = 100 * 10**6


@dataclass(frozen=True)
class Share:
    """What the files of one kind come to; `gzip_bytes` equals `bytes` for pictures."""

    files: int = 0
    bytes: int = 0
    gzip_bytes: int = 0

    def __add__(self, other: Share) -> Share:
        """The two together."""
        return Share(
            self.files + other.files,
            self.bytes + other.bytes,
            self.gzip_bytes + other.gzip_bytes,
        )


@dataclass(frozen=True)
class SiteReport:
    """What `build_site` wrote."""

    out: Path
    networks: tuple[str, ...]
    comparisons: tuple[str, ...]
    kinds: dict[str, Share]
    warnings: tuple[str, ...] = field(default=())

    @property
    def total(self) -> Share:
        """All kinds together."""
        return sum(self.kinds.values(), Share())

    @property
    def first_view_gzip_bytes(self) -> int:
        """What a visitor fetches before any data or picture, compressed."""
        return sum(self.kinds[kind].gzip_bytes for kind in FIRST_VIEW if kind in self.kinds)


@dataclass(frozen=True)
class _Store:
    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name


@dataclass(frozen=True)
class _Compared:
    folder: Path
    record: ComparisonRecord


def build_site(folders: Sequence[Path], out: Path, beside: Sequence[Path] = ()) -> SiteReport:
    """Write a folder that any static host can serve.

    The folder is built beside `out` and swapped in at the end: a failed build leaves `out` as
    it was.

    Args:
        folders: stores, each with a `network.json`, and comparisons of them; the page begins with the first
            store.
        out: the folder to write; absent, empty, or the result of an earlier call.
        beside: comparisons that nobody asked for by name: one that cannot be shown is left out.

    Returns:
        What was written, by kind, with warnings about what was left out, and about sizes that hosts refuse.

    Raises:
        LurkError: a store or a comparison cannot be read, a comparison is of other stores, two stores share
            a name, or `out` cannot be used.
    """
    stores, compared = sort_folders([Path(folder) for folder in folders])
    if not stores:
        raise LurkError("no store given: a site needs at least one; run `torchlurk precompute` first")
    opened = [_open(store) for store in stores]
    for one, two in pairwise(sorted(opened, key=lambda store: store.name)):
        if one.name == two.name:
            raise LurkError(
                f"{two.folder}: its network is named {two.name!r}, as is the one in {one.folder}; "
                "a site needs distinct names: precompute one of them into another folder (--out)"
            )
    manifests = {store.name: store.manifest for store in opened}
    asked = {folder: open_comparison(folder, manifests) for folder in compared}
    found, left_out = open_matching([folder for folder in beside if folder not in asked], manifests)
    comparisons = [_Compared(folder, record) for folder, record in {**asked, **found}.items()]
    _check_apart(comparisons)
    out = Path(out).absolute()
    _check_out(out, [*(store.folder for store in opened), *(one.folder.resolve() for one in comparisons)])
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.new-", dir=out.parent))
    except OSError as error:
        raise LurkError(f"{out}: cannot write there ({error.strerror}); choose another folder") from error
    try:
        fresh.chmod(0o755)
        _write(opened, comparisons, fresh)
        kinds, warnings = _weigh(fresh)
        _swap(fresh, out)
    except OSError as error:
        raise LurkError(
            f"{error.filename or out}: {error.strerror}; make room or choose another folder"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return SiteReport(
        out=out,
        networks=tuple(store.name for store in opened),
        comparisons=tuple(one.record.name for one in comparisons),
        kinds=kinds,
        warnings=(*(f"left out: {reason}" for reason in left_out), *warnings),
    )


def _open(folder: Path) -> _Store:
    manifest = read_manifest(folder)
    name = manifest.name
    if name in ("", ".", "..", "index.json", COMPARISONS) or re.search(r"[/\\\0]", name):
        raise LurkError(f"{folder}: its name is {name!r}, which cannot be a folder; precompute it again")
    if not manifest.stages.scan.complete:
        raise LurkError(f"{folder}: its scan is not complete; run the same `torchlurk precompute` again")
    return _Store(folder.resolve(), manifest)


def _check_apart(comparisons: Sequence[_Compared]) -> None:
    for one, two in pairwise(sorted(comparisons, key=lambda one: one.record.name)):
        if one.record.name == two.record.name:
            raise LurkError(
                f"{two.folder}: is named as the comparison in {one.folder} is, or is the same; name one"
            )


def _check_out(out: Path, folders: Sequence[Path]) -> None:
    real = out.resolve()
    for folder in folders:
        what = "comparison" if (folder / COMPARISON).is_file() else "store"
        if real.is_relative_to(folder):
            raise LurkError(f"{out}: lies in the {what} {folder}; choose a folder outside it")
        if folder.is_relative_to(real):
            raise LurkError(f"{out}: the {what} {folder} lies in it; choose another folder")
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise LurkError(f"{out}: is not a plain folder; choose another name")
    try:
        filled = any(out.iterdir())
    except OSError as error:
        raise LurkError(f"{out}: cannot be read ({error.strerror}); choose another folder") from error
    if filled and not (out / SITE_MARKER).is_file():
        raise LurkError(
            f"{out}: is neither empty nor an earlier site (no {SITE_MARKER} in it); "
            "choose another folder or empty this one"
        )


def _write(stores: Sequence[_Store], comparisons: Sequence[_Compared], fresh: Path) -> None:
    source = site_folder()
    names = static_files(source)
    for name in names:
        _copy(source / name, fresh / name)
    (fresh / "index.html").write_text(render_page(source, names), encoding="utf-8")
    (fresh / ".nojekyll").touch()
    (fresh / SITE_MARKER).write_text("A folder that torchlurk wrote and may replace.\n", encoding="utf-8")
    for store in stores:
        for path in _files(store.folder):
            _link(path, fresh / STORES_FOLDER / store.name / path.relative_to(store.folder))
        write_json(fresh / STORES_FOLDER / store.name / PREVIEWS, make_previews(store.folder, store.manifest))
    for one in comparisons:
        for name in (COMPARISON, *(layer.data for layer in one.record.layers)):
            _link(one.folder / name, fresh / STORES_FOLDER / one.record.name / name)
    networks = [NetworkEntry(name=s.name, title=s.manifest.title, path=s.name) for s in stores]
    write_json(fresh / STORES_FOLDER / "index.json", Index(format=FORMAT, networks=networks))
    listed = sorted((one.record for one in comparisons), key=lambda record: record.name)
    entries = [ComparisonEntry(name=one.name, title=one.title, path=one.name) for one in listed]
    write_json(fresh / STORES_FOLDER / COMPARISONS, Comparisons(format=FORMAT, comparisons=entries))


def static_files(source: Path) -> list[str]:
    """The files of the site that are served as they are: relative to its folder, with `/`."""
    found: list[Path] = []
    for pattern in _STATIC:
        found += sorted(path for path in source.glob(pattern) if path.is_file())
    return [path.relative_to(source).as_posix() for path in found]


def render_page(source: Path, names: Sequence[str], live: str | None = None) -> str:
    """The page: `index.html` of the site, filled in.

    Args:
        source: the site's folder.
        names: its static files.
        live: URL of what a live server tells of its stores; `None` for a site whose files do not change.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string((source / "index.html").read_text(encoding="utf-8")).render(
        title=TITLE,
        csp=CSP,
        index=f"{STORES_FOLDER}/index.json",
        live=live,
        modules=[name for name in names if re.fullmatch(r"js/(?!theme\.js|app\.js|types\.js).*\.js", name)],
    )


def _files(store: Path) -> Iterator[Path]:
    """The files that the format names, and no others."""
    patterns = ["network.json", "images.json", "classes.json", "images/*.jpg", "layers/*.json"]
    patterns += [f"{folder}/*/*.jpg" for folder in PICTURE_KINDS]
    for pattern in patterns:
        for path in sorted(p for p in store.glob(pattern) if p.is_file() and p.name[0] != "."):
            # Of a store that came from elsewhere, a link could publish any file of this machine.
            if not path.resolve().is_relative_to(store):
                raise LurkError(f"{path}: is a link out of the store, and would be published; take it out")
            yield path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.is_symlink():
            raise OSError
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _swap(fresh: Path, out: Path) -> None:
    if not out.exists():
        fresh.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old-", dir=out.parent))
    try:
        out.rename(old / "site")
        try:
            fresh.rename(out)
        except OSError:
            (old / "site").rename(out)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _kind(name: str) -> str:
    if name.startswith("vendor/"):
        return "vendor"
    if name.startswith(f"{STORES_FOLDER}/"):
        return "data" if name.endswith(".json") else "pictures"
    by_suffix = {".html": "page", ".css": "styles", ".js": "scripts"}
    return by_suffix.get(Path(name).suffix, "other")


def _weigh(fresh: Path) -> tuple[dict[str, Share], list[str]]:
    """What the files come to, by kind, and what of that hosts refuse."""
    kinds: dict[str, Share] = {}
    warnings: list[str] = []
    for path in sorted(path for path in fresh.rglob("*") if path.is_file()):
        name = path.relative_to(fresh).as_posix()
        size = path.stat().st_size
        text = path.suffix in _TEXT
        packed = len(gzip.compress(path.read_bytes(), 6, mtime=0)) if text else size
        kind = _kind(name)
        kinds[kind] = kinds.get(kind, Share()) + Share(1, size, packed)
        if size > _BIG_FILE:
            warnings.append(f"{name} has {size / 1e6:.0f} MB: GitHub refuses files over 100 MB")
    total = sum(share.bytes for share in kinds.values())
    if total > _BIG_SITE:
        warnings.append(f"the site has {total / 1e9:.1f} GB: GitHub Pages hosts 1 GB at most")
    return kinds, warnings
