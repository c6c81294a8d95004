"""Switch TensorFloat-32 off, through either of the two interfaces that torch has for it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def without_tensorfloat32() -> Iterator[None]:
    """Compute convolutions and matrix products of float32 on CUDA in full precision.

    TensorFloat-32 has three decimal digits. Torch uses it for convolutions by default, and for matrix
    products if a program allows it. The previous settings are restored afterwards.
    """
    settings = _settings()
    before = [getattr(target, name) for target, name, _ in settings]
    # A setting that is right already is left alone, since torch distinguishes it from one that was made.
    changed = [(*setting, old) for setting, old in zip(settings, before, strict=True) if setting[2] != old]
    try:
        for target, name, value, _ in changed:
            setattr(target, name, value)
        yield
    finally:
        for target, name, _, old in changed:
            setattr(target, name, old)


def _settings() -> list[tuple[Any, str, Any]]:
    """Return the settings that switch TensorFloat-32 off, as objects, attributes and values.

    Torch 2.9 introduced `fp32_precision` beside `allow_tf32`. After a program has used one of them, reading
    the other raises an error, and `allow_tf32 = False` has no effect on a precision that is set for all
    operations. So the present interface is used only if the program has used it.
    """
    former = _FormerSettings()
    backends: Any = torch.backends  # torch before 2.9 lacks some attributes
    if "tf32" not in (getattr(target, "fp32_precision", "") for target in (backends, backends.cudnn)):
        try:
            _ = former.convolutions, former.products
        except RuntimeError:
            pass
        else:
            return [(former, "convolutions", False), (former, "products", "highest")]
    cudnn, matmul = backends.cudnn, backends.cuda.matmul
    return [(target, "fp32_precision", "ieee") for target in (cudnn.conv, cudnn.rnn, matmul)]


class _FormerSettings:
    """The settings of torch before 2.9, without the warnings of later versions that there are new ones."""

    @property
    def convolutions(self) -> bool:
        with _silently():
            return bool(torch.backends.cudnn.allow_tf32)

    @convolutions.setter
    def convolutions(self, value: bool) -> None:
        with _silently():
            torch.backends.cudnn.allow_tf32 = value

    @property
    def products(self) -> str:
        with _silently():
            return torch.get_float32_matmul_precision()

    @products.setter
    def products(self, value: str) -> None:
        with _silently():
            torch.set_float32_matmul_precision(value)


@contextmanager
def _silently() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
