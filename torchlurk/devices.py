"""What there is to compute on."""

from __future__ import annotations

import torch

from torchlurk.errors import LurkError


def choose_device(wanted: str) -> torch.device:
    """The device of that name; `auto` takes cuda where there is one.

    Raises:
        LurkError: cuda is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise LurkError("--device cuda: torch sees no such device here: choose cpu or auto")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def fast_precision(device: torch.device) -> str:
    """`bfloat16` where the device multiplies matrices of it faster than of float32, else `float32`."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    # oneDNN emulates bfloat16 on processors without AMX, and then it is slower.
    return "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"
