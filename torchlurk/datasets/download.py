"""A large file over HTTP: resumed where it broke off, checked, and whole or not there."""

import contextlib
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tqdm import tqdm

from torchlurk.errors import LurkError

_TIMEOUT_S: Final = 20
_CHUNK: Final = 1 << 18
_ATTEMPTS: Final = 5


def download(
    url: str,
    path: Path,
    *,
    sha256: str,
    advice: str,
    progress: bool = True,
    timeout_s: float = _TIMEOUT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch a file into `path`, by way of `path.part`, which a later call goes on from.

    Args:
        url: What to fetch.
        path: Where it goes; its folder is made.
        sha256: Of the whole file, in hex.
        advice: What else the user can do, for the end of an error's line.
        progress: Whether to draw a bar on stderr.
        timeout_s: Seconds to wait for the host, each time.
        sleep: Waits between two attempts.

    Raises:
        LurkError: The host is out of reach, breaks off again and again without sending more, or
            sent another file; or the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    failures, error = 0, "it ends early"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tqdm(desc=path.name, unit="B", unit_scale=True, disable=not progress) as bar:
            while True:
                before = _size(part)
                try:
                    if _fetch(url, part, bar, timeout_s):
                        break
                except (urllib.error.HTTPError, ValueError) as refusal:
                    raise LurkError(f"{url} cannot be fetched ({refusal}): {advice}") from None
                # a full disk is an OSError too: it stays one, and nothing new arrives
                except (OSError, http.client.HTTPException) as problem:
                    error = str(getattr(problem, "reason", problem)) or type(problem).__name__
                # a host that sends some of it each time gets us there
                failures = 1 if _size(part) > before else failures + 1
                if failures >= _ATTEMPTS or not _size(part):
                    again = "run it again to go on from there, or " if _size(part) else ""
                    raise LurkError(
                        f"{url} cannot be fetched ({error}), {_size(part):,} bytes are here: {again}{advice}"
                    )
                sleep(failures)
        with part.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != sha256:
            part.unlink()
            raise LurkError(
                f"{url} has sha256 {found[:16]}..., not {sha256[:16]}...: it is another file now; {advice}"
            )
        part.replace(path)
    except OSError as problem:
        raise LurkError(f"{path} cannot be written ({problem.strerror or problem})") from None


def _size(path: Path) -> int:
    """Measure a file that may not be there."""
    return path.stat().st_size if path.exists() else 0


def _fetch(url: str, part: Path, bar: "tqdm[None]", timeout_s: float) -> bool:
    """Ask once for what is missing of `part`, and append it; say whether it is now complete."""
    have = _size(part)
    headers = {"User-Agent": "torchlurk", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # "bytes */<total>": complete already, or longer than it should be
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
        error.close()
        if total == str(have):
            return True
        part.unlink()
        return _fetch(url, part, bar, timeout_s)
    with contextlib.closing(answer):
        resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        start = have if resumed else 0  # a host without ranges sends all of it again
        length = answer.headers.get("Content-Length")
        total_bytes = start + int(length) if length else None
        bar.reset(total_bytes)
        bar.update(start)
        with part.open("ab" if resumed else "wb") as handle:
            while chunk := answer.read(_CHUNK):
                handle.write(chunk)
                bar.update(len(chunk))
    # a dropped connection reads like the end of the file
    return total_bytes is None or _size(part) == total_bytes
