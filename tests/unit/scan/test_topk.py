"""Top-k lists against plain Python: sort everything by (-score, image id) and take the first k."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchlurk.scan import topk
from torchlurk.scan.topk import NO_IMAGE, TopK

WIDTH = 7
"""Columns of the feature maps that the places are in."""

# Few values, so that ties are the rule; both zeros, which are equal; and the ends of the range.
few = st.sampled_from([-3.5, -1.0, -0.0, 0.0, 1.0, 1.0000001, 2.5, 3e38, -3e38])
scores = st.one_of(few, st.floats(width=32, allow_nan=False, allow_infinity=False))


@dataclass(frozen=True)
class Offer:
    """Images, what each scores with each filter, how they are cut into shards and batches."""

    k: int
    channels: int
    ids: list[int]
    table: dict[int, list[float]]
    shards: list[list[list[int]]]
    order: list[int]


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    k = draw(st.integers(1, 5))
    channels = draw(st.integers(1, 3))
    ids = draw(st.lists(st.integers(0, 10**12), min_size=1, max_size=14, unique=True))
    row = st.lists(draw(st.sampled_from([few, scores])), min_size=channels, max_size=channels)
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
    return Offer(k, channels, ids, table, shards, list(order))


def place(image: int, channel: int) -> int:
    """Some place that tells which image and which filter it belongs to."""
    return (image * 31 + channel * 7) % 1000


def pushed(offer: Offer, batch: list[int], state: TopK, *, located: bool) -> TopK:
    table = torch.tensor([offer.table[i] for i in batch]).reshape(len(batch), offer.channels)

    def locate(rows: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
        pairs = zip(rows.tolist(), channels.tolist(), strict=True)
        return torch.tensor([place(batch[row], channel) for row, channel in pairs])

    images = torch.tensor(batch, dtype=torch.int64)
    return topk.push(state, table, images, locate if located else None)


def computed(offer: Offer, *, located: bool = True) -> TopK:
    total = topk.empty_topk(offer.channels, offer.k)
    for shard in offer.order:
        state = topk.empty_topk(offer.channels, offer.k)
        for batch in offer.shards[shard]:
            state = pushed(offer, batch, state, located=located)
        total = topk.merge_topk(total, state)
    return total


def wanted(offer: Offer, channel: int) -> list[tuple[float, int, int]]:
    rows = [(offer.table[i][channel], i, place(i, channel)) for i in offer.ids]
    rows.sort(key=lambda row: (-row[0], row[1]))
    return (rows + [(-math.inf, NO_IMAGE, 0)] * offer.k)[: offer.k]


@given(offers())
def test_offering_all_places_equals_asking_for_those_wanted(offer: Offer) -> None:
    state = topk.empty_topk(offer.channels, offer.k)
    for batch in (batch for shard in offer.shards for batch in shard):
        table = torch.tensor([offer.table[i] for i in batch]).reshape(len(batch), offer.channels)
        positions = torch.tensor([[place(i, c) for c in range(offer.channels)] for i in batch])
        positions = positions.reshape(len(batch), offer.channels).long()
        asked = pushed(offer, batch, state, located=True)
        state = topk.push_located(state, table, torch.tensor(batch, dtype=torch.int64), positions)
        assert vars(state).keys() == vars(asked).keys()
        assert all(torch.equal(vars(state)[key], vars(asked)[key]) for key in vars(state))


@given(offers())
def test_any_split_and_any_order_of_merging_equals_sorting_everything(offer: Offer) -> None:
    found = computed(offer)
    assert found.k == offer.k
    assert found.scores.dtype == torch.float32
    assert found.images.dtype == found.positions.dtype == torch.int64
    for channel in range(offer.channels):
        rows = wanted(offer, channel)
        in_float32 = [torch.tensor(score).item() for score, _, _ in rows]
        assert found.images[channel].tolist() == [image for _, image, _ in rows]
        assert found.positions[channel].tolist() == [at for _, _, at in rows]
        assert found.scores[channel].tolist() == in_float32


@given(offers())
def test_without_places(offer: Offer) -> None:
    found, other = computed(offer, located=False), computed(offer)
    assert torch.equal(found.images, other.images)
    assert torch.equal(found.scores, other.scores)
    assert not found.positions.any()


@given(offers(), offers(), offers())
def test_merging_is_associative_and_commutative(a: Offer, b: Offer, c: Offer) -> None:
    states = []
    for number, offer in enumerate((a, b, c)):
        state = topk.empty_topk(2, 3)
        rows = torch.tensor([offer.table[i] for i in offer.ids])[:, :1].expand(-1, 2)
        images = torch.tensor(offer.ids) * 3 + number  # no image is in two of them
        states.append(topk.push(state, rows, images))
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
        state = topk.push(state, torch.full((len(part), 1), score), part)
    assert state.images.tolist() == [[0, 1, 2, 3]]


def test_the_zeros_are_equal() -> None:
    table = torch.tensor([[0.0], [-0.0], [0.0], [-0.0]])
    state = topk.push(topk.empty_topk(1, 3), table, torch.tensor([3, 2, 1, 0]))
    assert state.images.tolist() == [[0, 1, 2]]


def test_places_that_no_image_took_stay_empty() -> None:
    state = topk.push(topk.empty_topk(2, 4), torch.tensor([[-1e30, 2.0]]), torch.tensor([6]))
    assert state.images.tolist() == [[6, NO_IMAGE, NO_IMAGE, NO_IMAGE]] * 2
    assert state.scores[:, 1:].eq(-math.inf).all()
    merged = topk.merge_topk(topk.empty_topk(2, 4), state)
    assert torch.equal(merged.images, state.images)


def test_only_newcomers_are_located() -> None:
    asked: list[tuple[list[int], list[int]]] = []

    def locate(rows: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
        asked.append((rows.tolist(), channels.tolist()))
        return rows * WIDTH + channels

    table = torch.tensor([[1.0, 5.0], [2.0, 1.0]])
    state = topk.push(topk.empty_topk(2, 2), table, torch.tensor([0, 1]), locate)
    assert state.positions.tolist() == [[1 * WIDTH, 0], [1, WIDTH + 1]]
    state = topk.push(state, torch.tensor([[0.0, 0.0], [0.5, 3.0]]), torch.tensor([2, 3]), locate)
    assert asked[1:] == [([1], [1])]
    assert state.images.tolist() == [[1, 0], [0, 3]]
    topk.push(state, torch.tensor([[0.0, 0.0]]), torch.tensor([4]), locate)
    assert len(asked) == 2
