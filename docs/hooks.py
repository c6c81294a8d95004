"""Hooks of the documentation's build: scripts in files of their own, and a link from the demo.

The server of a site sends a Content-Security-Policy that forbids inline scripts. The theme has a few, so
they are written to files. The order in which they run does not change.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
BEFORE = '<div id="bar" class="bar"></div>'
LINK = '<a href="docs/index.html">Documentation</a>'


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Move the inline scripts of a page to files and return the page that loads them."""
    folder = Path(config["site_dir"]) / "assets/inline"
    up = "../" * page.url.count("/")

    def moved(match: re.Match[str]) -> str:
        name = f"{hashlib.sha256(match[1].encode()).hexdigest()[:16]}.js"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(match[1], "utf-8")
        return f'<script src="{up}assets/inline/{name}"></script>'

    return INLINE.sub(moved, output)


def on_post_build(config: Any) -> None:
    """Remove files that need a known address, and link from a demo in the parent folder."""
    for name in ("404.html", "sitemap.xml", "sitemap.xml.gz"):
        (Path(config["site_dir"]) / name).unlink()
    if not config["extra"]["demo"]:
        return
    page = Path(config["site_dir"]).parent / "index.html"
    text = page.read_text("utf-8")
    if LINK not in text:
        page.write_text(text.replace(BEFORE, f"{BEFORE}\n{LINK}", 1), "utf-8")
