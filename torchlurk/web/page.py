"""The page of a site: its static files, and `index.html` rendered from the template."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2

TITLE = "Torchlurk"
"""Title of the page."""

STORES_FOLDER = "saved_model"
"""Folder of the stores in a site."""

CSP = "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'"
"""Content security policy of the page; `blob:` is for pictures, which are parts of larger files."""

_ICON = "mark.svg"

_BUNDLES = "dist"
"""Folder of the script and the stylesheet that are made from the modules in `js` and the styles in `css`."""

_STATIC_PATTERNS = (f"{_BUNDLES}/*", "js/theme.js", "*.svg")


def static_files(source: Path) -> list[str]:
    """Return the files of the site that are served unchanged.

    Args:
        source: Folder of the site's files.

    Returns:
        Paths relative to the folder, with `/` as the separator.
    """
    files: list[Path] = []
    for pattern in _STATIC_PATTERNS:
        files += sorted(path for path in source.glob(pattern) if path.is_file())
    return [path.relative_to(source).as_posix() for path in files]


def render_page(source: Path, names: Sequence[str], live: str | None = None) -> str:
    """Render `index.html`.

    Args:
        source: Folder of the site's files.
        names: Its static files.
        live: URL of the changes that a live server reports; `None` for a site whose files do not change.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string((source / "index.html").read_text(encoding="utf-8")).render(
        title=TITLE,
        csp=CSP,
        icon=f"data:image/svg+xml;base64,{base64.b64encode((source / _ICON).read_bytes()).decode()}",
        index=f"{STORES_FOLDER}/index.json",
        live=live,
        styles=[name for name in names if name.endswith(".css")],
        scripts=[name for name in names if re.fullmatch(rf"{_BUNDLES}/.*\.js", name)],
    )
