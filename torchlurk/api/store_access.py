"""What `Lurk` does with its store, with or without a network: read, plot and serve it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex

from torchlurk.api.plot_methods import FilterPlots
from torchlurk.api.reading import LayerView, StoreView, open_store
from torchlurk.errors import LurkError

if TYPE_CHECKING:
    from torchlurk.pipeline.session import Session
    from torchlurk.web.live_server import LiveServer


class StoreAccess(FilterPlots):
    """Read, plot and serve the store in a folder, which may be written meanwhile."""

    def __init__(self, out: Path) -> None:
        """Remember the folder; nothing is read.

        Args:
            out: Folder of the store.
        """
        self._out = out
        self._server: LiveServer | None = None
        self._session: Session | None = None

    @property
    def store(self) -> StoreView:
        """The current content of the store.

        Raises:
            LurkError: The folder holds no store, or its scan is not complete.
        """
        return open_store(self._out)

    def __getitem__(self, layer: str | SupportsIndex) -> LayerView:
        """Return a layer by its dotted name, or by its position in execution order.

        Raises:
            LurkError: The store has no such layer.

        Examples:
            >>> lurker["features.17"]
            <layer 'features.17' of SmallNet: Conv2d, 128 filters>
            >>> lurker[0].name, lurker[-1].name
            ('features.0', 'classifier')
        """
        return self.store.layer(layer)

    def __len__(self) -> int:
        return len(self.store.manifest.layers)

    def __iter__(self) -> Iterator[LayerView]:
        store = self.store
        return (LayerView(store, layer) for layer in store.manifest.layers)

    def serve(self, port: int = 5001) -> str:
        """Serve the site of this store on this machine; it is updated while the store grows.

        Args:
            port: Port to listen on, at 127.0.0.1 only; 0 for any free one.

        Returns:
            The address of the site.

        Raises:
            LurkError: The folder holds no store, the store is served already, or the port is in use.

        Examples:
            >>> lurker.serve(port=0)
            'http://127.0.0.1:.../'
            >>> lurker.end_serve()
        """
        if self._server is not None:
            raise LurkError("this store is being served already", "call end_serve() first")
        open_store(self._out)
        from torchlurk.web.live_server import LiveServer

        server = LiveServer([self._out], port=port)
        address = server.start()
        self._server = server
        return address

    def end_serve(self) -> None:
        """Stop the server that `serve` started, if there is one."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _require_session(self, method: str) -> Session:
        """Return the session.

        Raises:
            LurkError: The store was opened with `load`.
        """
        if self._session is None:
            raise LurkError(
                f"{method}: {str(self._out)!r} was loaded without a network",
                f"create it with Lurk(model, preprocess, images=..., out={str(self._out)!r})",
            )
        return self._session

    def _require_scan(self, method: str) -> Session:
        """Return the session.

        Raises:
            LurkError: The store was opened with `load`, or its scan is not complete.
        """
        session = self._require_session(method)
        open_store(self._out)
        return session
