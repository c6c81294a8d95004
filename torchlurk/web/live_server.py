"""The live server: stores as they are now, and a page that shows them while they are computed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from torchlurk.runtime.resources import site_folder
from torchlurk.store.comparison import COMPARISON, COMPARISONS
from torchlurk.store.schema import CIRCUITS, EXPANDED, IMAGES, PICTURE_KINDS, PICTURES, SPECTRA, THUMBS
from torchlurk.web.page import STORES_FOLDER, render_page, static_files
from torchlurk.web.snapshot import STORE_FILES, StoreWatcher, watch_stores
from torchlurk.web.static_server import FileContent, Resolver, listen, read_inside, serve_in_thread

LIVE = f"{STORES_FOLDER}/live.json"
"""URL of the snapshot of the stores, relative to the page."""

_SERVED = re.compile(
    "|".join(
        [
            *(re.escape(name) for name in (*STORE_FILES, COMPARISON)),
            rf"(layers|{CIRCUITS}|{EXPANDED}|{SPECTRA})/[^/]+\.json",
            rf"{PICTURES}/[^/]+/[0-9]+\.[0-9a-f]+\.bin",
            rf"{THUMBS}/[^/]+/[a-z_]+-[0-9]+\.[0-9a-f]+\.bin",
            rf"{IMAGES}/[0-9]+\.[0-9a-f]+\.bin",
            # Format 1 has a file for each picture.
            rf"{IMAGES}/[0-9]+\.jpg",
            *(rf"{kind}/[^/]+/[0-9]+\.jpg" for kind in PICTURE_KINDS),
        ]
    )
)
"""Files of a store or a comparison that a page requests."""


def live_files(stores: StoreWatcher, site: Path) -> Resolver:
    """Return a function that finds the files of the page and of the stores, and makes the index files.

    Args:
        stores: The stores.
        site: Folder of the page's files.
    """
    site = site.resolve()

    def resolve(parts: tuple[str, ...]) -> FileContent | None:
        name = "/".join(parts)
        if name == f"{STORES_FOLDER}/index.json":
            return _json(stores.index())
        if name == f"{STORES_FOLDER}/{COMPARISONS}":
            return _json(stores.comparisons())
        if name == LIVE:
            return _json(stores.live())
        if parts[0] == STORES_FOLDER and len(parts) > 2:
            folder = stores.stores.get(parts[1])
            inside = parts[2:]
            if folder is None or not _SERVED.fullmatch("/".join(inside)):
                return None
            return read_inside(folder, inside)
        names = static_files(site)
        if name == "index.html":
            return FileContent(render_page(site, names, LIVE).encode(), ".html")
        return read_inside(site, parts) if name in names else None

    return resolve


def _json(record: object) -> FileContent:
    return FileContent(msgspec.json.encode(record, order="sorted"), ".json")


class LiveServer:
    """Serve stores, and a page that follows them, from a thread.

    The stores may still be computed, or not exist yet. Nothing is copied, and no file outside their folders
    and the page's is served.

    Attributes:
        url: URL of the page; empty while the server does not run.

    Examples:
        >>> with torchlurk.LiveServer(["saved_model/small"]) as server:
        ...     print(server.url)
        http://127.0.0.1:.../
    """

    def __init__(self, stores: Sequence[str | Path], host: str = "127.0.0.1", port: int = 0) -> None:
        """Check the stores; `start` starts the server.

        Args:
            stores: Folders of stores, and of comparisons of them; they need not exist yet.
            host: Address to listen on; `0.0.0.0` accepts connections from other machines.
            port: Port to listen on; 0 chooses a free one.

        Raises:
            LurkError: Two stores have the same folder name, or one cannot be a store.
        """
        self.url: str = ""
        self._resolver = live_files(watch_stores([Path(store) for store in stores]), site_folder())
        self._address = host, port
        self._running = ExitStack()

    def start(self) -> str:
        """Start the server; does nothing if it runs already.

        Returns:
            The URL of the page.

        Raises:
            LurkError: The address is not available.

        Examples:
            >>> server = torchlurk.LiveServer(["saved_model/small"])
            >>> server.start()
            'http://127.0.0.1:.../'
            >>> server.close()
        """
        if not self.url:
            self.url = self._running.enter_context(serve_in_thread(listen(self._resolver, *self._address)))
        return self.url

    def close(self) -> None:
        """Stop the server, and release the port; does nothing if it does not run."""
        self.url = ""
        self._running.close()

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.close()
