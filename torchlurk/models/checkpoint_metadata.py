"""What a checkpoint of a fine-tuning says of its network that its tensors alone do not."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
import torch
from torch import nn

from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.models.plain_values import from_json
from torchlurk.models.state_dicts import WRAPPERS, plain_name

KEY: Final = "torchlurk"
"""The one key of the metadata of a safetensors file; several would come in an order by chance."""


@dataclass(frozen=True)
class Tuned:
    """What it takes, besides the tensors, to build the network again.

    Attributes:
        classes: What its outputs stand for, in order.
        head: The dotted name of the layer that gives them.
        input: What it was fed; None where that is a transform that the network comes with.
        transform_input: Whether the network normalises its input anew, as GoogLeNet and Inception can.
        format: Of this record.
        extra: What the network's state dict holds besides tensors (the extra state of its modules), by name,
            as `to_json` has it.
    """

    classes: tuple[str, ...]
    head: str
    input: Preprocess | None
    transform_input: bool = False
    format: Literal[1] = 1
    extra: dict[str, Any] = field(default_factory=dict)


def write_metadata(tuned: Tuned) -> dict[str, str]:
    """The record as metadata of a safetensors file."""
    record = msgspec.to_builtins(tuned)
    if not tuned.extra:  # few networks have any
        del record["extra"]
    return {KEY: msgspec.json.encode(record, order="sorted").decode()}


def read_metadata(metadata: Mapping[str, str] | None, what: str) -> Tuned | None:
    """The record in the metadata of a safetensors file; None where somebody else wrote the file.

    Args:
        metadata: Of the file, if it has any.
        what: What to call the file in a message.

    Raises:
        LurkError: It is of a newer Torchlurk, or damaged.
    """
    text = (metadata or {}).get(KEY)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Tuned)
    except msgspec.MsgspecError as error:
        raise LurkError(
            f"weights {what} say of their network what cannot be understood ({error}): were they written by "
            "a newer torchlurk? Update it"
        ) from None


def read_extra(tuned: Tuned, what: str) -> dict[str, Any]:
    """The entries of the network's state dict that are no tensors, by name.

    Args:
        tuned: The record of a checkpoint.
        what: What to call the file in a message.

    Raises:
        LurkError: They are damaged.
    """
    try:
        return {name: from_json(value) for name, value in tuned.extra.items()}
    except ValueError as error:
        raise LurkError(
            f"weights {what} hold extra state that cannot be read ({error}): give others"
        ) from None


def same_layer(module: nn.Module, name: str) -> str:
    """The name of a layer in a network that may be wrapped in another way than when it was named.

    Args:
        module: The network.
        name: The dotted name of the layer, in a network that may have been in a `DataParallel`.

    Returns:
        That of the network's own layer, or the name as it is where no single one is meant.
    """
    names = [own for own, _ in module.named_modules()]
    alike = [
        own for own in names if plain_name(own) == plain_name(name) and own.rpartition(".")[2] not in WRAPPERS
    ]
    return alike[0] if len(alike) == 1 and name not in names else name


def renew_head(module: nn.Module, name: str, classes: int, seed: int) -> None:
    """Put a fresh layer of the same kind where a network has its head.

    The layer is initialised as torch initialises its kind, from the seed: its values are those of
    `torch.manual_seed(seed)` and a new `nn.Linear` or `nn.Conv2d`.

    Args:
        module: The network; changed in place.
        name: The dotted name of its head.
        classes: How many values the new one gives.
        seed: Of its initial values; torch's own generator is left as it was.

    Raises:
        LurkError: There is no such layer, or it is neither linear nor a convolution.
    """
    parent, _, last = name.rpartition(".")
    try:
        old: Any = module.get_submodule(name)
    except AttributeError:
        old = None
    plain = isinstance(old, nn.Linear | nn.Conv2d) and old._parameters.get("weight") is not None
    if not plain:
        what = "has no such layer" if old is None else f"has a {type(old).__name__} there"
        raise LurkError(
            f"the head {name!r} should be a Linear or a Conv2d of one group, the network {what}: is this "
            "another architecture?"
        )
    head = copy.deepcopy(old)
    setattr(head, "out_features" if isinstance(old, nn.Linear) else "out_channels", classes)
    kind = old.weight.dtype
    head.weight = nn.Parameter(torch.empty((classes, *old.weight.shape[1:]), dtype=kind))
    if old.bias is not None:
        head.bias = nn.Parameter(torch.empty(classes, dtype=kind))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        head.reset_parameters()
    setattr(module.get_submodule(parent), last, head.to(old.weight.device))
