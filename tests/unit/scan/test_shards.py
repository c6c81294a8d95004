"""Shards of a scan: they survive encoding as bytes, and merge to what a single scan gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchlurk.errors import LurkError
from torchlurk.runtime.devices import BatchLimiter, is_out_of_memory, retry_on_oom
from torchlurk.scan import shards
from torchlurk.scan.scan import ScanBatch, scan
from torchlurk.scan.shards import Shard
from torchlurk.scan.state import ScanState, initial_state
from torchlurk.store.schema import SkippedFile

CLASSES = 5
CHANNELS = {"0": 3, "1": 2}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    # Halves, in maps of 16 positions, add exactly: no sum depends on its order.
    model = nn.Sequential(nn.Conv2d(1, 3, 2, bias=False), nn.Conv2d(3, 2, 1, bias=False))
    for parameter in model.parameters():
        parameter.data = (parameter.data * 4).round() / 2
    return model.eval()


def images(count: int) -> Tensor:
    return torch.randint(-3, 4, (count, 1, 5, 5), generator=torch.Generator().manual_seed(1)).float()


def run_scan(
    ids: list[int], limiter: BatchLimiter | None = None, model: nn.Module | None = None
) -> ScanState:
    state = initial_state(CHANNELS, CLASSES, 3)
    batch = ScanBatch(torch.tensor(ids), torch.tensor(ids) % 3, images(30)[ids])
    for current in scan(model or network(), state, [batch], limiter=limiter):
        state = current
    return state


def tensors(state: ScanState) -> list[Tensor]:
    found = [state.images]
    for layer in state.layers.values():
        for value in vars(layer).values():
            found += [value] if isinstance(value, Tensor) else list(vars(value).values())
    return found


def same(a: ScanState, b: ScanState) -> bool:
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


@given(order=st.permutations(range(12)), cuts=st.sets(st.integers(1, 11), max_size=4))
@settings(max_examples=25, deadline=None)
def test_shards_of_any_size_and_order_merge_to_one_scan(order: list[int], cuts: set[int]) -> None:
    borders = [0, *sorted(cuts), 12]
    parts = [order[a:b] for a, b in pairwise(borders)]
    found = [Shard(run_scan(part), (SkippedFile(str(part), "why"),), 8) for part in parts]
    content = [shards.to_bytes(one) for one in found]
    decoded = [shards.merge_shards([one], CHANNELS, CLASSES, 3) for one in content]
    assert [shards.to_bytes(one) for one in decoded] == content
    merged = shards.merge_shards(content, CHANNELS, CLASSES, 3)
    assert same(merged.state, run_scan(sorted(order)))
    assert [one.path for one in merged.skipped] == [str(part) for part in parts]


def test_a_shard_of_unreadable_images_survives_encoding() -> None:
    shard = Shard(initial_state(CHANNELS, CLASSES, 3), (SkippedFile("a\udcff<b>", "no picture"),), 4)
    decoded = shards.merge_shards([shards.to_bytes(shard)], CHANNELS, CLASSES, 3)
    assert same(decoded.state, shard.state)
    assert (decoded.batch, len(decoded.skipped)) == (4, 1)


class MemoryLimited(nn.Module):
    """Runs out of memory for more than `limiter` images in its last layer."""

    def __init__(self, limiter: int) -> None:
        super().__init__()
        self.layers = network()
        self.limiter = limiter

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers[0](x)
        if len(x) > self.limiter:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.layers[1](x)


def test_a_batch_that_does_not_fit_is_halved_and_counted_once() -> None:
    reports: list[str] = []
    limiter = BatchLimiter(reports.append)
    model = MemoryLimited(3)
    channels = {f"layers.{name}": count for name, count in CHANNELS.items()}
    state = initial_state(channels, CLASSES, 3)
    ids = list(range(11))
    batch = ScanBatch(torch.tensor(ids), torch.tensor(ids) % 3, images(30)[ids])
    (found,) = scan(model, state, [batch], limiter=limiter)
    assert same(found, run_scan(ids))
    assert limiter.limit == 2
    assert reports == ["a batch of 11 does not fit into memory; batches are halved from here on"]


def test_a_single_image_that_does_not_fit_raises() -> None:
    state = initial_state({"layers.1": 2}, CLASSES, 3)
    batch = ScanBatch(torch.tensor([0]), torch.tensor([0]), images(1))
    with pytest.raises(LurkError, match="use a smaller size="):
        list(scan(MemoryLimited(0), state, [batch]))


def test_only_out_of_memory_is_retried() -> None:
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shape '[2]' is invalid"))
    attempts: list[int] = []

    def attempt(at_once: int) -> int:
        attempts.append(at_once)
        if at_once > 3:
            raise MemoryError
        return at_once

    limiter = BatchLimiter(lambda _: None)
    assert retry_on_oom(limiter, 16, attempt) == 2
    assert retry_on_oom(limiter, 9, attempt) == 2
    assert attempts == [16, 8, 4, 2, 2]
    with pytest.raises(RuntimeError, match="shape"):
        retry_on_oom(limiter, 9, lambda _: torch.zeros(2).view(3).sum())
