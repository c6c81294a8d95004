"""Parts of convolutions and their gradients, compared with whole convolutions under plain autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from torchlurk.attribution.convolution import Convolution, convolution_call, convolve_part

SIZE = (2, 6, 13, 17)

CALLS: dict[str, dict[str, object]] = {
    "plain": {},
    "padded": {"padding": 1},
    "strided": {"stride": 2, "padding": 1},
    "strided unevenly": {"stride": (3, 1), "padding": (0, 2)},
    "dilated": {"dilation": 2, "padding": 2},
    "dilated unevenly": {"dilation": (1, 3), "stride": (2, 2), "padding": (1, 0)},
    "grouped": {"groups": 3, "padding": 1},
    "depthwise": {"groups": 6, "padding": 1, "stride": 2},
    "same": {"padding": "same"},
    "same, dilated": {"padding": "same", "dilation": (3, 1)},
    "valid": {"padding": "valid"},
    "padded more than the kernel": {"padding": 4},
    "list": {"stride": [2], "padding": [1]},
}
KERNELS = [(3, 3), (1, 1), (2, 2), (4, 3), (1, 5)]


def case(
    name: str, kernel: tuple[int, int], memory_format: torch.memory_format = torch.contiguous_format
) -> tuple[Tensor, Tensor, Tensor, dict[str, object]]:
    options = CALLS[name]
    groups = int(str(options.get("groups", 1)))
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(*SIZE, generator=draw, dtype=torch.float64)
    weight = torch.randn(12, SIZE[1] // groups, *kernel, generator=draw, dtype=torch.float64)
    bias = torch.randn(12, generator=draw, dtype=torch.float64)
    return x.contiguous(memory_format=memory_format).requires_grad_(), weight, bias, options


def read_call(x: Tensor, weight: Tensor, bias: Tensor | None, options: dict[str, object]) -> Convolution:
    call = convolution_call(torch.conv2d, (x, weight, bias), options)
    assert call is not None
    return call


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", CALLS)
def test_a_part_has_the_values_and_gradients_of_the_whole(
    name: str, kernel: tuple[int, int], memory_format: torch.memory_format
) -> None:
    x, weight, bias, options = case(name, kernel, memory_format)
    whole = torch.conv2d(x, weight, bias, **options)  # type: ignore[call-overload]
    call = read_call(x, weight, bias, options)
    height, width = call.output_size
    assert (height, width) == whole.shape[2:]
    parts = [
        (range(height), range(width)),
        (range(1), range(1)),
        (range(height - 1, height), range(width - 1, width)),
        (range(height // 2, height // 2 + 1), range(width // 3, width)),
        (range(height // 3, height), range(width // 2 + 1)),
    ]
    for rows, columns in parts:
        if not call.taps(0, rows)[0] or not call.taps(1, columns)[0]:
            assert options["padding"]  # nothing but padding
            continue
        inside = torch.zeros_like(whole)
        inside[:, :, rows.start : rows.stop, columns.start : columns.stop] = 1
        result = convolve_part(call, rows, columns, bfloat16=False)
        torch.testing.assert_close(result, whole * inside, rtol=1e-12, atol=1e-12)
        gradient = torch.randn(whole.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        # Also gradients outside the part, which are ignored.
        (found,) = torch.autograd.grad(result, x, gradient)
        (expected,) = torch.autograd.grad(whole, x, gradient * inside, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("active", [[], [7], [0, 63]])
def test_a_gradient_with_few_channels(active: list[int]) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 9, 8, generator=draw, dtype=torch.float64).requires_grad_()
    weight = torch.randn(64, 5, 3, 3, generator=draw, dtype=torch.float64)
    whole = torch.conv2d(x, weight, None, 1, 1)
    call = read_call(x, weight, None, {"padding": 1})
    gradient = torch.zeros_like(whole)
    gradient[:, active] = torch.randn(2, len(active), 9, 8, generator=draw, dtype=torch.float64)
    result = convolve_part(call, range(9), range(2, 8), bfloat16=False)
    (found,) = torch.autograd.grad(result, x, gradient)
    gradient[:, :, :, :2] = 0
    (expected,) = torch.autograd.grad(whole, x, gradient)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert bool(found.any()) == bool(active)


@pytest.mark.parametrize("groups", [1, 2])
def test_bfloat16_is_for_the_gradients_of_ungrouped_convolutions_alone(groups: int) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 12, 12, generator=draw).requires_grad_()
    weight = torch.randn(16, 8 // groups, 3, 3, generator=draw)
    gradient = torch.randn(1, 16, 10, 10, generator=draw)
    whole = torch.conv2d(x, weight, groups=groups)
    result = convolve_part(
        read_call(x, weight, None, {"groups": groups}), range(10), range(10), bfloat16=True
    )
    torch.testing.assert_close(result, whole, rtol=1e-5, atol=1e-5)
    (found,) = torch.autograd.grad(result, x, gradient)
    (expected,) = torch.autograd.grad(whole, x, gradient)
    assert found.dtype == torch.float32
    difference = float((found - expected).norm() / expected.norm())
    # The relative rounding error of bfloat16 is at most 2^-8, of each factor and of the result.
    assert 1e-4 < difference < 3 * 2**-8 if groups == 1 else difference < 1e-6


def test_calls_that_are_not_supported() -> None:
    x, weight, bias, _ = case("plain", (3, 3))
    trained = weight.clone().requires_grad_()
    assert convolution_call(torch.conv2d, (x, weight, bias), {}) is not None
    assert convolution_call(torch.conv2d, (), {"input": x, "weight": weight}) is not None
    assert convolution_call(torch.conv_transpose2d, (x, weight), {}) is None
    assert convolution_call(torch.conv2d, (x[0], weight, bias), {}) is None  # not a batch
    assert convolution_call(torch.conv2d, (x, trained), {}) is None
    assert convolution_call(torch.conv2d, (x, weight, trained[:, 0, 0, 0]), {}) is None
    assert convolution_call(torch.conv2d, (x, weight[:, :, None]), {}) is None
    assert convolution_call(torch.conv2d, (x[:, :, :2], weight), {}) is None  # smaller than the kernel
    assert convolution_call(torch.conv2d, (x[:0], weight), {}) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert convolution_call(torch.conv2d, (x, weight), {}) is None
