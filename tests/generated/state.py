"""Snapshots of the state of a module and of torch's global state, as flat tables that can be compared."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import torch
from torch import Tensor, nn

Snapshot = dict[str, object]
"""The values by readable path; equal values compare equal."""


def snapshot(model: nn.Module) -> Snapshot:
    """Return the `__dict__` tree of every module, with parameters and buffers, and torch's global state."""
    table: Snapshot = dict(_torch())
    for name, module in model.named_modules():
        path = f"model.{name}" if name else "model"
        table[f"type({path})"] = type(module)
        table[f"id({path})"] = id(module)
        for key, value in vars(module).items():
            exact = key in ("_parameters", "_buffers")
            _add(table, f"{path}.{key}", value, {id(module)}, exact=exact)
        table[f"vars({path})"] = sorted(vars(module))
    return table


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Return one line for each difference."""
    lines = [f"{key} is new" for key in after if key not in before]
    for key, value in before.items():
        if key not in after:
            lines.append(f"{key} is missing")
        elif after[key] != value:
            lines.append(f"{key} was {_brief(value)} and is {_brief(after[key])}")
    return sorted(lines)


def _brief(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes with CRC {zlib.crc32(value):08x}"
    text = repr(value)
    return text if len(text) < 90 else text[:87] + "..."


def _torch() -> Snapshot:
    """Return the state of torch's random generator and its global settings."""
    hooks = {
        f"torch {name}": list(value)
        for name, value in vars(torch.nn.modules.module).items()
        if name.startswith("_global_") and name.endswith("_hooks")
    }
    return {
        **hooks,
        "torch.get_rng_state()": torch.get_rng_state().numpy().tobytes(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.is_inference_mode_enabled()": torch.is_inference_mode_enabled(),
        "torch.is_anomaly_enabled()": torch.is_anomaly_enabled(),
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.are_deterministic_algorithms_enabled()": torch.are_deterministic_algorithms_enabled(),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "torch.is_autocast_enabled('cpu')": torch.is_autocast_enabled("cpu"),
        "torch.is_autocast_cache_enabled()": torch.is_autocast_cache_enabled(),
        "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
        "torch.backends.cudnn.deterministic": torch.backends.cudnn.deterministic,
        "torch function modes": torch.overrides._get_current_function_mode_stack(),
    }


def _add(table: Snapshot, path: str, value: Any, above: set[int], *, exact: bool = False) -> None:
    """Add a value and its contents to the table.

    Args:
        table: the snapshot to extend.
        path: the path of the value.
        value: the value.
        above: the ids of the objects that contain the value.
        exact: whether tensors must be the same objects in the same memory, as parameters and buffers are.
    """
    table[f"type({path})"] = type(value)
    if isinstance(value, Tensor):
        _add_tensor(table, path, value, exact=exact)
    elif isinstance(value, nn.Module):
        table[f"id({path})"] = id(value)
    elif value is None or isinstance(value, str | bytes | bool | int | float | complex):
        table[path] = repr(value)
    elif id(value) in above:
        table[path] = id(value)
    elif isinstance(value, Mapping):
        table[f"list({path})"] = [repr(key) for key in value]
        for key, item in value.items():
            _add(table, f"{path}[{key!r}]", item, above | {id(value)}, exact=exact)
    elif isinstance(value, AbstractSet):
        table[path] = sorted(map(repr, value))
    elif isinstance(value, list | tuple):
        table[f"len({path})"] = len(value)
        for at, item in enumerate(value):
            _add(table, f"{path}[{at}]", item, above | {id(value)}, exact=exact)
    else:  # a function, a size, a device, a user's object
        table[path] = repr(value) if isinstance(value, torch.dtype | torch.device) else id(value)


def _add_tensor(table: Snapshot, path: str, tensor: Tensor, *, exact: bool) -> None:
    table[f"{path}.dtype"] = tensor.dtype
    table[f"{path}.shape"] = tuple(tensor.shape)
    table[f"{path}.stride()"] = tensor.stride()
    table[f"{path}.requires_grad"] = tensor.requires_grad
    table[f"{path}.is_leaf"] = tensor.is_leaf
    table[f"{path}.is_inference()"] = tensor.is_inference()
    table[path] = _values(tensor)
    if exact:
        table[f"id({path})"] = id(tensor)
        table[f"{path}.data_ptr()"] = (tensor.data_ptr(), tensor.untyped_storage().data_ptr())
        grad = tensor.grad
        table[f"type({path}.grad)"] = type(grad)
        if grad is not None:
            table[f"id({path}.grad)"] = id(grad)
            _add_tensor(table, f"{path}.grad", grad, exact=False)


def _values(tensor: Tensor) -> object:
    """Return the values as bytes, or the device of a tensor that is not on the CPU."""
    if tensor.device.type != "cpu":
        return tensor.device
    return tensor.detach().resolve_conj().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
