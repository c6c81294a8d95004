"""Rebuild data/photos from the pictures of the Debian package gcompris-qt-data.

    python data/collect_photos.py [--deb FILE] [--out FOLDER]

data/photo_choice.csv lists the selected pictures with their class and name. The selection is
manual: photographs only, no drawings, no two of the same shot. The author, the source and the
licence come from the READMEs next to the pictures in the package; its Debian copyright file
describes the pictures of an older release. The script stops if a selected picture lacks one of
them or has no free licence. It scales each picture to a short side of 256 pixels and saves it
as a JPEG without metadata. The same package and Pillow version give the same bytes.

Requires dpkg, and apt-get unless --deb names a package file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image, ImageCms, ImageOps

PACKAGE = "gcompris-qt-data"
VERSION = "3.1-2"
DEB_SHA256 = "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f"

SHORT_SIDE = 256
SMALLEST_SOURCE = 200  # a picture smaller than this would be upscaled too much
LARGEST_ASPECT = 2.2
JPEG_QUALITY = 82

HERE = Path(__file__).resolve().parent
CHOICE = HERE / "photo_choice.csv"
CREDITS_HEADER = ["file", "author", "title", "licence", "source"]

FIELD = re.compile(r"^(Copyright|Source|License|Licence|Files|Comments?|Title):\s*(.*)$")
UNNAMED_AUTHORS = {"", "anonymous", "unknown", "contributor", "el.wikipedia"}


class CollectError(Exception):
    """A picture or a package breaks a rule."""


@dataclass(frozen=True)
class Choice:
    """One row of the choice table: a picture of the package with its class and name here."""

    archive: str
    label: str
    name: str

    @property
    def file(self) -> str:
        """The picture's path below data/photos."""
        return f"{self.label}/{self.name}.jpg"


@dataclass(frozen=True)
class Credit:
    """The credit that a README of the package gives for one picture."""

    author: str
    licence: str
    source: str


def rcc_entries(blob: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of every file in a Qt resource archive.

    The format (versions 2 and 3) starts with a header that has the offsets of the tree, the data
    and the names. A tree node has 22 bytes. A directory points to a range of children, a file to
    its data, which is uncompressed, or zlib-compressed after a 4-byte length.
    """
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", blob)
    if magic != b"qres" or version not in (2, 3):
        raise CollectError(f"not a Qt resource archive of version 2 or 3: {magic!r} {version}")
    pending = [(0, PurePosixPath())]
    while pending:
        node, parent = pending.pop()
        name_at, flags, first, second = struct.unpack_from(">IHII", blob, tree + 22 * node)
        path = parent
        if node:  # the root has no name
            (length,) = struct.unpack_from(">H", blob, names + name_at)
            start = names + name_at + 6
            path = parent / blob[start : start + 2 * length].decode("utf-16-be")
        if flags & 2:  # a directory: first = number of children, second = their first node
            pending.extend((child, path) for child in range(second, second + first))
            continue
        (size,) = struct.unpack_from(">I", blob, data + second)
        content = blob[data + second + 4 : data + second + 4 + size]
        if flags & ~1:
            raise CollectError(f"{path}: unknown compression (flags {flags})")
        yield str(path), zlib.decompress(content[4:]) if flags & 1 else content


def read_package(deb: Path, requested: set[str]) -> dict[str, bytes]:
    """Return the requested pictures of the package, and every README, by path in the archives."""
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg", "-x", str(deb), folder], check=True)
        for archive in sorted(Path(folder).glob("usr/share/gcompris-qt/rcc/*.rcc")):
            for path, content in rcc_entries(archive.read_bytes()):
                if path in requested or PurePosixPath(path).name == "README":
                    found[path] = content
    missing = sorted(requested - found.keys())
    if missing:
        raise CollectError(f"not in the package: {', '.join(missing)}")
    return found


def parse_readme(text: str) -> dict[str, Credit]:
    """Return the credit of every file that a README names, by its path beside the README.

    Blank lines separate the blocks of a README. A block has one value per field, in any order;
    a value may continue on the following lines.
    """
    named: dict[str, Credit] = {}
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            match = FIELD.match(line.strip())
            if match:
                key = match[1].replace("Licence", "License")
                fields[key] = match[2].strip()
            elif key:
                fields[key] = f"{fields[key]} {line.strip()}".strip()
        credit = Credit(
            author=re.sub(r"^©\s*\d{4}\s*", "", fields.get("Copyright", "")),
            licence=fields.get("License", ""),
            source=fields.get("Source", ""),
        )
        for file in fields.get("Files", "").split():
            named[file] = credit
    return named


def licence_name(text: str) -> str:
    """Return the SPDX identifier of a free licence; raise CollectError for any other."""
    if text.lower() == "public domain":
        return "Public domain"
    if re.fullmatch(r"CC0(-1\.0)?", text):
        return "CC0-1.0"
    match = re.fullmatch(r"CC-(BY|BY-SA)[- ](\d\.\d)", text)
    if not match:
        raise CollectError(f"not a free licence: {text!r}")
    return f"CC-{match[1]}-{match[2]}"


def work_title(source: str, archive: str) -> str:
    """Return the title of the work from the URL of its source, or else from its file name."""
    address = urlsplit(source)
    page = unquote(address.path)
    if "/File:" in page:
        title = page.split("/File:", 1)[1].rsplit(".", 1)[0]
    elif "picture" in (query := parse_qs(address.query)):
        title = query["picture"][0].replace("-", " ")
    else:
        title = PurePosixPath(archive).stem
    return " ".join(title.replace("_", " ").split())


def credit_row(choice: Choice, package: dict[str, bytes]) -> list[str]:
    """Return the row of CREDITS.csv for one picture, from the README above it."""
    path = PurePosixPath(choice.archive)
    for folder in path.parents:
        readme = package.get(str(folder / "README"))
        if readme is not None:
            credit = parse_readme(readme.decode("utf-8")).get(str(path.relative_to(folder)))
            if credit is not None:
                break
    else:
        raise CollectError(f"{choice.archive}: not listed in any README")
    if credit.author.lower() in UNNAMED_AUTHORS or not credit.source:
        raise CollectError(f"{choice.archive}: no author or no source")
    try:
        licence = licence_name(credit.licence)
    except CollectError as error:
        raise CollectError(f"{choice.archive}: {error}") from None
    title = work_title(credit.source, choice.archive)
    return [choice.file, credit.author, title, licence, credit.source]


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert a picture to sRGB with its colour profile, and transparency to white."""
    image = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("RGB")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target)
        if converted is not None:
            image = converted
    return image


def to_jpeg(content: bytes) -> bytes:
    """Return a picture as a JPEG whose short side has 256 pixels, without metadata."""
    with Image.open(io.BytesIO(content)) as opened:
        image = to_srgb(opened)
    short, long = sorted(image.size)
    if short < SMALLEST_SOURCE or long > LARGEST_ASPECT * short:
        raise CollectError(f"too small or too elongated: {image.size}")
    size = (
        round(image.width * SHORT_SIDE / short),
        round(image.height * SHORT_SIDE / short),
    )
    clean = Image.new("RGB", size)  # a new picture has no metadata
    clean.paste(image.resize(size, Image.Resampling.LANCZOS))
    out = io.BytesIO()
    clean.save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0", optimize=True)
    return out.getvalue()


def read_choice(table: Path) -> list[Choice]:
    """Return the rows of the choice table, sorted by the file they make."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = [Choice(row["archive"], row["class"], row["name"]) for row in csv.DictReader(lines)]
    for column in ("archive", "file"):
        if len({getattr(row, column) for row in rows}) != len(rows):
            raise CollectError(f"{table}: two rows with the same {column}")
    return sorted(rows, key=lambda row: row.file)


def download(folder: Path) -> Path:
    """Fetch the package with apt-get into a folder and return its file."""
    subprocess.run(["apt-get", "download", f"{PACKAGE}={VERSION}"], cwd=folder, check=True)
    (deb,) = folder.glob("*.deb")
    return deb


def collect(deb: Path, out: Path) -> list[Path]:
    """Write the photographs and CREDITS.csv below `out`; return the photographs' files.

    All pictures are converted before the first file is written, so that an error leaves `out`
    unchanged. Photographs of an earlier run are removed.
    """
    if hashlib.sha256(deb.read_bytes()).hexdigest() != DEB_SHA256:
        raise CollectError(f"{deb} is not {PACKAGE} {VERSION}, which the choice table requires")
    choices = read_choice(CHOICE)
    package = read_package(deb, {choice.archive for choice in choices})
    rows = [credit_row(choice, package) for choice in choices]
    pictures: dict[Path, bytes] = {}
    for choice in choices:
        try:
            pictures[out / choice.file] = to_jpeg(package[choice.archive])
        except CollectError as error:
            raise CollectError(f"{choice.archive}: {error}") from None
    for old in out.glob("*/*.jpg"):
        old.unlink()
    for path, content in pictures.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with (out / "CREDITS.csv").open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines, lineterminator="\n").writerows([CREDITS_HEADER, *rows])
    return list(pictures)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Rebuild data/photos from gcompris-qt-data.")
    parser.add_argument("--deb", type=Path, help="the package's file (default: apt-get download)")
    parser.add_argument("--out", type=Path, default=HERE / "photos", help="where to write")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = collect(args.deb or download(Path(folder)), args.out)
    except CollectError as error:
        print(f"collect_photos: {error}", file=sys.stderr)
        return 1
    classes = {path.parent for path in files}
    total = sum(path.stat().st_size for path in files)
    print(f"{len(files)} photographs, {len(classes)} classes, {total} bytes in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
