"""A folder of images -> what is in it, in an order that is the same on every machine."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from PIL import Image

from torchlurk.datasets.class_names import Words
from torchlurk.datasets.decode import decode
from torchlurk.datasets.file_tree import FileTree, list_files
from torchlurk.datasets.images import Skipped
from torchlurk.datasets.limits import BadImage, open_plain
from torchlurk.datasets.matching import Named, name_folders
from torchlurk.datasets.suffixes import read_suffixes, suffix_of
from torchlurk.errors import LurkError
from torchlurk.runtime.names import escape_surrogates

COMMON: Final = frozenset(("images", "train", "val", "valid", "validation", "test", "data"))
"""What folders of images are called whatever is in them: the folder above says more."""

SPLITS: Final = frozenset(
    ("train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "evaluation")
)
"""What parts of a data set are called, each of which has all the classes."""

READING: Final = 8
"""Files that are read at once for the digest."""

AT_ONCE: Final = 1024
"""Files that wait for that."""

LISTED: Final = 5
"""Names that a line lists."""


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, indexed.

    Attributes:
        name: The folder's own name, or that of the folder above where the own one is `COMMON`.
        paths: Relative to the folder, with forward slashes, sorted by their bytes; as readable text.
        labels: For each path, an index into `classes`.
        classes: The first-level subfolders that hold images, by name or by the words for it.
        digest: sha256 over the paths and the files' contents, in hex.
        root: The folder; it takes no part in comparisons, nor does the next.
        files: The paths as the file system has them, whose names need not be text.
        skipped: Images that lie there and are no part of it, as their formats are not read.
        notes: What was assumed and what is left out, a line each.
    """

    name: str
    paths: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    digest: str
    root: Path = field(repr=False, compare=False)
    files: tuple[str, ...] = field(repr=False, compare=False)
    skipped: tuple[Skipped, ...] = field(default=(), repr=False, compare=False)
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def file(self, at: int) -> Path:
        """Where an image lies."""
        return self.root / self.files[at]

    def open(self, at: int) -> Image.Image:
        """Decode an image to RGB.

        Raises:
            BadImage: It cannot be decoded.
        """
        return decode(self.file(at))

    def take(self, ids: Sequence[int]) -> Self:
        """The same folder with these images alone, in this order."""
        return replace(
            self,
            paths=tuple(self.paths[at] for at in ids),
            labels=tuple(self.labels[at] for at in ids),
            files=tuple(self.files[at] for at in ids),
            skipped=(),
            notes=(),
        )


def list_images(root: Path, *, words: Words | None = None, optional: bool = False) -> ImageFolder:
    """List the images of a folder and digest their bytes.

    A first-level subfolder is a class, at whatever depth below it its images lie. Images that lie beside such
    subfolders are a class of their own, the last, named after the folder; without subfolders all images are
    of that class. Hidden files, folders of other programs and files of other kinds are passed over; what a
    file really holds is seen when it is decoded.

    Args:
        root: The folder.
        words: What to call a subfolder, for those it names; or a name for each class, see `name_folders`.
        optional: Whether `words` may be for other folders, where there are no subfolders.

    Returns:
        The list; at least one image.

    Raises:
        LurkError: There is no such folder, it cannot be read, it holds no images, or `words` do not fit its
            classes.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise LurkError(f"image folder {str(root)!r} {what}: give a folder of images")
    tree = list_files(root)
    paths = tree.images
    if not paths:
        others = _unread_note(tree)
        suffixes = ", ".join(sorted(read_suffixes()))
        raise LurkError(
            f"image folder {str(root)!r} holds no images: looked for {suffixes} in it and in its subfolders, "
            f"one of them a class{others and f'; {others}'}"
        )
    name = set_name(root)
    # an image's class is the folder that it lies in, if any
    tops = [path.partition("/")[0] if "/" in path else None for path in paths]
    folders = sorted({top for top in tops if top is not None}, key=os.fsencode)
    position: dict[str | None, int] = {folder: index for index, folder in enumerate(folders)}
    position[None] = len(folders)
    loose = tops.count(None)
    named = _named(
        [escape_surrogates(folder) for folder in folders], name if loose else None, words, optional
    )
    told = [_unread_note(tree), _loose_note(name, loose, named.classes), _empty_note(tree, folders)]
    return ImageFolder(
        name=name,
        paths=tuple(map(escape_surrogates, paths)),
        labels=tuple(position[top] for top in tops),
        classes=named.classes,
        digest=digest_files(root, paths),
        root=root,
        files=tuple(paths),
        skipped=tree.skipped,
        notes=tuple(note for note in (*told, _depth_note(name, paths, folders), *named.notes) if note),
    )


def _named(folders: Sequence[str], loose: str | None, words: Words | None, optional: bool) -> Named:
    """Name the subfolders, and behind them the class of the images that lie in none."""
    if not folders and loose is not None:
        try:
            return name_folders([loose], words)
        except LurkError as problem:
            if not optional:
                raise
            return Named((loose,), (f"names of classes are not used: {problem}",))
    named = name_folders(folders, words)
    if loose is None:
        return named
    while loose in named.classes:
        loose = f"{loose} (no subfolder)"
    return Named((*named.classes, loose), named.notes)


def _unread_note(tree: FileTree) -> str:
    """How many files are not read, by suffix."""
    paths = [one.path for one in tree.skipped] + [escape_surrogates(path) for path in tree.unknown]
    if not paths:
        return ""
    counts = Counter(suffix_of(path) or "without a suffix" for path in paths).most_common()
    listed = ", ".join(f"{count} {suffix}" for suffix, count in counts[:LISTED])
    more = f", {sum(count for _, count in counts[LISTED:])} others" if len(counts) > LISTED else ""
    files = "1 file is" if len(paths) == 1 else f"{len(paths)} files are"
    return f"{files} skipped, of formats that are not read: {listed}{more}, such as {paths[0]!r}"


def _loose_note(name: str, loose: int, classes: Sequence[str]) -> str:
    """That there are images beside the subfolders, and of which class they are."""
    if not loose or len(classes) < 2:
        return ""
    images = "1 image lies" if loose == 1 else f"{loose} images lie"
    beside = "1 subfolder" if len(classes) == 2 else f"{len(classes) - 1} subfolders"
    return f"{images} directly in {name!r}, beside {beside} with images: scanned as the class {classes[-1]!r}"


def _empty_note(tree: FileTree, folders: Sequence[str]) -> str:
    """Which subfolders are no classes, as they hold no image that is read."""
    unread = [one.path for one in tree.skipped] + [escape_surrogates(path) for path in tree.unknown]
    tops = {path.partition("/")[0] for path in unread if "/" in path} | {
        escape_surrogates(top) for top in tree.empty
    }
    bare = sorted(tops - {escape_surrogates(folder) for folder in folders})
    if not bare or not folders:
        return ""
    listed = ", ".join(map(repr, bare[:LISTED])) + (", ..." if len(bare) > LISTED else "")
    what = "1 subfolder has" if len(bare) == 1 else f"{len(bare)} subfolders have"
    return f"{what} no images that are read, and no class: {listed}"


def _depth_note(name: str, paths: Sequence[str], folders: Sequence[str]) -> str:
    """That the classes may be one level further down."""
    inner = {tuple(path.split("/")[:2]) for path in paths if path.count("/") > 1}
    splits = bool(folders) and all(folder.lower() in SPLITS for folder in folders)
    if not inner or not (splits or (len(folders) == 1 and len(inner) > 1)):
        return ""
    listed = ", ".join(repr(escape_surrogates(folder)) for folder in folders)
    below = next(folder for folder in folders if any(top == folder for top, _ in inner))
    classes = "the class is the subfolder" if len(folders) == 1 else "the classes are the subfolders"
    below = escape_surrogates(below)
    return f"{classes} {listed} of {name!r}: for those inside as classes, give the folder {below!r} itself"


def set_name(root: Path) -> str:
    """Name the data set that lies in a folder."""
    root = root.resolve()  # so that "." has a name too
    if root.name.lower() in COMMON:
        root = root.parent if root.parent.name else root
    return escape_surrogates(root.name) or "images"


def digest_files(root: Path, paths: Sequence[str]) -> str:
    """Digest paths and contents; a file that cannot be an image counts by its path.

    Such are those that cannot be read, are empty, or so large that they are not decoded either.

    Args:
        root: The folder.
        paths: Of files, relative to it.

    Returns:
        A sha256 in hex.
    """
    total = hashlib.sha256()
    # Threads, as reading waits for the disk and hashing leaves the interpreter's lock: a data set of a
    # hundred gigabytes takes minutes rather than an hour.
    with ThreadPoolExecutor(READING) as pool:
        for begin in range(0, len(paths), AT_ONCE):
            # Some at a time: a pool keeps a kilobyte or two for each file that it is told of.
            some = paths[begin : begin + AT_ONCE]
            for path, content in zip(some, pool.map(lambda path: _content(root / path), some), strict=True):
                total.update(os.fsencode(path) + b"\0")
                total.update(content)
    return total.hexdigest()


def _content(path: Path) -> bytes:
    try:
        with open_plain(path) as handle:
            return hashlib.file_digest(handle, "sha256").digest()
    except (OSError, BadImage):
        return b"unreadable"
