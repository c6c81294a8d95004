"""Top-k lists, compared with plain Python: sort everything by (-score, image id) and take the first k."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.scan import topk
from torchlurk.scan.topk import NO_IMAGE, TopK

# Few values, so that ties are common; both zeros, which are equal; and the ends of the range.
few_values = st.sampled_from([-3.5, -1.0, -0.0, 0.0, 1.0, 1.0000001, 2.5, 3e38, -3e38])
scores = st.one_of(few_values, st.floats(width=32, allow_nan=False, allow_infinity=False))


@dataclass(frozen=True)
class Case:
    """Images, their scores for each filter, and how they are divided into shards and batches."""

    k: int
    channels: int
    ids: list[int]
    table: dict[int, list[float]]
    shards: list[list[list[int]]]
    order: list[int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    k = draw(st.integers(1, 5))
    channels = draw(st.integers(1, 3))
    ids = draw(st.lists(st.integers(0, 10**12), min_size=1, max_size=14, unique=True))
    row = st.lists(draw(st.sampled_from([few_values, scores])), min_size=channels, max_size=channels)
    table = {image: draw(row) for image in ids}
    shards: list[list[list[int]]] = [[[]]]
    for image in ids:
        where = draw(st.sampled_from(["here", "here", "batch", "shard"]))
        if where == "batch":
            shards[-1].append([])
        if where == "shard":
            shards.append([[]])
        shards[-1][-1].append(image)
    order = draw(st.permutations(range(len(shards))))
    return Case(k, channels, ids, table, shards, list(order))


def position_of(image: int, channel: int) -> int:
    """Return a position that identifies the image and the filter."""
    return (image * 31 + channel * 7) % 1000


def table_of(case: Case, batch: list[int]) -> torch.Tensor:
    return torch.tensor([case.table[i] for i in batch]).reshape(len(batch), case.channels)


def positions_of(case: Case, batch: list[int]) -> torch.Tensor:
    positions = torch.tensor([[position_of(i, c) for c in range(case.channels)] for i in batch])
    return positions.reshape(len(batch), case.channels).long()


def push_batch_(case: Case, batch: list[int], state: TopK, *, located: bool) -> None:
    images = torch.tensor(batch, dtype=torch.int64)
    topk.push_(state, table_of(case, batch), images, positions_of(case, batch) if located else None)


def merge_all(case: Case, *, located: bool = True) -> TopK:
    total = topk.empty_topk(case.channels, case.k)
    for shard in case.order:
        state = topk.empty_topk(case.channels, case.k)
        for batch in case.shards[shard]:
            push_batch_(case, batch, state, located=located)
        total = topk.merge_topk(total, state)
    return total


def sort_all(case: Case, channel: int) -> list[tuple[float, int, int]]:
    rows = [(case.table[i][channel], i, position_of(i, channel)) for i in case.ids]
    rows.sort(key=lambda row: (-row[0], row[1]))
    return (rows + [(-math.inf, NO_IMAGE, 0)] * case.k)[: case.k]


@given(cases())
def test_a_push_equals_merging_all_lists(case: Case) -> None:
    state = topk.empty_topk(case.channels, case.k)
    for batch in (batch for shard in case.shards for batch in shard):
        ids = torch.tensor(batch, dtype=torch.int64).expand(case.channels, len(batch))
        new = TopK(table_of(case, batch).T, ids, positions_of(case, batch).T)
        merged = topk.merge_topk(state, new)
        push_batch_(case, batch, state, located=True)
        assert all(torch.equal(vars(state)[key], vars(merged)[key]) for key in vars(merged))


@given(cases())
def test_any_division_and_any_merging_order_equals_sorting_everything(case: Case) -> None:
    found = merge_all(case)
    assert found.k == case.k
    assert found.scores.dtype == torch.float32
    assert found.images.dtype == found.positions.dtype == torch.int64
    for channel in range(case.channels):
        rows = sort_all(case, channel)
        in_float32 = [torch.tensor(score).item() for score, _, _ in rows]
        assert found.images[channel].tolist() == [image for _, image, _ in rows]
        assert found.positions[channel].tolist() == [at for _, _, at in rows]
        assert found.scores[channel].tolist() == in_float32


@given(cases())
def test_push_without_positions(case: Case) -> None:
    found, other = merge_all(case, located=False), merge_all(case)
    assert torch.equal(found.images, other.images)
    assert torch.equal(found.scores, other.scores)
    assert not found.positions.any()


@given(cases(), cases(), cases())
def test_merge_topk_is_associative_and_commutative(a: Case, b: Case, c: Case) -> None:
    states = []
    for number, case in enumerate((a, b, c)):
        state = topk.empty_topk(2, 3)
        rows = torch.tensor([case.table[i] for i in case.ids])[:, :1].expand(-1, 2)
        images = torch.tensor(case.ids) * 3 + number  # no image is in two of them
        topk.push_(state, rows, images)
        states.append(state)
    x, y, z = states
    straight = topk.merge_topk(topk.merge_topk(x, y), z)
    for other in (
        topk.merge_topk(x, topk.merge_topk(y, z)),
        topk.merge_topk(topk.merge_topk(z, x), y),
        topk.merge_topk(topk.merge_topk(y, x), z),
    ):
        assert torch.equal(straight.images, other.images)
        assert torch.equal(straight.scores, other.scores)


@pytest.mark.parametrize("score", [0.0, -0.0, -2.5, 7.0])
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_equal_scores_are_ordered_by_image(score: float, batch: int) -> None:
    ids = torch.tensor([8, 3, 5, 1, 9, 0, 4, 7, 2])
    state = topk.empty_topk(1, 4)
    for part in ids.split(batch):
        topk.push_(state, torch.full((len(part), 1), score), part)
    assert state.images.tolist() == [[0, 1, 2, 3]]


def test_positive_and_negative_zero_are_equal() -> None:
    table = torch.tensor([[0.0], [-0.0], [0.0], [-0.0]])
    state = topk.empty_topk(1, 3)
    topk.push_(state, table, torch.tensor([3, 2, 1, 0]))
    assert state.images.tolist() == [[0, 1, 2]]


def test_unused_slots_stay_empty() -> None:
    state = topk.empty_topk(2, 4)
    topk.push_(state, torch.tensor([[-1e30, 2.0]]), torch.tensor([6]))
    assert state.images.tolist() == [[6, NO_IMAGE, NO_IMAGE, NO_IMAGE]] * 2
    assert state.scores[:, 1:].eq(-math.inf).all()
    merged = topk.merge_topk(topk.empty_topk(2, 4), state)
    assert torch.equal(merged.images, state.images)
