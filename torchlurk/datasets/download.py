"""Download a large file over HTTP: resume where it broke off, check its digest, keep it whole or not at all.

`pooch` also downloads files by their digests, but does not resume: a connection that drops near the end of
the 248 MB of tiny-ImageNet would begin again, in the same call and in the next. It would bring six packages
to replace this file.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tqdm import tqdm

from torchlurk.errors import LurkError, Option

_TIMEOUT_S: Final = 20
_CHUNK: Final = 1 << 18
"""Bytes that are read together."""
_ATTEMPTS: Final = 5
"""Attempts in a row that bring no further bytes."""


def download(
    url: str,
    path: Path,
    *,
    sha256: str,
    hint: Sequence[str | Option],
    progress: bool = True,
    timeout_s: float = _TIMEOUT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Download a file to `path`; an incomplete one stays as `path.part`, and a later call resumes it.

    Args:
        url: The address.
        path: The file to write; its folder is created.
        sha256: SHA-256 of the whole file, in hex.
        hint: What else the user can do, for the hint of an error.
        progress: Whether to draw a progress bar on stderr.
        timeout_s: Seconds to wait for the host, each time.
        sleep: Waits between two attempts.

    Raises:
        LurkError: The host is out of reach, drops the connection repeatedly without sending more, or sent
            another file; or the file cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    failures, reason = 0, "it ends early"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tqdm(desc=path.name, unit="B", unit_scale=True, disable=not progress) as bar:
            while True:
                before = _size(part)
                try:
                    if _fetch(url, part, bar, timeout_s):
                        break
                except (urllib.error.HTTPError, ValueError) as error:
                    raise LurkError(f"{url} cannot be downloaded ({error})", hint) from None
                # A full disk is an OSError too; it brings no further bytes, so the attempts end.
                except (OSError, http.client.HTTPException) as error:
                    reason = str(getattr(error, "reason", error)) or type(error).__name__
                # An attempt that brings some bytes counts as progress.
                failures = 1 if _size(part) > before else failures + 1
                if failures >= _ATTEMPTS or not _size(part):
                    resume = ("run the command again to resume, or ",) if _size(part) else ()
                    raise LurkError(
                        f"{url} cannot be downloaded ({reason}), {_size(part):,} bytes are here",
                        (*resume, *hint),
                    )
                sleep(failures)
        with part.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if digest != sha256:
            part.unlink()
            raise LurkError(
                f"{url} has sha256 {digest[:16]}..., not {sha256[:16]}...: the file has changed", hint
            )
        part.replace(path)
    except OSError as error:
        raise LurkError(f"{path} cannot be written ({error.strerror or error})") from None


def _size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def _fetch(url: str, part: Path, bar: tqdm[None], timeout_s: float) -> bool:
    """Request once what is missing of `part` and append it; return whether `part` is complete."""
    present = _size(part)
    headers = {"User-Agent": "torchlurk", **({"Range": f"bytes={present}-"} if present else {})}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # "bytes */<total>": the part is complete already, or longer than the file.
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
        error.close()
        if total == str(present):
            return True
        part.unlink()
        return _fetch(url, part, bar, timeout_s)
    with contextlib.closing(response):
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        start = present if resumed else 0  # a host without ranges sends the whole file again
        length = response.headers.get("Content-Length")
        total_bytes = start + int(length) if length else None
        bar.reset(total_bytes)
        bar.update(start)
        with part.open("ab" if resumed else "wb") as handle:
            while chunk := response.read(_CHUNK):
                handle.write(chunk)
                bar.update(len(chunk))
    # A dropped connection reads like the end of the file.
    return total_bytes is None or _size(part) == total_bytes
