"""A fixed subset of tiny-ImageNet's training images, from Stanford's archive."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torchlurk.datasets.download import download
from torchlurk.errors import LurkError, Option

_URL: Final = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_SHA256: Final = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"
_IMAGES_PER_CLASS: Final = 500
_HINT: Final = ("download it by hand and give the file with ", Option("archive"))
# Only names of this form are extracted, so none can lead out of the folder.
_IMAGE: Final = re.compile(r"tiny-imagenet-200/train/(n\d{8})/images/(\1_\d+\.JPEG)", re.ASCII)
_CLASS_NAMES: Final = "tiny-imagenet-200/words.txt"
# An image has about 2 kB and words.txt 2.7 MB; members that claim far more would fill the disk.
_MAX_IMAGE_BYTES: Final = 1 << 20
_MAX_CLASS_NAMES_BYTES: Final = 1 << 24
_MARKER: Final = ".tiny-imagenet.json"
"""The file that marks a folder as written by this module."""


@dataclass(frozen=True)
class TinyImageNetSubset:
    """A subset in a folder.

    Attributes:
        out: The folder.
        classes: Number of classes.
        images: Number of images, in all classes.
        fresh: Whether this call extracted the images; otherwise an earlier one did.
    """

    out: Path
    classes: int
    images: int
    fresh: bool


def fetch_tiny_imagenet(
    out: Path,
    *,
    per_class: int,
    archive: Path | None,
    cache: Path,
    report: Callable[[str], None],
    progress: bool = True,
    url: str = _URL,
    sha256: str = _SHA256,
) -> TinyImageNetSubset:
    """Extract a few images of each class, the same on every machine.

    Args:
        out: The folder for `<wnid>/<wnid>_<n>.JPEG` and `classes.txt` (wnid, tab, class name). It must be
            new, empty, or written by an earlier call.
        per_class: Images of each class, 1 to 500; the subset of a smaller number is part of that of a larger.
        archive: A local copy of the archive; `None` downloads it into `cache`.
        cache: Folder for the archive, 248 MB.
        report: Called with a line before steps that take long.
        progress: Whether a download draws a progress bar on stderr.
        url: Address of the archive.
        sha256: SHA-256 of the archive at `url`, in hex.

    Raises:
        LurkError: `per_class` is out of range, `out` holds other files, or the archive cannot be downloaded
            or is another one.
    """
    if not 1 <= per_class <= _IMAGES_PER_CLASS:
        raise LurkError(
            f"the archive has {_IMAGES_PER_CLASS} images of each class",
            f"choose 1 to {_IMAGES_PER_CLASS}",
            Option("per_class", per_class),
        )
    try:
        earlier = _read_marker(out)
    except OSError as error:
        raise LurkError(
            f"cannot be read ({error.strerror})", "choose another folder", Option("out", out)
        ) from None
    if earlier is not None and earlier.get("per_class") == per_class:
        return TinyImageNetSubset(out, earlier["classes"], earlier["images"], fresh=False)
    if archive is None:
        archive = cache / "downloads" / "tiny-imagenet-200.zip"
        if archive.exists() and not _is_whole(archive, sha256):
            report(f"{archive} is damaged, so it is downloaded again")
            archive.unlink()
        if not archive.exists():
            report(f"downloading {url} (248 MB, once) to {archive}")
            download(url, archive, sha256=sha256, hint=_HINT, progress=progress)
    try:
        with zipfile.ZipFile(archive) as source:
            return _extract(source, archive, out, per_class)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise LurkError(
            f"{archive} cannot be extracted to {out} ({error})", "give a complete tiny-imagenet-200.zip"
        ) from None


def _is_whole(archive: Path, sha256: str) -> bool:
    """Whether a file has the expected digest."""
    try:
        with archive.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest() == sha256
    except OSError as error:
        raise LurkError(f"{archive} cannot be read ({error.strerror})", _HINT) from None


def choose_images(names: list[str], per_class: int) -> dict[str, list[tuple[str, str]]]:
    """Choose images of an archive, by the SHA-256 of the name of each file.

    A hash spreads the choice over the class, where the first images by number may be near-duplicates, and
    gives the same choice forever without a random generator.

    Args:
        names: All names in the archive.
        per_class: Number of images of each class.

    Returns:
        By class, the chosen images as (name in the archive, file name), sorted; fewer where the class has
        fewer.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if match := _IMAGE.fullmatch(name):
            found.setdefault(match[1], {})[match[2]] = name
    return {
        wnid: sorted(
            (files[file], file)
            for file in sorted(files, key=lambda f: hashlib.sha256(f.encode()).digest())[:per_class]
        )
        for wnid, files in sorted(found.items())
    }


def _read_marker(out: Path) -> dict[str, int] | None:
    """Read the marker of an earlier call, and refuse a folder that holds other files.

    Returns:
        The marker, empty if images are missing; `None` if the folder is new or empty.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    refusal = LurkError("holds other files", "choose a new or an empty folder", Option("out", out))
    if not out.is_dir():
        raise refusal
    try:
        marker: dict[str, int] = json.loads((out / _MARKER).read_text(encoding="utf-8"))
        counts = {key: int(marker[key]) for key in ("per_class", "classes", "images")}
    except (OSError, ValueError, TypeError, LookupError):
        raise refusal from None
    images = 0
    for path in out.rglob("*"):
        inside = path.relative_to(out).as_posix()
        if path.is_dir() or inside in (_MARKER, "classes.txt"):
            continue
        if not re.fullmatch(r"(n\d{8})/\1_\d+\.JPEG", inside):
            raise refusal  # replacing the folder would delete a file of the user's
        images += 1
    complete = images == counts["images"] and (out / "classes.txt").exists()
    return counts if complete else {}


def _extract(source: zipfile.ZipFile, archive: Path, out: Path, per_class: int) -> TinyImageNetSubset:
    """Extract next to `out`, then rename, so that `out` is complete or unchanged."""
    chosen = choose_images(source.namelist(), per_class)
    if not chosen or _CLASS_NAMES not in source.namelist():
        raise LurkError(
            f"{archive} is not tiny-ImageNet: it lacks "
            f"tiny-imagenet-200/train/<class>/images or {_CLASS_NAMES}",
            "give Stanford's tiny-imagenet-200.zip",
        )
    for wnid, files in chosen.items():
        if len(files) < per_class:
            raise LurkError(
                f"{archive} has {len(files)} images of {wnid}",
                ("set ", Option("per_class", len(files)), " or fewer, or give the whole archive"),
            )
    text = _read(source, _CLASS_NAMES, _MAX_CLASS_NAMES_BYTES).decode(errors="replace")
    class_names = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f"{out.name}.part-") as folder:
        extracted = Path(folder) / "extracted"
        for wnid, files in chosen.items():
            (extracted / wnid).mkdir(parents=True)
            for name, file in files:
                (extracted / wnid / file).write_bytes(_read(source, name, _MAX_IMAGE_BYTES))
        lines = (f"{wnid}\t{class_names.get(wnid, wnid).strip()}\n" for wnid in chosen)
        (extracted / "classes.txt").write_text("".join(lines), encoding="utf-8", newline="\n")
        subset = TinyImageNetSubset(out, len(chosen), len(chosen) * per_class, fresh=True)
        marker = {"per_class": per_class, "classes": subset.classes, "images": subset.images}
        (extracted / _MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        if out.exists():
            shutil.move(out, Path(folder) / "old")
        extracted.rename(out)
    return subset


def _read(source: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Read a member of an archive; zipfile checks its CRC.

    Raises:
        zipfile.BadZipFile: The member is damaged or claims more than `limit` bytes.
    """
    if source.getinfo(name).file_size > limit:
        raise zipfile.BadZipFile(f"{name} claims more than {limit:,} bytes")
    return source.read(name)
