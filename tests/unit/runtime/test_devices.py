"""Defaults of a device, the precision inside `deterministic_float32`, and errors of memory.

Nothing here needs a CUDA device: torch keeps its settings without one, and properties are made up.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from torchlurk.runtime import devices
from torchlurk.runtime.devices import (
    ascent_block,
    default_batch_size,
    default_gradient_batch,
    fastest_precision,
    is_out_of_memory,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("amx", "avx", "expected"),
    [
        (False, False, "float32"),
        (True, False, "bfloat16"),
        (False, True, "bfloat16"),
        (True, True, "bfloat16"),
    ],
)
def test_bfloat16_is_chosen_if_the_cpu_has_instructions_for_it(
    amx: bool, avx: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert fastest_precision(CPU) == expected


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((7, 0), "float32"), ((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")],
)
def test_bfloat16_is_chosen_if_the_card_does_not_emulate_it(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fastest_precision(CUDA) == expected


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [(1, 16), (4, 32), (8, 64), (16, 128), (24, 128), (32, 256), (80, 256), (140, 256)],
)
def test_batches_fill_the_memory_of_a_card(
    gigabytes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = SimpleNamespace(total_memory=gigabytes * 1e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert default_batch_size(CUDA) == expected
    assert expected * 60e6 < gigabytes * 1e9, "the scan of VGG16 does not fit"


@pytest.mark.parametrize(
    ("side", "expected"), [(224, 8), (299, 8), (96, 8), (90, 16), (64, 32), (48, 32), (45, 64), (28, 64)]
)
def test_batches_of_a_scan_on_a_cpu_are_larger_for_small_inputs(side: int, expected: int) -> None:
    assert devices.scan_batch_size(CPU, (side, side)) == expected
    assert expected == 8 or expected * 64 * side**2 * 4 <= 2**25, "more than 32 MB in a map of 64 channels"


def test_the_defaults_of_a_cpu() -> None:
    assert default_batch_size(CPU) == 8
    assert default_gradient_batch(CPU, 8) == 16
    assert ascent_block(CPU, 4, (48, 48), (224, 224)) == 4
    assert devices.default_shard_size(CPU) == 256
    assert devices.image_memory(CPU) == 300_000_000


@pytest.mark.parametrize(
    ("canvas", "expected"),
    [((224, 224), 32), ((176, 176), 32), ((112, 112), 128), ((96, 96), 128), ((48, 48), 512), ((1, 1), 512)],
)
def test_a_block_of_small_images_has_the_pixels_of_one_of_large_images(
    canvas: tuple[int, int], expected: int
) -> None:
    assert ascent_block(CUDA, 32, canvas, (224, 224)) == expected
    if min(canvas) >= 48:
        assert expected * canvas[0] * canvas[1] <= 32 * 224 * 224


SETTINGS = (
    "",
    "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.allow_tf32 = False",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.cudnn.fp32_precision = 'tf32'",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
)
"""What a program may have done before."""

PRECISIONS = """
import os, sys, torch, warnings
from torchlurk.runtime.devices import deterministic_float32

def used():
    return [torch._C._get_fp32_precision_getter("cuda", name) for name in ("conv", "rnn", "matmul")]

def algorithms():
    return torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic

def check(setting):
    exec(setting)
    warnings.simplefilter("error")  # torch warns about its former interface, but we must not
    torch.backends.cudnn.benchmark = True
    before = used(), algorithms()
    with deterministic_float32(torch.device("cuda")):
        assert "tf32" not in used(), (setting, used())
        assert algorithms() == (False, True)
    assert (used(), algorithms()) == before, setting
    try:
        with deterministic_float32(torch.device("cuda")):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert (used(), algorithms()) == before, setting
    with deterministic_float32(torch.device("cpu")):
        assert (used(), algorithms()) == before, setting

for setting in sys.argv[1:]:
    if not os.fork():  # some settings cannot be undone
        check(setting)
        os._exit(0)
    assert os.wait()[1] == 0, setting
"""


@pytest.mark.skipif(not hasattr(torch._C, "_get_fp32_precision_getter"), reason="torch before 2.9")
def test_no_tensorfloat32_however_it_was_set() -> None:
    root = Path(devices.__file__).parents[2]
    command = [sys.executable, "-c", PRECISIONS, *SETTINGS]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. can't allocate memory: 9 bytes"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)  # fmt: skip
def test_errors_of_memory(problem: Exception, expected: bool) -> None:
    assert is_out_of_memory(problem) is expected
