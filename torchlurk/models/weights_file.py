"""Files of weights: read without running what is in them."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from torchlurk.errors import LurkError
from torchlurk.models.checkpoint_metadata import Tuned, read_extra, read_metadata
from torchlurk.models.inert import inert_in, load_inert
from torchlurk.models.state_dicts import StateDict, find_state_dicts, without_wrappers
from torchlurk.runtime.names import escape_surrogates

UNSAFE = "--allow-unsafe-pickle if you trust whoever made it to run code here"


@dataclass(frozen=True)
class Weights:
    """Trained parameters and where they come from.

    Attributes:
        state: Tensors on the CPU under the network's own names, such as `features.0.weight`; of a file that
            has not been matched with a network, those of its likely state dict.
        name: "imagenet:<version>", "trunk", "random:<seed>", "own" or "file:<name of the file>"; never a
            folder.
        sha256: Of the file as it was published (for the trunk: the file in the package), in hex; where there
            is no file, `state_digest`.
        partial: Whether parts of the network, such as the classifier, have no weights here.
        tuned: What a checkpoint of `torchlurk transfer` says of its network; None for all others.
        stored: All state dicts of a file, until one is matched with a network.
        entry: Which of them the user chose, by keys with dots between; empty without a choice.
        versions: Of the modules of the state, as torch keeps them in `_metadata`.
    """

    state: Mapping[str, Any] = field(repr=False)
    name: str
    sha256: str
    partial: bool = False
    tuned: Tuned | None = None
    stored: tuple[StateDict, ...] = field(repr=False, default=())
    entry: str = ""
    versions: Mapping[str, Any] = field(repr=False, default_factory=dict)


def read_weights(path: Path, *, unsafe_pickle: bool = False) -> Weights:
    """Read a file of weights: safetensors, or one that torch.save wrote; no code in it is run.

    Args:
        path: The file, and after a colon which of its state dicts to take, such as `last.pt:model_ema`. State
            dicts may be nested in mappings, and their names may have prefixes; see `match_weights`.
        unsafe_pickle: Whether the file may hold any Python object, such as a whole network, and run
            whatever code it likes while it is read.

    Returns:
        The weights.

    Raises:
        LurkError: There is no such file, or it is not one of weights.
    """
    path, entry = _split(path)
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
        stored = find_state_dicts(value)
    except Exception as error:  # torch.load has no one exception for a file that is not its own
        way, why = "give safetensors, or a state dict that torch.save wrote", brief(error)
        if isinstance(error, pickle.UnpicklingError) and "eights only load failed" in str(error):
            found = re.search(r"Unsupported global: GLOBAL (\S{1,100})", str(error))
            why = (
                f"it holds {found[1]}, which is no tensor" if found else "it holds other things than tensors"
            )
            way += f", or {UNSAFE}"
            if found and "Uninitialized" in found[1]:
                why = "it holds uninitialised parameters, those of a lazy network that has not been run"
                way = "run the network once on an input before saving it"
        raise LurkError(f"weights {str(path)!r} cannot be read ({why}): {way}") from None
    if not stored:
        raise LurkError(_no_state_dict(value, path))
    tuned = read_metadata(metadata, repr(str(path)))
    name = f"file:{escape_surrogates(path.name)}{entry and ':'}{escape_surrogates(entry)}"
    state: dict[str, Any] = dict(without_wrappers(stored[0]))
    if tuned is not None and tuned.extra:
        extra = read_extra(tuned, repr(str(path)))
        state |= extra
        stored = (StateDict((), {**stored[0].entries, **extra}),)
    return Weights(state, name, sha256, tuned=tuned, stored=stored, entry=entry)


def _no_state_dict(value: Any, path: Path) -> str:
    """Say what a file holds in place of weights."""
    what, other = f"a {type(value).__name__}", inert_in(value)
    if isinstance(value, Mapping) and value:
        what += f" ({', '.join(str(key)[:40] for key in list(value)[:3])}{', …' if len(value) > 3 else ''})"
    if other:
        what += f" with {other}, which is read only with {UNSAFE}"
    return f"weights {str(path)!r} hold {what}, not a state dict"


def _split(path: Path) -> tuple[Path, str]:
    """A file, and what is named in it after a colon."""
    text = str(path)
    for at in (at for at, character in enumerate(text) if character == ":" and not path.exists()):
        if at and Path(text[:at]).is_file():
            return Path(text[:at]), text[at + 1 :]
    return path, ""


def _metadata(path: Path) -> dict[str, str] | None:
    """What a safetensors file says besides its tensors."""
    with safe_open(path, "pt") as handle:
        found: dict[str, str] | None = handle.metadata()
    return found


def _torch_load(path: Path, unsafe_pickle: bool) -> Any:
    """Load a torch file to the CPU, tensors and plain values only if it is not to be trusted."""
    if not unsafe_pickle:
        return load_inert(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=False)


def brief(error: BaseException) -> str:
    """Say an exception in a part of a line, of at most 160 characters."""
    # "<urlopen error [Errno -2] ...>" says no more than what is in it
    lines = str(error).strip().removeprefix("<urlopen error ").removesuffix(">").splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]
