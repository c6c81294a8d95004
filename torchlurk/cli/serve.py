"""`torchlurk serve`: a built site, or stores as they grow."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import click

from torchlurk.errors import LurkError
from torchlurk.runtime.names import printable

FOLDER = click.Path(path_type=Path)


@click.command(short_help="Serve a built site on this machine, or stores while they are computed.")
@click.argument("folders", metavar="[FOLDER | STORE...]", nargs=-1, type=FOLDER)
@click.option(
    "--watch", is_flag=True, help="Serve stores as they are on disk, and show them while they are computed."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes any free one.")
@click.option("--host", default="127.0.0.1", help="Address to listen at; 0.0.0.0 lets other machines in.")
def serve(folders: tuple[Path, ...], watch: bool, port: int, host: str) -> None:
    """Serve FOLDER, a built site (_site if none is named), until Ctrl-C.

    With --watch, serve STOREs, without building a site: the page shows what is there, and what comes. A
    STORE, which may be a comparison of others, need not exist yet. Without any, all those in saved_model/ are
    served.
    """
    if watch:
        _follow(folders, host, port)
    elif len(folders) > 1:
        raise LurkError(
            f"{len(folders)} folders: serve takes one built site; for stores, add --watch, or build a site "
            "of them with torchlurk site"
        )
    else:
        _serve(folders[0] if folders else Path("_site"), host, port)


def _serve(folder: Path, host: str, port: int) -> None:
    from torchlurk.web.static_server import make_server

    with make_server(folder, host, port) as server:
        click.echo(f"http://{host}:{server.server_address[1]}/ (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _follow(stores: tuple[Path, ...], host: str, port: int) -> None:
    from torchlurk.web.live_server import LiveServer

    if not stores:
        found = [
            sorted(Path("saved_model").glob(f"*/{name}")) for name in ("network.json", "comparison.json")
        ]
        stores = tuple(path.parent for paths in found for path in paths)
    if not stores:
        raise LurkError("there is no store in saved_model/: name the one that is going to be written")
    with LiveServer(stores, host, port) as server:
        click.echo(f"{server.url} (Ctrl-C ends it)")
        for store in stores:
            if not (store / "network.json").exists() and not (store / "comparison.json").exists():
                click.echo(f"{printable(str(store))}: nothing there yet, waiting for it")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
