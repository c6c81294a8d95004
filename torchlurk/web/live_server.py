"""A server of stores as they are at this moment, and of a page that shows them while they grow."""

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
from torchlurk.store.schema import PICTURE_KINDS
from torchlurk.web.publish import STORES_FOLDER, render_page, static_files
from torchlurk.web.snapshot import STORE_FILES, StoreWatcher, watch_stores
from torchlurk.web.static_server import FileContent, Resolver, listen, read_inside, serve_in_thread

LIVE = f"{STORES_FOLDER}/live.json"
"""The URL, relative to the page, of what the stores hold now."""

_NAMED = re.compile(
    "|".join(
        [
            *(re.escape(name) for name in (*STORE_FILES, COMPARISON)),
            r"layers/[^/]+\.json",
            r"images/[0-9]+\.jpg",
            *(rf"{kind}/[^/]+/[0-9]+\.jpg" for kind in PICTURE_KINDS),
        ]
    )
)
"""The files of a store, or of a comparison, that the format names, and that a page asks for."""


def live_files(stores: StoreWatcher, site: Path) -> Resolver:
    """Finds the page, its files, those of the stores, and the three that are made when they are asked for.

    Args:
        stores: which.
        site: the folder of the page's files.
    """
    site = site.resolve()

    def look(parts: tuple[str, ...]) -> FileContent | None:
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
            if folder is None or not _NAMED.fullmatch("/".join(inside)):
                return None
            return read_inside(folder, inside)
        names = static_files(site)
        if name == "index.html":
            return FileContent(render_page(site, names, LIVE).encode(), ".html")
        return read_inside(site, parts) if name in names else None

    return look


def _json(record: object) -> FileContent:
    return FileContent(msgspec.json.encode(record, order="sorted"), ".json")


class LiveServer:
    """Serves stores, and a page that follows them, from a thread of its own.

    The stores may be still being written, or not even begun. Nothing is copied, and nothing outside their
    folders and the page's is served.

    Attributes:
        url: where the page is; empty while the server does not run.

    Examples:
        >>> with torchlurk.LiveServer(["saved_model/small"]) as server:
        ...     print(server.url)
        http://127.0.0.1:.../
    """

    def __init__(self, stores: Sequence[str | Path], host: str = "127.0.0.1", port: int = 0) -> None:
        """Not yet running.

        Args:
            stores: folders of stores, and of comparisons of them; they need not exist yet.
            host: the address to listen at; `0.0.0.0` lets other machines in.
            port: 0 takes any free one.

        Raises:
            LurkError: two stores share a folder name, or one can be no store.
        """
        self.url: str = ""
        self._look = live_files(watch_stores([Path(store) for store in stores]), site_folder())
        self._address = host, port
        self._running = ExitStack()

    def start(self) -> str:
        """Serve from now on; once is enough.

        Returns:
            The page's URL.

        Raises:
            LurkError: the address cannot be had.

        Examples:
            >>> server = torchlurk.LiveServer(["saved_model/small"])
            >>> server.start()
            'http://127.0.0.1:.../'
            >>> server.close()
        """
        if not self.url:
            self.url = self._running.enter_context(serve_in_thread(listen(self._look, *self._address)))
        return self.url

    def close(self) -> None:
        """Stop serving, and give the port back; twice does no harm."""
        self.url = ""
        self._running.close()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
