"""Files that come with the package: photographs, small networks, the site."""

from __future__ import annotations

from pathlib import Path

from torchlurk.errors import LurkError

_PACKAGE = Path(__file__).parents[1]


def photos_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder of the demo's photographs: in the installed package, else in the checkout."""
    return _find_folder(package, "photos", "data/photos")


def networks_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder of the small networks and their weights; see `photos_folder`."""
    return _find_folder(package, "networks", "data/networks")


def site_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder of the site's files; see `photos_folder`."""
    return _find_folder(package, "site", "site")


def _find_folder(package: Path, installed: str, checkout: str) -> Path:
    for folder in (package / installed, package.parent / checkout):
        if folder.is_dir():
            return folder
    raise LurkError(f"the package at {str(package)!r} lacks its folder {installed!r}", "install it again")
