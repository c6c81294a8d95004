"""A server of stores that are being written: what it tells, and what it keeps to itself."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import torchlurk
from tests.processes import hear_interrupts
from torchlurk.cli.main import main
from torchlurk.errors import LurkError
from torchlurk.web.live_server import LiveServer
from torchlurk.web.publish import SITE_MARKER
from torchlurk.web.snapshot import to_ranges, watch_stores

from .test_publish import make_store, manifest_of

Ask = Callable[..., tuple[int, http.client.HTTPMessage, bytes]]

BEST = [{"image": 7, "position": [0, 1], "box": [0, 0, 3, 3], "score": 1.5}]
LAYER = json.dumps(
    {"filters": [{"channel": c, "pictures": ["cropped"], "max": BEST, "more": 1} for c in (0, 1, 3)]}
)


def asking(server: LiveServer) -> Ask:
    address = server.url.removeprefix("http://").rstrip("/")

    def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(address, timeout=5)
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        answer = response.status, response.headers, response.read()
        connection.close()
        return answer

    return ask


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "stores")


@pytest.fixture
def ask(store: Path, tmp_path: Path) -> Iterator[Ask]:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.json").write_text("secret")
    (store / "layers" / "out.json").symlink_to(tmp_path / "secret.json")
    (store / "max_activ" / "away").symlink_to(tmp_path)
    (tmp_path / "0.jpg").write_text("secret")
    (store / "images" / "7.jpg").symlink_to(store / "images" / "7.jpg")
    with LiveServer([store]) as server:
        yield asking(server)


def test_it_serves_the_page_and_what_the_stores_hold_now(ask: Ask, store: Path) -> None:
    status, headers, body = ask("/")
    assert status == 200
    assert b'data-live="saved_model/live.json"' in body
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert ask("/js/app.js")[1]["Content-Type"].startswith("text/javascript")
    assert ask("/saved_model/toy/images/0.jpg")[2] == b"picture"
    assert ask("/saved_model/toy/cropped/a%2520b/0.jpg")[2] == b"crop"
    (store / "images" / "1.jpg").write_text("new")
    assert ask("/saved_model/toy/images/1.jpg")[2] == b"new"
    assert json.loads(ask("/saved_model/index.json")[2]) == {
        "format": 1,
        "networks": [{"name": "toy", "path": "toy", "title": "TOY"}],
    }


def test_head_has_no_body(ask: Ask) -> None:
    status, headers, body = ask("/", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 500


def test_what_has_not_changed_is_not_sent_again(ask: Ask, store: Path) -> None:
    for path in ("/saved_model/live.json", "/saved_model/toy/images/0.jpg"):
        tag = ask(path)[1]["ETag"]
        status, headers, body = ask(path, If_None_Match=tag)
        assert (status, body, headers["ETag"]) == (304, b"", tag)
    (store / "images" / "0.jpg").write_text("another")
    assert ask("/saved_model/toy/images/0.jpg", If_None_Match=tag)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(ask: Ask, method: str) -> None:
    assert ask("/", method)[0] == 501


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/saved_model/../secret.txt",
        "/saved_model/toy/../../secret.txt",
        "/saved_model/toy/%2e%2e/%2e%2e/secret.txt",
        "/saved_model/toy/..%2f..%2fsecret.txt",
        "/saved_model/toy/images/..%2f..%2f..%2fsecret.txt",
        "/saved_model/toy/..%5c..%5csecret.txt",
        "/saved_model/toy//etc/passwd",
        "/saved_model/toy/%2fetc%2fpasswd",
        "//etc/passwd",
        "/etc/passwd",
        "/saved_model/toy/layers/out.json",
        "/saved_model/toy/max_activ/away/0.jpg",
        "/saved_model/toy/images/7.jpg",
        "/saved_model/toy/SHA256SUMS",
        "/saved_model/toy/shards/0.pt",
        "/saved_model/toy/progress.json",
        "/saved_model/toy/images/0.jpg%00",
        "/saved_model/toy/images/",
        "/saved_model/toy/",
        "/saved_model/toy",
        "/saved_model/",
        "/saved_model/%74oy/.hidden",
        "/saved_model/nobody/network.json",
        "/js/",
        "/js/../../pyproject.toml",
        "/" + SITE_MARKER,
        "/" + "a" * 5000,
        "/%ff",
        "index.html",
        "http://127.0.0.1/../secret.txt",
    ],
)
def test_what_is_not_a_store_s_is_not_served(ask: Ask, path: str) -> None:
    status, _, body = ask(path)
    assert status == 404
    assert b"secret" not in body
    assert b"root:" not in body


def test_a_store_is_told_of_as_it_grows(tmp_path: Path) -> None:
    store = tmp_path / "toy"
    stores = watch_stores([store])
    assert stores.live().waiting == ["toy"]
    assert stores.index().networks == []
    store.mkdir()
    (store / "network.json").write_text("{")
    assert stores.live().waiting == ["toy"]
    waiting = {"complete": False, "config": None}
    stages = dict.fromkeys(("scan", "gradients", "ascent"), waiting)
    (store / "network.json").write_text(manifest_of("toy", stages=stages))
    (network,) = stores.live().networks
    assert stores.live().waiting == []
    assert network.stages == {"scan": False, "gradients": False, "ascent": False}
    assert set(network.files) == {"network.json"}
    assert network.layers == {}
    (store / "layers").mkdir()
    (store / "layers/0.json").write_text("{")
    assert stores.live().networks[0].layers == {}
    (store / "layers/0.json").write_text(LAYER)
    layer = stores.live().networks[0].layers["0"]
    assert (layer.data, layer.made) == ("layers/0.json", {"cropped": [(0, 2), (3, 4)]})
    assert [(one.channel, one.image) for one in layer.best] == [(0, 7), (1, 7), (3, 7)]
    assert stores.live().networks[0].layers["0"] is layer
    (store / "layers/0.json").write_text(LAYER + " ")
    assert stores.live().networks[0].layers["0"].stamp != layer.stamp


def test_what_a_run_is_at_is_told(store: Path) -> None:
    stores = watch_stores([store])
    assert stores.live().networks[0].progress is None
    (store / "progress.json").write_text('{"format":1,"work":"scan","unit":"image","done":1,"total":9}')
    progress = stores.live().networks[0].progress
    assert progress is not None
    assert (progress.work, progress.done, progress.total) == ("scan", 1, 9)
    (store / "progress.json").write_text('{"format":1,')
    assert stores.live().networks[0].progress is None


def test_two_networks_of_one_name_are_not_confused(tmp_path: Path) -> None:
    one, two = make_store(tmp_path, "one"), make_store(tmp_path, "two")
    (two / "network.json").write_text(manifest_of("one"))
    live = watch_stores([one, two]).live()
    assert [network.path for network in live.networks] == ["one"]
    assert live.waiting == ["two"]
    assert [entry.path for entry in watch_stores([one, two]).index().networks] == ["one"]


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ([], "no store"),
        (["a/toy", "b/toy"], "same folder name"),
        (["file"], "not a folder"),
        (["."], "folder of stores"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, names: list[str], word: str) -> None:
    make_store(tmp_path, "real")
    (tmp_path / "file").write_text("")
    with pytest.raises(LurkError, match=word) as caught:
        LiveServer([tmp_path / name for name in names])
    assert "\n" not in str(caught.value)


def test_it_begins_and_ends(store: Path) -> None:
    server = torchlurk.LiveServer([store])
    assert server.url == ""
    url = server.start()
    assert server.start() == url == server.url
    assert url.startswith("http://127.0.0.1:")
    assert asking(server)("/")[0] == 200
    with pytest.raises(LurkError, match="cannot listen"):
        LiveServer([store], port=int(url.rstrip("/").rpartition(":")[2])).start()
    server.close()
    server.close()
    assert server.url == ""


def test_closing_ends_what_a_browser_keeps_open(store: Path) -> None:
    server = LiveServer([store])
    connection = http.client.HTTPConnection(server.start().removeprefix("http://").rstrip("/"), timeout=5)
    connection.request("GET", "/saved_model/toy/images/0.jpg")
    assert connection.getresponse().read() == b"picture"
    server.close()

    def again() -> None:
        connection.request("GET", "/saved_model/toy/images/0.jpg")
        connection.getresponse()

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        again()
    connection.close()


def test_ranges() -> None:
    assert to_ranges([]) == []
    assert to_ranges([0, 1, 2, 7, 8]) == [(0, 3), (7, 9)]


def test_serve_watch_answers_until_interrupted(store: Path) -> None:
    later = store.parent / "later"
    command = [sys.executable, "-m", "torchlurk", "serve", "--watch", str(store), str(later), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        assert server.stdout.readline() == f"{later}: does not exist yet, waiting for it\n"
        with urllib.request.urlopen(f"{url}saved_model/live.json") as answer:
            live = json.load(answer)
        assert [network["name"] for network in live["networks"]] == ["toy"]
        assert live["waiting"] == ["later"]
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0


def test_serve_says_what_it_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, word in [
        (["a", "b"], "add --watch"),
        (["--watch"], "give the folder"),
        ([], "_site' is not"),
    ]:
        result = CliRunner().invoke(main, ["serve", *arguments])
        assert result.exit_code != 0
        assert re.search(word, result.output)
