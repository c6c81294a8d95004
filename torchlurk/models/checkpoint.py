"""Files of weights: read without running what is in them, unwrapped, and fitted to a network."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from torchlurk.errors import LurkError
from torchlurk.models.tuned import Tuned, read_metadata
from torchlurk.names import readable

NESTS: Final = ("state_dict", "model_state_dict", "model", "net", "network")
"""Under which keys a checkpoint keeps its state dict."""
PREFIXES: Final = ("module.", "_orig_mod.")
"""What wrappers put before all names: `DataParallel` and `torch.compile`."""


@dataclass(frozen=True)
class Weights:
    """Trained parameters and where they come from.

    Attributes:
        state: Tensors on the CPU under the network's own names, such as `features.0.weight`.
        name: "imagenet:<version>", "trunk", "random:<seed>", "own" or "file:<name of the file>"; never a
            folder.
        sha256: Of the file as it was published (for the trunk: the file in the package), in hex; where there
            is no file, `state_digest`.
        partial: Whether parts of the network, such as the classifier, have no weights here.
        tuned: What a checkpoint of `torchlurk transfer` says of its network; None for all others.
    """

    state: Mapping[str, torch.Tensor] = field(repr=False)
    name: str
    sha256: str
    partial: bool = False
    tuned: Tuned | None = None


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Digest the values of a state dict, whatever file it lies in.

    Args:
        state: Tensors on the CPU, by name.

    Returns:
        The sha256 over names, types, shapes and bytes, in the order of the names.
    """
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode("utf-8", "surrogatepass"))
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def read_weights(path: Path, *, unsafe_pickle: bool = False) -> Weights:
    """Read a file of weights: safetensors, or one that torch.save wrote; no code in it is run.

    Args:
        path: The file. A checkpoint may nest its state dict under one of `NESTS`, and prefix all names
            with some of `PREFIXES`.
        unsafe_pickle: Whether the file may hold any Python object, such as a whole network, and run
            whatever code it likes while it is read.

    Returns:
        The weights.

    Raises:
        LurkError: There is no such file, or it is not one of weights.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LurkError(f"weights {str(path)!r}: {what}; give a file, or a word that --help tells")
    try:
        with path.open("rb") as handle:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
            handle.seek(0)
            # eight bytes of length, then JSON: no torch file has a brace there
            is_safetensors = handle.read(9)[8:] == b"{"
        value = load_file(path) if is_safetensors else _torch_load(path, unsafe_pickle)
        metadata = _metadata(path) if is_safetensors else None
    except Exception as error:  # torch.load has no one exception for a file that is not its own
        way = "give safetensors, or a state dict that torch.save wrote"
        if isinstance(error, pickle.UnpicklingError) and "eights only load failed" in str(error):
            way += ", or --allow-unsafe-pickle if you trust whoever made it to run code here"
        raise LurkError(f"weights {str(path)!r} cannot be read ({brief(error)}): {way}") from None
    tuned = read_metadata(metadata, repr(str(path)))
    return Weights(_unwrap(value, path), f"file:{readable(path.name)}", sha256, tuned=tuned)


def _metadata(path: Path) -> dict[str, str] | None:
    """What a safetensors file says besides its tensors."""
    with safe_open(path, "pt") as handle:
        found: dict[str, str] | None = handle.metadata()
    return found


def _torch_load(path: Path, unsafe_pickle: bool) -> Any:
    """Load a torch file to the CPU, tensors and plain containers only if it is not to be trusted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on archives that it then refuses
        return torch.load(path, map_location="cpu", weights_only=not unsafe_pickle)


def _unwrap(value: Any, path: Path) -> dict[str, torch.Tensor]:
    """Find the state dict in a checkpoint."""
    for key in NESTS:
        inner = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(inner, Mapping | torch.nn.Module):
            value = inner
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    if not isinstance(value, Mapping) or not value:
        raise LurkError(f"weights {str(path)!r} hold a {type(value).__name__}, not a state dict")
    for key, tensor in value.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise LurkError(
                f"weights {str(path)!r} are not a state dict: "
                f"{key!r} is a {type(tensor).__name__}, not a tensor"
            )
    state = dict(value)
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in state)), ""):
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def brief(error: BaseException) -> str:
    """Say an exception in a part of a line, of at most 160 characters."""
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
    others = [key for key, tensor in weights.state.items() if tensor.shape != wanted[key].shape]
    if others:
        key, more = others[0], f" ({len(others) - 1} others differ too)" if len(others) > 1 else ""
        raise LurkError(
            f"{key} is {tuple(weights.state[key].shape)} in {weights.name}, the network wants "
            f"{tuple(wanted[key].shape)}{more}: is this another architecture?"
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
