"""Restore everything that a forward changes in a network.

What a contributor may rely on:

- A forward may set attributes, fill a cache, append to a list, or count its calls in a buffer. Inside
  `preserve(model)` it does so freely; afterwards the model comes back as it was, also after an exception or
  Ctrl-C.
- The values of parameters are the exception: they are not recorded, since that would copy the whole network.
  `isolated` gives the model copies of its parameters instead.
- Blocks may be nested: each restores the state at its own beginning.

How it works: before the block, `_record` walks over all objects that the model holds and returns, for each, a
function that restores it; after the block, these functions are called in reverse order.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_Undo = Callable[[], None]
"""Restores one object."""

_STATELESS = (str, bytes, int, float, complex, bool, type(None), type, ModuleType)
"""Types whose values cannot change."""

_FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType)

_UNCHANGED_OBJECTS = (
    "builtins", "torch", "lightning", "pytorch_lightning", "logging", "threading", "multiprocessing",
    "weakref",
)  # fmt: skip
"""Packages whose objects a forward does not change, such as optimisers, trainers and loggers."""

_UNCHANGED_CLASSES = (*_UNCHANGED_OBJECTS, "torchvision", "timm", "transformers")
"""Packages whose classes a forward does not change."""


@contextmanager
def preserve(model: nn.Module) -> Iterator[None]:
    """Restore everything that a forward changes in a network, also after an exception or an interrupt.

    Restored are

    - the attributes of all modules, and of those of their classes that are the user's, with the containers,
      objects and tensors that they hold;
    - the values of buffers and of tensors in attributes; of parameters the memory, `requires_grad` and the
      gradient, but not the values;
    - the classes of modules, which lazy modules change;
    - the states of the random number generators of torch, NumPy and Python.

    Args:
        model: The network.
    """
    restore = _record(model)
    devices = {t.device.index or 0 for t in (*model.parameters(), *model.buffers()) if t.is_cuda}
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=sorted(devices)):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            with torch.inference_mode(False), torch.no_grad():
                for undo in reversed(restore):
                    undo()


def random_states() -> tuple[Any, ...]:
    """Return the states of the random number generators of torch, NumPy and Python, for comparison."""
    name, keys, *rest = np.random.get_state()
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    states = (torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if started else ()))
    return [s.tolist() for s in states], random.getstate(), name, np.asarray(keys).tolist(), *rest


@contextmanager
def reproducible(model: nn.Module) -> Iterator[None]:
    """Seed the random number generators of torch, NumPy and Python, and restore the network afterwards.

    So a network that draws random numbers, or changes with every forward, gives the same output each time.
    """
    with preserve(model):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        yield


def _record(model: nn.Module) -> list[_Undo]:
    """Return functions that restore the objects that a network holds, one for each object."""
    restore: list[_Undo] = []
    seen: dict[int, Any] = {}  # holds the objects, so that no new object gets the id of a deleted one
    waiting: list[Any] = [model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (*_STATELESS, *_FUNCTIONS)) or id(value) in seen:
            continue
        seen[id(value)] = value
        undo, inner = _record_object(value)
        if undo is not None:
            restore.append(undo)
        waiting.extend(item for item in inner if not isinstance(item, _STATELESS))
    return restore


def _record_object(value: Any) -> tuple[_Undo | None, list[Any]]:
    """Return a function that restores an object, or `None` if nothing can change, and what it holds."""
    if isinstance(value, Tensor):
        return _record_tensor(value), []
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: _ignore(value.set_state(state)), []
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        before = bits.state
        return lambda: setattr(bits, "state", before), []
    if isinstance(value, random.Random):
        inner_state = value.getstate()
        return lambda: value.setstate(inner_state), []
    if isinstance(value, np.ndarray):
        return _record_array(value), []
    if isinstance(value, dict):
        return _record_dict(value), list(value.values())
    if isinstance(value, list | deque):
        return _record_sequence(value), list(value)
    if isinstance(value, set):
        members = set(value)
        return lambda: _refill(value, members), list(value)
    if isinstance(value, tuple | frozenset):
        return None, list(value)
    if isinstance(value, nn.Module) or _is_plain_object(value):
        return _record_attributes(value)
    return None, []


def _ignore(value: object) -> None:
    """Discard the result of a call that is made for its effect."""


def _is_plain_object(value: Any) -> bool:
    """Return whether an object has attributes that a forward may change."""
    kind = type(value)
    return not _is_defined_in(_UNCHANGED_OBJECTS, kind) and (
        isinstance(getattr(value, "__dict__", None), dict) or bool(_slots(kind))
    )


def _is_defined_in(packages: tuple[str, ...], kind: type) -> bool:
    return kind.__module__.partition(".")[0] in packages


def _slots(kind: type) -> list[str]:
    """Return the names of the attributes that a class and its bases define with `__slots__`."""
    members = ((name, value) for base in kind.__mro__ for name, value in vars(base).items())
    return [name for name, value in members if isinstance(value, MemberDescriptorType)]


def _record_attributes(value: Any) -> tuple[_Undo, list[Any]]:
    """Restore the class and the slots of an object; of a module, also the attributes of the user's classes.

    The `__dict__` of the object is a dict that it holds, so it is recorded as such.
    """
    kind = type(value)
    slots = {name: getattr(value, name, _ABSENT) for name in _slots(kind)}
    classes = [
        (base, dict(vars(base)))
        for base in kind.__mro__
        if isinstance(value, nn.Module)
        and base is not object
        and not _is_defined_in(_UNCHANGED_CLASSES, base)
    ]

    def undo() -> None:
        if type(value) is not kind:
            value.__class__ = kind
        for name, before in slots.items():
            if getattr(value, name, _ABSENT) is not before:
                _set(object, value, name, before)
        for base, attributes in classes:
            now = dict(vars(base))
            for name in {**attributes, **now}:
                before = attributes.get(name, _ABSENT)
                if now.get(name, _ABSENT) is not before:
                    _set(type, base, name, before)

    held = [attribute for _, attributes in classes for attribute in attributes.values()]
    return undo, [getattr(value, "__dict__", None), *slots.values(), *held]


_ABSENT = type("Absent", (), {})
"""The value of an attribute that does not exist."""


def _set(base: Any, target: Any, name: str, value: Any) -> None:
    """Set or delete an attribute with the methods of `base`, not those of a frozen dataclass."""
    if value is _ABSENT:
        base.__delattr__(target, name)
    else:
        base.__setattr__(target, name, value)


def _record_dict(value: dict[Any, Any]) -> _Undo:
    # A subclass may override these methods. An OrderedDict keeps its order beside its items.
    kind: type[dict[Any, Any]] = OrderedDict if isinstance(value, OrderedDict) else dict
    items = list(kind.items(value))

    def undo() -> None:
        same = len(items) == len(value) and all(
            k is key and v is old for (key, old), (k, v) in zip(items, kind.items(value), strict=True)
        )
        if not same:
            kind.clear(value)
            for key, old in items:
                kind.__setitem__(value, key, old)

    return undo


def _record_sequence(value: list[Any] | deque[Any]) -> _Undo:
    items = list(value)

    def undo() -> None:
        if len(items) != len(value) or any(a is not b for a, b in zip(items, value, strict=True)):
            value.clear()
            value.extend(items)

    return undo


def _refill(value: set[Any], members: set[Any]) -> None:
    if value != members:
        value.clear()
        value.update(members)


def _record_array(value: np.ndarray[Any, Any]) -> _Undo:
    if not value.flags.writeable or value.dtype.hasobject:
        return lambda: None
    before = value.copy()

    def undo() -> None:
        value[...] = before

    return undo


def _record_tensor(value: Tensor) -> _Undo | None:
    """Restore the values and the memory of a tensor; of a parameter see `_record_parameter`."""
    if is_lazy(value) or value.is_meta:
        return None
    if isinstance(value, nn.Parameter):
        return _record_parameter(value)
    memory, before = (None if value.is_inference() else value.data), value.detach().clone()

    def undo() -> None:
        if memory is not None:
            value.data = memory
        if not _equal(value, before):
            with torch.inference_mode(value.is_inference()):
                value.data.copy_(before)  # does not increase the version counter of autograd

    return undo


def _record_parameter(value: nn.Parameter) -> _Undo | None:
    """Restore the memory, `requires_grad` and the gradient of a parameter."""
    if value.is_inference():
        return None
    memory, requires_grad, gradient = value.data, value.requires_grad, value.grad
    gradient_memory = None if gradient is None else gradient.data

    def undo() -> None:
        value.data = memory
        if gradient is not None and gradient_memory is not None:
            gradient.data = gradient_memory  # torch refuses a gradient of another type than the parameter
        if value.grad is not gradient:
            value.grad = gradient
        value.requires_grad_(requires_grad)

    return undo


def _equal(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors have the same type and values; NaN equals nothing."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    try:
        return torch.equal(first, second)
    except (RuntimeError, NotImplementedError):  # some kinds of tensors cannot be compared
        return False
