"""Where the files that come with the package lie."""

from __future__ import annotations

from pathlib import Path

from torchlurk.errors import LurkError


def _beside(package: Path, installed: str, checkout: str) -> Path:
    for folder in (package / installed, package.parent / checkout):
        if folder.is_dir():
            return folder
    raise LurkError(f"the package at {str(package)!r} lacks its folder {installed!r}: install it again")


def photos_folder(package: Path = Path(__file__).parents[1]) -> Path:
    """The photographs of the demo: in the installed package, or in the checkout that it runs from."""
    return _beside(package, "photos", "data/photos")


def networks_folder(package: Path = Path(__file__).parents[1]) -> Path:
    """The small networks and their weights, likewise."""
    return _beside(package, "networks", "data/networks")


def site_folder(package: Path = Path(__file__).parents[1]) -> Path:
    """The files of the site, likewise."""
    return _beside(package, "site", "site")
