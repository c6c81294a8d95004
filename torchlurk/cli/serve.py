"""`torchlurk serve`: a built site, or stores while they are computed."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import click

from torchlurk.cli import options
from torchlurk.cli.site import find_in_saved_model
from torchlurk.cli.terminal import echo
from torchlurk.errors import LurkError, Option


@click.command(short_help="Serve a built site, or stores while they are computed.")
@click.argument("folders", metavar="[FOLDER | STORE...]", nargs=-1, type=options.PATH)
@click.option(
    "--watch", is_flag=True, help="Serve stores directly, and update the page while they are computed."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, help="Port to listen on; 0 chooses a free one."
)
@click.option(
    "--host",
    default="127.0.0.1",
    help="Address to listen on; 0.0.0.0 accepts connections from other machines.",
)
def serve(folders: tuple[Path, ...], watch: bool, port: int, host: str) -> None:
    """Serve FOLDER, a built site (default: _site), until Ctrl-C.

    With --watch, serve STOREs without building a site; the page shows them as they are computed. A STORE may
    be a comparison, and need not exist yet. The default is all in saved_model/.
    """
    if watch:
        _serve_stores(folders, host, port)
    elif len(folders) > 1:
        raise LurkError(
            f"serve takes one built site, and {len(folders)} folders are given",
            ("for stores, add ", Option("watch", True), ", or build a site of them with torchlurk site"),
        )
    else:
        _serve_site(folders[0] if folders else Path("_site"), host, port)


def _serve_site(folder: Path, host: str, port: int) -> None:
    from torchlurk.web.static_server import make_server

    with make_server(folder, host, port) as server:
        echo(f"http://{host}:{server.server_address[1]}/ (Ctrl-C to stop)")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _serve_stores(stores: tuple[Path, ...], host: str, port: int) -> None:
    from torchlurk.web.live_server import LiveServer

    names = ("network.json", "comparison.json")
    stores = stores or tuple(path for name in names for path in find_in_saved_model(name))
    if not stores:
        raise LurkError(
            "there is no store in saved_model/", "give the folder of a store, which need not exist yet"
        )
    with LiveServer(stores, host, port) as server:
        echo(f"{server.url} (Ctrl-C to stop)")
        for store in stores:
            if not any((store / name).exists() for name in names):
                echo(f"{store}: does not exist yet, waiting for it")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
