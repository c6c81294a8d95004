"""Names of files and folders in a store."""

from __future__ import annotations

import hashlib

PICTURE_KINDS = ("cropped", "max_grads", "cropped_grad", "avg_grads", "max_activ")
"""Kinds of pictures, in the order of `Filter.pictures`; in format 1, the names of their folders."""

THUMB_KINDS = ("cropped", "gradient", "max_activ", "image")
"""Kinds of small pictures of a filter: its best crop, that crop's gradient, its filter image, and its best
image as a whole."""

PICTURES = "pictures"
"""Folder of the packs with the pictures of the filters."""

THUMBS = "thumbs"
"""Folder of the packs with their small pictures."""

IMAGES = "images"
"""Folder of the packs with the images; in format 1, of the images."""

CIRCUITS = "circuits"
"""Folder of the circuits of the layers."""

EXPANDED = "expanded"
"""Folder of the expanded weights of the layers."""

SPECTRA = "spectrum"
"""Folder of the spectra of the layers."""

CHECKSUMS = "SHA256SUMS"
"""Name of the file with the digests of the JSON files."""

LONGEST = 200
"""Characters of the name of a layer's file without suffix; file systems allow 255 bytes with it."""


def safe_name(name: str) -> str:
    """Return the name of a layer as part of a path; different layers have different names.

    A character other than an ASCII letter, a digit, `.`, `_` or `-`, and a leading dot, becomes `%` and two
    hexadecimal digits per byte, so that no name leaves its folder or is hidden. A result longer than
    `LONGEST` is cut; `%z` and the SHA-256 digest of the name replace the rest.
    """

    def is_safe(position: int, character: str) -> bool:
        if character == ".":
            return position > 0
        return character.isascii() and (character.isalnum() or character in "_-")

    safe = "".join(
        c if is_safe(i, c) else "".join(f"%{byte:02x}" for byte in c.encode("utf-8", "surrogatepass"))
        for i, c in enumerate(name)
    )
    if len(safe) <= LONGEST:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{safe[: LONGEST - 66]}%z{digest}"


def layer_path(layer: str) -> str:
    """Return the path of a layer's file in the store."""
    return f"layers/{safe_name(layer)}.json"


def circuit_path(layer: str) -> str:
    """Return the path of the file with a layer's circuits in the store."""
    return f"{CIRCUITS}/{safe_name(layer)}.json"


def expanded_path(layer: str) -> str:
    """Return the path of the file with the expanded weights of a layer's filters in the store."""
    return f"{EXPANDED}/{safe_name(layer)}.json"


def spectrum_path(layer: str) -> str:
    """Return the path of the file with the spectra of a layer's filters in the store."""
    return f"{SPECTRA}/{safe_name(layer)}.json"


def picture_path(kind: str, layer: str, channel: int) -> str:
    """Return the path of a picture of a filter in a store of format 1."""
    return f"{kind}/{safe_name(layer)}/{channel}.jpg"


def image_path(image: int) -> str:
    """Return the path of an image in a store of format 1."""
    return f"images/{image}.jpg"
