"""A fixed subset of tiny-ImageNet's training images, from Stanford's archive."""

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
from torchlurk.errors import LurkError

_URL: Final = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_SHA256: Final = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"
_PER_CLASS_MAX: Final = 500
_ADVICE: Final = "fetch it by hand and give --archive ZIP"
# only names of this form leave the archive, so none can lead out of the folder
_IMAGE: Final = re.compile(r"tiny-imagenet-200/train/(n\d{8})/images/(\1_\d+\.JPEG)", re.ASCII)
_WORDS: Final = "tiny-imagenet-200/words.txt"
# an image has about 2 kB and words.txt 2.7 MB: what claims far more would fill the disk
_IMAGE_BYTES_MAX: Final = 1 << 20
_WORDS_BYTES_MAX: Final = 1 << 24
_MARKER: Final = ".tiny-imagenet.json"


@dataclass(frozen=True)
class TinyImageNetSubset:
    """What was unpacked.

    Attributes:
        out: The folder.
        classes: How many there are.
        images: How many, in all classes.
        fresh: Whether this call unpacked them; else they were there.
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
    """Unpack the same few images of each class, on every machine.

    Args:
        out: Gets `<wnid>/<wnid>_<n>.JPEG` and `classes.txt` (wnid, tab, words). It must be new,
            empty, or what an earlier call made.
        per_class: Images of each class, 1 to 500; a smaller number is a subset of a larger.
        archive: A local copy of the archive; None downloads it into `cache`.
        cache: A folder for the archive, 248 MB.
        report: PreprocessLike, in a line, what takes long.
        progress: Whether a download draws a bar on stderr.
        url: Where the archive is.
        sha256: Of the archive at `url`, in hex.

    Returns:
        What is now in `out`.

    Raises:
        LurkError: `per_class` is out of range, `out` holds something else, or the archive cannot
            be had or is another.
    """
    if not 1 <= per_class <= _PER_CLASS_MAX:
        raise LurkError(f"--per-class {per_class}: the archive has 1 to {_PER_CLASS_MAX} of a class")
    try:
        earlier = _earlier(out)
    except OSError as error:
        raise LurkError(f"--out {out} cannot be read ({error.strerror}): give another") from None
    if earlier is not None and earlier.get("per_class") == per_class:
        return TinyImageNetSubset(out, earlier["classes"], earlier["images"], fresh=False)
    if archive is None:
        archive = cache / "downloads" / "tiny-imagenet-200.zip"
        if archive.exists() and not _is_whole(archive, sha256):
            report(f"{archive} is damaged: downloading it again")
            archive.unlink()
        if not archive.exists():
            report(f"downloading {url} (248 MB, once) to {archive}")
            download(url, archive, sha256=sha256, advice=_ADVICE, progress=progress)
    try:
        with zipfile.ZipFile(archive) as source:
            return _unpack(source, archive, out, per_class)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise LurkError(
            f"{archive} cannot be unpacked into {out} ({error}): give a whole tiny-imagenet-200.zip"
        ) from None


def _is_whole(archive: Path, sha256: str) -> bool:
    """Whether a file is the one that is known."""
    try:
        with archive.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest() == sha256
    except OSError as error:
        raise LurkError(f"{archive} cannot be read ({error.strerror}): {_ADVICE}") from None


def choose_images(names: list[str], per_class: int) -> dict[str, list[tuple[str, str]]]:
    """Choose images from an archive's names, by the sha256 of each file's own name.

    A hash scatters the choice over the class, where the first by number may be near-duplicates,
    and needs no random generator to stay the same for ever.

    Args:
        names: Everything in the archive.
        per_class: How many of each class.

    Returns:
        By class, the chosen (name in the archive, file name), sorted; fewer where there are fewer.
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


def _earlier(out: Path) -> dict[str, int] | None:
    """Read the mark of an earlier result; refuse a folder that holds anything else.

    Returns:
        The mark, empty where images are gone since; None where the folder is new or empty.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    refusal = LurkError(f"--out {out} holds other files: give a new or an empty folder")
    if not out.is_dir():
        raise refusal
    try:
        mark: dict[str, int] = json.loads((out / _MARKER).read_text(encoding="utf-8"))
        is_consecutive = {key: int(mark[key]) for key in ("per_class", "classes", "images")}
    except (OSError, ValueError, TypeError, LookupError):
        raise refusal from None
    images = 0
    for path in out.rglob("*"):
        inside = path.relative_to(out).as_posix()
        if path.is_dir() or inside in (_MARKER, "classes.txt"):
            continue
        if not re.fullmatch(r"(n\d{8})/\1_\d+\.JPEG", inside):
            raise refusal  # replacing the folder would delete the user's own file
        images += 1
    complete = images == is_consecutive["images"] and (out / "classes.txt").exists()
    return is_consecutive if complete else {}


def _unpack(source: zipfile.ZipFile, archive: Path, out: Path, per_class: int) -> TinyImageNetSubset:
    """Unpack beside `out`, then rename, so that `out` is whole or as it was."""
    chosen = choose_images(source.namelist(), per_class)
    if not chosen or _WORDS not in source.namelist():
        raise LurkError(
            f"{archive} is not tiny-ImageNet: it has no tiny-imagenet-200/train/<class>/images "
            f"or no {_WORDS}; give Stanford's tiny-imagenet-200.zip"
        )
    for wnid, files in chosen.items():
        if len(files) < per_class:
            raise LurkError(
                f"{archive} has {len(files)} images of {wnid}: give --per-class {len(files)} or "
                "fewer, or the whole archive"
            )
    text = _read(source, _WORDS, _WORDS_BYTES_MAX).decode(errors="replace")
    words = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f"{out.name}.part-") as folder:
        made = Path(folder) / "made"
        for wnid, files in chosen.items():
            (made / wnid).mkdir(parents=True)
            for name, file in files:
                (made / wnid / file).write_bytes(_read(source, name, _IMAGE_BYTES_MAX))
        lines = (f"{wnid}\t{words.get(wnid, wnid).strip()}\n" for wnid in chosen)
        (made / "classes.txt").write_text("".join(lines), encoding="utf-8", newline="\n")
        report = TinyImageNetSubset(out, len(chosen), len(chosen) * per_class, fresh=True)
        mark = {"per_class": per_class, "classes": report.classes, "images": report.images}
        (made / _MARKER).write_text(json.dumps(mark) + "\n", encoding="utf-8")
        if out.exists():
            shutil.move(out, Path(folder) / "old")
        made.rename(out)
    return report


def _read(source: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Read a member; zipfile checks its CRC.

    Raises:
        zipfile.BadZipFile: It is damaged or far too large.
    """
    if source.getinfo(name).file_size > most:
        raise zipfile.BadZipFile(f"{name} claims more than {most:,} bytes")
    return source.read(name)
