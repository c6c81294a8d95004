"""Which files of a folder are read as images, by their suffixes, and which are images that are not read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image

from torchlurk.datasets.decode import FORMATS
from torchlurk.datasets.images import NOT_READ
from torchlurk.datasets.limits import BadImage, open_plain

NO_IMAGES: Final = frozenset(("BUFR", "GRIB", "HDF5", "MPEG", "PDF"))
"""What Pillow knows besides images."""

OTHERS: Final = {
    "HEIF": "heic heif heics heifs hif",
    "AVIF": "avif avifs",
    "WebP": "webp",
    "SVG": "svg svgz",
    "JPEG XL": "jxl",
    "JPEG XR": "jxr wdp hdp",
    "JPEG 2000": "jp2 j2k j2c jpc jpf jpx jpm",
    "camera raw": "raw 3fr arw cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef nrw orf pef ptx "
    "raf rw2 rwl sr2 srf srw x3f",
    "Photoshop": "psd psb",
    "GIMP": "xcf",
    "Krita": "kra",
    "OpenRaster": "ora",
    "Illustrator": "ai",
    "OpenEXR": "exr",
    "Radiance HDR": "hdr",
    "DICOM": "dcm dicom",
    "NIfTI": "nii nii.gz",
    "microscopy": "czi lif lsm nd2 ndpi scn svs",
    "BPG": "bpg",
    "FLIF": "flif",
}
"""Formats of images that are not read, or not by every Pillow, and their suffixes."""

_SIDE = """
    7z aae bat bib bz2 cfg conf css csv dat db doc docx gz htm html ini ipynb jar js json jsonl
    license lnk log lst m mat md md5 names npy npz ods odt onnx parquet pickle pkl ppt pptx pt pth
    py pyc rar rst rtf safetensors sh sha1 sha256 sqlite tar tex tgz toml ts tsv txt url xls xlsx
    xml xmp xz yaml yml zip
"""
SIDE: Final = frozenset(f".{suffix}" for suffix in _SIDE.split())
"""Suffixes of what lies beside images and is none: texts, tables, programs, archives."""

JUNK: Final = frozenset(
    (
        "@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot",
        "$recycle.bin", "recycler", "recycled", "system volume information", "lost+found", "__macosx",
        "__pycache__", "network trash folder", "temporary items",
    )
)  # fmt: skip
"""Folders that systems and programs make, in lower case; those that begin with a dot are hidden anyway."""

_BEGINNINGS: Final = (
    (0, b"\xff\xd8\xff", "JPEG", ".jpg"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG", ".png"),
    (0, b"GIF8", "GIF", ".gif"),
    (0, b"II*\0", "TIFF", ".tif"),
    (0, b"MM\0*", "TIFF", ".tif"),
    (8, b"WEBP", "WebP", ".webp"),
    (4, b"ftypavif", "AVIF", ".avif"),
    (4, b"ftyphei", "HEIF", ".heic"),
)
"""How the files of common formats begin: where, with what, their names and suffixes."""


@cache
def read_suffixes() -> frozenset[str]:
    """The suffixes of all formats that are decoded, in lower case, as Pillow has them."""
    # to Pillow, a JPEG with more JPEGs behind it is of a format of its own
    formats = {*FORMATS, "MPO"}
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in formats)


@cache
def _unread() -> dict[str, str]:
    """The formats of images that are not read, by suffix."""
    known = {suffix: kind for suffix, kind in Image.registered_extensions().items() if kind not in NO_IMAGES}
    known |= {f".{suffix}": kind for kind, suffixes in OTHERS.items() for suffix in suffixes.split()}
    return {suffix: kind for suffix, kind in known.items() if suffix not in read_suffixes()}


def suffix_of(name: str) -> str:
    """The suffix of a file's name, in lower case; empty if it has none."""
    suffix = Path(name).suffix.lower()
    return ".nii.gz" if suffix == ".gz" and name.lower().endswith(".nii.gz") else suffix


def is_read(name: str) -> bool:
    """Whether a file is read as an image, by its name."""
    return suffix_of(name) in read_suffixes()


def why_unread(file: Path) -> str | None:
    """Why a file that is not read may be missed by somebody who wanted all images.

    Args:
        file: A regular file, whose suffix is not among `read_suffixes`.

    Returns:
        The reason, if it is an image by its suffix or by its first bytes; an empty text if it may be one;
        None if it is an ordinary file that lies beside images.
    """
    suffix = suffix_of(file.name)
    if suffix in SIDE:
        return None
    kind = _unread().get(suffix)
    if kind:
        return f"{NOT_READ}the format {kind}"
    try:
        with open_plain(file) as handle:
            begin = handle.read(16)
    except (OSError, BadImage):
        begin = b""
    for at, mark, name, usual in _BEGINNINGS:
        if begin[at:].startswith(mark):
            return f"{NOT_READ}{name} whose name does not end in {usual}"
    return "" if suffix else None
