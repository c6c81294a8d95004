"""Digests of state dicts: of tensors of every kind, and of the extra state that modules keep beside them."""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Mapping, Set
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from torchlurk.errors import LurkError

DEPTH = 32
"""How deep the objects of an extra state are followed."""


def state_digest(state: Mapping[str, Any]) -> str:
    """Digest the values of a state dict, whatever file it lies in.

    Args:
        state: Tensors by name; also what else a state dict holds, such as the extra state of a module or the
            packed parameters of a quantised one.

    Returns:
        The sha256 over names, types, shapes and bytes, in the order of the names.

    Raises:
        LurkError: A tensor has no values: it is uninitialised (a lazy module) or on the meta device.
    """
    total = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if isinstance(value, Tensor):
            check_has_values(name, value)
            total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode("utf-8", "surrogatepass"))
            for part in _parts(value):
                total.update(part)
        else:
            total.update(f"{name} {type(value).__name__}\n".encode("utf-8", "surrogatepass"))
            total.update(_digest(value, {}))
    return total.hexdigest()


def check_has_values(name: str, tensor: Tensor) -> None:
    """Refuse a tensor without values.

    Args:
        name: Its name in the network.
        tensor: An entry of the network's state dict.

    Raises:
        LurkError: It is uninitialised, or on the meta device.
    """
    if is_lazy(tensor):
        raise LurkError(
            f"{name} of the network is not initialised, as its module is lazy: run the network once on an "
            "input before, or load its weights from a file"
        )
    if tensor.is_meta:
        raise LurkError(
            f"{name} of the network is on the meta device and has no values: load its weights before"
        )


def _parts(tensor: Tensor) -> list[Any]:
    """The bytes of a tensor; an ordinary one is a single part."""
    tensor = tensor.detach()
    try:
        if tensor.is_quantized:
            return _quantised(tensor)
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        # A copy: torch does not resize a tensor any more whose memory NumPy has seen, as observers do.
        plain = tensor.resolve_conj().resolve_neg().cpu().clone(memory_format=torch.contiguous_format)
        return [plain.reshape(-1).view(torch.uint8).numpy().data]
    except (RuntimeError, TypeError, NotImplementedError, AttributeError):
        return _subclass(tensor)


def _quantised(tensor: Tensor) -> list[Any]:
    """The integers of a quantised tensor, and how they are scaled."""
    parts = _parts(tensor.int_repr())
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return [*parts, f"{tensor.q_scale()!r} {tensor.q_zero_point()}".encode()]
    scales, points = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return [*parts, *_parts(scales), *_parts(points), str(tensor.q_per_channel_axis()).encode()]


def _subclass(tensor: Tensor) -> list[Any]:
    """The inner tensors of a tensor subclass; of one that names none, its values as numbers."""
    if hasattr(tensor, "__tensor_flatten__"):
        names, context = cast(Any, tensor).__tensor_flatten__()
        inner = [part for name in sorted(names) for part in _parts(getattr(tensor, name))]
        return [*inner, _digest(context, {})]
    return [repr(tensor.cpu().tolist()).encode("utf-8", "surrogatepass")]


def _digest(value: Any, seen: Mapping[int, int]) -> bytes:
    """Digest any Python value by what it holds; `seen` are the objects that it lies in, by their identity."""
    if id(value) in seen:
        return _tagged("seen", str(seen[id(value)]).encode())
    if len(seen) > DEPTH:
        return _tagged("deep", _name(type(value)))
    inside = {**seen, id(value): len(seen)}
    if isinstance(value, Tensor):
        if is_lazy(value) or value.is_meta:
            return _tagged("empty", str(value.dtype).encode())
        return _tagged("tensor", f"{value.dtype} {tuple(value.shape)}".encode(), *_parts(value))
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return _tagged("array", f"{value.dtype.str} {value.shape}".encode(), value.tobytes())
    if value is None or isinstance(value, bool | int | float | complex | str):
        return _tagged(type(value).__name__, repr(value).encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes | bytearray | memoryview):
        return _tagged("bytes", bytes(value))
    if isinstance(value, Mapping):
        pairs = sorted(_digest(k, inside) + _digest(v, inside) for k, v in value.items())
        return _tagged(type(value).__name__, *pairs)
    if isinstance(value, list | tuple):
        return _tagged(type(value).__name__, *(_digest(item, inside) for item in value))
    if isinstance(value, Set):
        return _tagged(type(value).__name__, *sorted(_digest(item, inside) for item in value))
    if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format | torch.qscheme):
        return _tagged("torch", str(value).encode())
    if isinstance(value, type) or hasattr(value, "__qualname__"):  # classes and functions go by their names
        return _tagged("name", _name(value))
    return _tagged("object", _name(type(value)), *_contents(value, inside))


def _contents(value: Any, inside: Mapping[int, int]) -> list[bytes]:
    """What an object holds, as it would be pickled; nothing of one that cannot be."""
    try:
        if isinstance(value, torch.ScriptObject):  # packed parameters of a quantised module
            return [_digest(value.__getstate__(), inside)]
        registered: Any = copyreg.dispatch_table.get(type(value))
        reduced = registered(value) if registered else value.__reduce_ex__(2)
    except Exception:  # whatever somebody's object raises
        return []
    if isinstance(reduced, str):
        return [_digest(reduced, inside)]
    _, arguments, *rest = reduced
    state, *items = [*rest, None, None, None][:3]
    listed = [list(item) if item is not None else None for item in items]
    return [_digest(part, inside) for part in (arguments, state, *listed)]


def _tagged(kind: str, *parts: Any) -> bytes:
    """A digest of parts, none of which can be taken for another."""
    total = hashlib.sha256(f"{kind} {len(parts)}".encode("utf-8", "surrogatepass"))
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.digest()


def _name(value: Any) -> bytes:
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", type(value).__name__)
    return f"{module}.{name}".encode("utf-8", "surrogatepass")
