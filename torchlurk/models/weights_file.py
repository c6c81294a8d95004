"""Read a file of weights without running code that it contains."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from torchlurk.errors import LurkError, Option
from torchlurk.models.checkpoint_metadata import CheckpointMetadata, decode_extra_state, decode_metadata
from torchlurk.models.exceptions import short_message
from torchlurk.models.safe_load import find_placeholder, load_safely
from torchlurk.models.state_dicts import StateDict, find_state_dicts, strip_wrappers
from torchlurk.runtime.names import escape_surrogates

ALLOW_PICKLE: Final = (
    Option("allow_unsafe_pickle", True),
    " if you trust the author of the file to run code here",
)
"""The end of a hint for files that can only be read by running code in them."""


@dataclass(frozen=True)
class Weights:
    """Trained parameters and where they come from.

    Attributes:
        state: Tensors on the CPU under the names of the network, such as `features.0.weight`. For a file that
            is not yet matched with a network, those of its likeliest state dict.
        name: `imagenet:<version>`, `trunk`, `caffe`, `random:<seed>`, `own` or `file:<name of the file>`;
            never a folder.
        sha256: Of the published file (for the trunk: the file in the package), in hex; `state_digest` if
            there is no file.
        partial: Whether children of the network, such as the classifier, have no weights here.
        metadata: What a checkpoint of `torchlurk transfer` says of its network; `None` for all others.
        candidates: All state dicts of a file, until one is matched with a network.
        entry: Which of them the user chose, keys joined by dots; "" without a choice.
        versions: Of the modules, as torch stores them in `_metadata`.
    """

    state: Mapping[str, Any] = field(repr=False)
    name: str
    sha256: str
    partial: bool = False
    metadata: CheckpointMetadata | None = None
    candidates: tuple[StateDict, ...] = field(repr=False, default=())
    entry: str = ""
    versions: Mapping[str, Any] = field(repr=False, default_factory=dict)


def read_weights(path: Path, *, unsafe_pickle: bool = False) -> Weights:
    """Read a file of weights: safetensors, or one that `torch.save` wrote. No code in it is run.

    Args:
        path: The file; after a colon, which of its state dicts to take, such as `last.pt:model_ema`. State
            dicts may be nested in mappings, and their names may have prefixes; see `match_weights`.
        unsafe_pickle: Whether the file may hold any Python object, such as a whole network, and run any code
            while it is read.

    Returns:
        The weights.

    Raises:
        LurkError: The file does not exist, or holds no weights.
    """
    path, entry = _split_entry(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LurkError(
            f"weights {str(path)!r}: {what}", ("give a file, or another value of ", Option("weights"))
        )
    try:
        with path.open("rb") as handle:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
            handle.seek(0)
            # eight bytes of length, then JSON: no torch file has a brace there
            is_safetensors = handle.read(9)[8:] == b"{"
        value = load_file(path) if is_safetensors else _torch_load(path, unsafe_pickle)
        file_metadata = _safetensors_metadata(path) if is_safetensors else None
        candidates = find_state_dicts(value)
    except Exception as error:  # torch.load raises many types for a file that is not its own
        raise _unreadable(path, error) from None
    if not candidates:
        raise _no_state_dict(path, value)
    metadata = decode_metadata(file_metadata, repr(str(path)))
    name = f"file:{escape_surrogates(path.name)}{entry and ':'}{escape_surrogates(entry)}"
    state: dict[str, Any] = dict(strip_wrappers(candidates[0]))
    if metadata is not None and metadata.extra:
        extra = decode_extra_state(metadata, repr(str(path)))
        state |= extra
        candidates = (StateDict((), {**candidates[0].entries, **extra}),)
    return Weights(state, name, sha256, metadata=metadata, candidates=candidates, entry=entry)


def _unreadable(path: Path, error: Exception) -> LurkError:
    """Return the error for a file that cannot be read, or only by running code."""
    message = f"weights {str(path)!r} cannot be read"
    if not (isinstance(error, pickle.UnpicklingError) and "eights only load failed" in str(error)):
        return LurkError(
            f"{message} ({short_message(error)})", "give safetensors, or a state dict that torch.save wrote"
        )
    name = re.search(r"Unsupported global: GLOBAL (\S{1,100})", str(error))
    if name and "Uninitialized" in name[1]:
        return LurkError(
            f"{message} (it holds uninitialised parameters, those of a lazy network that has not been run)",
            "run the network once on an input before saving it",
        )
    what = f"{name[1]}, which is no tensor" if name else "other objects than tensors"
    return LurkError(
        f"{message} (it holds {what})",
        ("give safetensors, or a state dict that torch.save wrote, or ", *ALLOW_PICKLE),
    )


def _no_state_dict(path: Path, value: Any) -> LurkError:
    """Return the error for a file without weights, which says what it holds."""
    what = f"a {type(value).__name__}"
    if isinstance(value, Mapping) and value:
        what += f" ({', '.join(str(key)[:40] for key in list(value)[:3])}{', …' if len(value) > 3 else ''})"
    placeholder = find_placeholder(value)
    if placeholder:
        return LurkError(
            f"weights {str(path)!r} hold {what} with {placeholder}, not a state dict",
            ("to read all of it, give ", *ALLOW_PICKLE),
        )
    return LurkError(
        f"weights {str(path)!r} hold {what}, not a state dict",
        "save the state_dict() of the network to a file",
    )


def _split_entry(path: Path) -> tuple[Path, str]:
    """Split `FILE:ENTRY` at the colon; the name of the file may contain colons too."""
    text = str(path)
    for at in (at for at, character in enumerate(text) if character == ":" and not path.exists()):
        if at and Path(text[:at]).is_file():
            return Path(text[:at]), text[at + 1 :]
    return path, ""


def _safetensors_metadata(path: Path) -> dict[str, str] | None:
    """Return the metadata of a safetensors file, if it has any."""
    with safe_open(path, "pt") as handle:
        metadata: dict[str, str] | None = handle.metadata()
    return metadata


def _torch_load(path: Path, unsafe_pickle: bool) -> Any:
    """Load a torch file to the CPU; only with `unsafe_pickle` other objects than tensors."""
    if not unsafe_pickle:
        return load_safely(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=False)
