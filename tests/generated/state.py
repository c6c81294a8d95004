"""All of a module's state that can be reached, and torch's own, as a flat table that can be compared."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import torch
from torch import Tensor, nn

Snapshot = dict[str, object]
"""By a readable path, what stands there; equal values compare equal."""


def snapshot(model: nn.Module) -> Snapshot:
    """The `__dict__` tree of every module, its parameters and buffers, and torch's global state."""
    found: Snapshot = dict(_torch())
    for name, module in model.named_modules():
        where = f"model.{name}" if name else "model"
        found[f"type({where})"] = type(module)
        found[f"id({where})"] = id(module)
        for key, value in vars(module).items():
            exact = key in ("_parameters", "_buffers")
            _add(found, f"{where}.{key}", value, {id(module)}, exact=exact)
        found[f"vars({where})"] = sorted(vars(module))
    return found


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is not as before, a line each."""
    found = [f"{key} is new" for key in after if key not in before]
    for key, value in before.items():
        if key not in after:
            found.append(f"{key} is missing")
        elif after[key] != value:
            found.append(f"{key} was {_brief(value)} and is {_brief(after[key])}")
    return sorted(found)


def _brief(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes of sum {zlib.crc32(value):08x}"
    text = repr(value)
    return text if len(text) < 90 else text[:87] + "..."


def _torch() -> Snapshot:
    """Torch's random numbers and global settings."""
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


def _add(found: Snapshot, where: str, value: Any, above: set[int], *, exact: bool = False) -> None:
    """Add a value and all that is in it.

    Args:
        found: the table.
        where: the value's path.
        value: what is there.
        above: ids of the objects that contain it.
        exact: whether tensors must be the same objects in the same memory, as parameters and buffers are.
    """
    found[f"type({where})"] = type(value)
    if isinstance(value, Tensor):
        _add_tensor(found, where, value, exact=exact)
    elif isinstance(value, nn.Module):
        found[f"id({where})"] = id(value)
    elif value is None or isinstance(value, str | bytes | bool | int | float | complex):
        found[where] = repr(value)
    elif id(value) in above:
        found[where] = id(value)
    elif isinstance(value, Mapping):
        found[f"list({where})"] = [repr(key) for key in value]
        for key, item in value.items():
            _add(found, f"{where}[{key!r}]", item, above | {id(value)}, exact=exact)
    elif isinstance(value, AbstractSet):
        found[where] = sorted(map(repr, value))
    elif isinstance(value, list | tuple):
        found[f"len({where})"] = len(value)
        for at, item in enumerate(value):
            _add(found, f"{where}[{at}]", item, above | {id(value)}, exact=exact)
    else:  # a function, a size, a device, an object of the user's own
        found[where] = repr(value) if isinstance(value, torch.dtype | torch.device) else id(value)


def _add_tensor(found: Snapshot, where: str, tensor: Tensor, *, exact: bool) -> None:
    found[f"{where}.dtype"] = tensor.dtype
    found[f"{where}.shape"] = tuple(tensor.shape)
    found[f"{where}.stride()"] = tensor.stride()
    found[f"{where}.requires_grad"] = tensor.requires_grad
    found[f"{where}.is_leaf"] = tensor.is_leaf
    found[f"{where}.is_inference()"] = tensor.is_inference()
    found[where] = _values(tensor)
    if exact:
        found[f"id({where})"] = id(tensor)
        found[f"{where}.data_ptr()"] = (tensor.data_ptr(), tensor.untyped_storage().data_ptr())
        grad = tensor.grad
        found[f"type({where}.grad)"] = type(grad)
        if grad is not None:
            found[f"id({where}.grad)"] = id(grad)
            _add_tensor(found, f"{where}.grad", grad, exact=False)


def _values(tensor: Tensor) -> object:
    """Its values as bytes; the device alone where it has none, as a tensor on the meta device."""
    if tensor.device.type != "cpu":
        return tensor.device
    return tensor.detach().resolve_conj().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
