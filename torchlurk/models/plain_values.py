"""Plain Python values, such as the extra state of a module, to JSON and back without loss."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import torch
from torch import Tensor


class NotPlainError(ValueError):
    """A value cannot be written as JSON; the message is the name of its type."""


def to_json(value: Any) -> Any:
    """Return a value as JSON, from which `from_json` makes an equal value of the same type.

    Args:
        value: None, a number, a string, bytes, a dtype, a tensor, or a list, tuple or dict of these.

    Returns:
        Strings, numbers, lists and None.

    Raises:
        NotPlainError: The value is of another type.

    Examples:
        >>> to_json({"scale": 0.5})
        ['dict', [['str', 'scale'], ['float', '0x1.0000000000000p-1']]]
    """
    kind = type(value)
    if value is None:
        return None
    if kind in (bool, int, str):
        return [kind.__name__, value if kind is not int else str(value)]
    if kind is float:
        return ["float", value.hex()]
    if kind is bytes:
        return ["bytes", b64encode(value).decode()]
    if kind in (list, tuple):
        return [kind.__name__, *map(to_json, value)]
    if kind is dict:
        return ["dict", *([to_json(key), to_json(item)] for key, item in value.items())]
    if kind is torch.dtype:
        return ["dtype", str(value).removeprefix("torch.")]
    if kind is Tensor and value.layout is torch.strided and not value.is_quantized and not value.is_meta:
        plain = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
        data = b64encode(plain.reshape(-1).view(torch.uint8).numpy().tobytes()).decode()
        return ["tensor", str(value.dtype).removeprefix("torch."), list(value.shape), data]
    raise NotPlainError(kind.__qualname__)


def from_json(value: Any) -> Any:
    """Return the value that `to_json` wrote; tensors are on the CPU.

    Args:
        value: What `to_json` returned.

    Raises:
        ValueError: The value does not come from `to_json`.
    """
    if value is None:
        return None
    try:
        kind, *rest = value
        if kind in ("bool", "str"):
            return rest[0]
        if kind in ("int", "float"):
            return int(rest[0]) if kind == "int" else float.fromhex(rest[0])
        if kind == "bytes":
            return b64decode(rest[0])
        if kind in ("list", "tuple"):
            items = list(map(from_json, rest))
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {from_json(key): from_json(item) for key, item in rest}
        dtype = getattr(torch, rest[0])
        if kind == "dtype":
            return dtype
        data = torch.frombuffer(bytearray(b64decode(rest[2])) or bytearray(1), dtype=torch.uint8)
        return data[: len(b64decode(rest[2]))].view(dtype).reshape(rest[1])
    except (AttributeError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(f"no value: {error}") from error
