"""The metadata of a checkpoint of `torchlurk transfer`, and the new head that a fine-tuned network has."""

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
from torchlurk.models.state_dicts import WRAPPERS, canonical_name

METADATA_KEY: Final = "torchlurk"
"""The only key in the metadata of a safetensors file; safetensors writes several keys in random order."""


@dataclass(frozen=True)
class CheckpointMetadata:
    """What is needed besides the tensors to build the network again.

    Attributes:
        classes: The class names of its outputs, in order.
        head: The dotted name of the layer that returns them.
        input: Its preprocessing; `None` if that is a transform that comes with the network.
        transform_input: Whether the network normalises its input again, as GoogLeNet and Inception can.
        format: Version of this record.
        extra: Entries of the state dict that are no tensors (the extra state of modules), by name, as
            `to_json` returns them.
    """

    classes: tuple[str, ...]
    head: str
    input: Preprocess | None
    transform_input: bool = False
    format: Literal[1] = 1
    extra: dict[str, Any] = field(default_factory=dict)


def encode_metadata(metadata: CheckpointMetadata) -> dict[str, str]:
    """Return the metadata in the form that a safetensors file holds."""
    record = msgspec.to_builtins(metadata)
    if not metadata.extra:  # few networks have any
        del record["extra"]
    return {METADATA_KEY: msgspec.json.encode(record, order="sorted").decode()}


def decode_metadata(metadata: Mapping[str, str] | None, what: str) -> CheckpointMetadata | None:
    """Return the metadata in a safetensors file; `None` if the file does not come from `torchlurk transfer`.

    Args:
        metadata: Of the file; `None` if it has none.
        what: The name of the file in an error message.

    Raises:
        LurkError: A newer Torchlurk wrote the metadata, or they are damaged.
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=CheckpointMetadata)
    except msgspec.MsgspecError as error:
        raise LurkError(
            f"the metadata of weights {what} cannot be read ({error}): they are damaged, or written by a "
            "newer torchlurk",
            "update torchlurk",
        ) from None


def decode_extra_state(metadata: CheckpointMetadata, what: str) -> dict[str, Any]:
    """Return the entries of the network's state dict that are no tensors, by name.

    Args:
        metadata: Of a checkpoint.
        what: The name of the file in an error message.

    Raises:
        LurkError: They are damaged.
    """
    try:
        return {name: from_json(value) for name, value in metadata.extra.items()}
    except ValueError as error:
        raise LurkError(
            f"weights {what} hold extra state that cannot be read ({error})", "give other weights"
        ) from None


def resolve_layer_name(module: nn.Module, name: str) -> str:
    """Return the name of a layer in a network that may have other wrappers than when it was named.

    Args:
        module: The network.
        name: The dotted name of the layer, in a network that may have been in a `DataParallel`.

    Returns:
        The name in this network; the given name if it exists, or if not exactly one layer corresponds to it.
    """
    names = [own for own, _ in module.named_modules()]
    same = [
        own
        for own in names
        if canonical_name(own) == canonical_name(name) and own.rpartition(".")[2] not in WRAPPERS
    ]
    return same[0] if len(same) == 1 and name not in names else name


def replace_head(module: nn.Module, name: str, classes: int, seed: int) -> None:
    """Replace the head of a network by a new layer of the same type, for another number of classes.

    Torch initialises the layer from the seed: its values are those of a new `nn.Linear` or `nn.Conv2d` after
    `torch.manual_seed(seed)`.

    Args:
        module: The network; changed in place.
        name: The dotted name of its head.
        classes: The number of outputs of the new head.
        seed: Of its initial values; torch's global generator is left as it was.

    Raises:
        LurkError: There is no such layer, or it is neither a `Linear` nor a `Conv2d`.
    """
    parent, _, last = name.rpartition(".")
    try:
        old: Any = module.get_submodule(name)
    except AttributeError:
        old = None
    replaceable = isinstance(old, nn.Linear | nn.Conv2d) and old._parameters.get("weight") is not None
    if not replaceable:
        what = "has no such layer" if old is None else f"has a {type(old).__name__} there"
        raise LurkError(
            f"the head {name!r} must be a Linear or a Conv2d of one group, but the network {what}",
            "the network may have another architecture than the checkpoint",
        )
    head = copy.deepcopy(old)
    setattr(head, "out_features" if isinstance(old, nn.Linear) else "out_channels", classes)
    dtype = old.weight.dtype
    head.weight = nn.Parameter(torch.empty((classes, *old.weight.shape[1:]), dtype=dtype))
    if old.bias is not None:
        head.bias = nn.Parameter(torch.empty(classes, dtype=dtype))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        head.reset_parameters()
    setattr(module.get_submodule(parent), last, head.to(old.weight.device))
