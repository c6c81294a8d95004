"""File suffixes: those that are read as images, and those of images that are not read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image

from torchlurk.datasets.decode import FORMATS
from torchlurk.datasets.images import NOT_READ
from torchlurk.datasets.limits import BadImage, open_regular_file

_NOT_IMAGES: Final = frozenset(("BUFR", "GRIB", "HDF5", "MPEG", "PDF"))
"""Formats of Pillow that are not images."""

_UNSUPPORTED: Final = {
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
"""Suffixes of image formats that are not read, or that only some versions of Pillow read."""

_SIDECARS: Final = frozenset(
    [
        ".7z",
        ".aae",
        ".bat",
        ".bib",
        ".bz2",
        ".cfg",
        ".conf",
        ".css",
        ".csv",
        ".dat",
        ".db",
        ".doc",
        ".docx",
        ".gz",
        ".htm",
        ".html",
        ".ini",
        ".ipynb",
        ".jar",
        ".js",
        ".json",
        ".jsonl",
        ".license",
        ".lnk",
        ".log",
        ".lst",
        ".m",
        ".mat",
        ".md",
        ".md5",
        ".names",
        ".npy",
        ".npz",
        ".ods",
        ".odt",
        ".onnx",
        ".parquet",
        ".pickle",
        ".pkl",
        ".ppt",
        ".pptx",
        ".pt",
        ".pth",
        ".py",
        ".pyc",
        ".rar",
        ".rst",
        ".rtf",
        ".safetensors",
        ".sh",
        ".sha1",
        ".sha256",
        ".sqlite",
        ".tar",
        ".tex",
        ".tgz",
        ".toml",
        ".ts",
        ".tsv",
        ".txt",
        ".url",
        ".xls",
        ".xlsx",
        ".xml",
        ".xmp",
        ".xz",
        ".yaml",
        ".yml",
        ".zip",
    ]
)
"""Suffixes of files beside images that are not images: texts, tables, programs, archives."""

JUNK_FOLDERS: Final = frozenset(
    (
        "@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot",
        "$recycle.bin", "recycler", "recycled", "system volume information", "lost+found", "__macosx",
        "__pycache__", "network trash folder", "temporary items",
    )
)  # fmt: skip
"""Folders that operating systems and programs create, in lower case; hidden folders are ignored as well."""

_SIGNATURES: Final = (
    (0, b"\xff\xd8\xff", "JPEG", ".jpg"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG", ".png"),
    (0, b"GIF8", "GIF", ".gif"),
    (0, b"II*\0", "TIFF", ".tif"),
    (0, b"MM\0*", "TIFF", ".tif"),
    (8, b"WEBP", "WebP", ".webp"),
    (4, b"ftypavif", "AVIF", ".avif"),
    (4, b"ftyphei", "HEIF", ".heic"),
)
"""Signatures of common formats: offset, bytes, name and suffix."""


@cache
def supported_suffixes() -> frozenset[str]:
    """Return the suffixes of all formats that are decoded, in lower case, as Pillow registers them."""
    # To Pillow, a JPEG with more JPEGs behind it is a format of its own.
    formats = {*FORMATS, "MPO"}
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in formats)


@cache
def _unsupported_formats() -> dict[str, str]:
    """Return the image formats that are not read, by suffix."""
    formats = {
        suffix: kind for suffix, kind in Image.registered_extensions().items() if kind not in _NOT_IMAGES
    }
    formats |= {f".{suffix}": kind for kind, suffixes in _UNSUPPORTED.items() for suffix in suffixes.split()}
    return {suffix: kind for suffix, kind in formats.items() if suffix not in supported_suffixes()}


def suffix_of(name: str) -> str:
    """Return the suffix of a file name, in lower case; empty if it has none."""
    suffix = Path(name).suffix.lower()
    return ".nii.gz" if suffix == ".gz" and name.lower().endswith(".nii.gz") else suffix


def is_supported(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    return suffix_of(name) in supported_suffixes()


def unsupported_reason(file: Path) -> str | None:
    """Return why a file, which a user may expect to be read as an image, is not read.

    Args:
        file: A regular file whose suffix is not among `supported_suffixes`.

    Returns:
        The reason, if the file is an image by its suffix or its first bytes; an empty string, if it may be
        one; `None`, if it is an ordinary file beside images.
    """
    suffix = suffix_of(file.name)
    if suffix in _SIDECARS:
        return None
    kind = _unsupported_formats().get(suffix)
    if kind:
        return f"{NOT_READ}the format {kind}"
    try:
        with open_regular_file(file) as handle:
            head = handle.read(16)
    except (OSError, BadImage):
        head = b""
    for offset, signature, name, expected in _SIGNATURES:
        if head[offset:].startswith(signature):
            return f"{NOT_READ}{name} whose name does not end in {expected}"
    return "" if suffix else None
