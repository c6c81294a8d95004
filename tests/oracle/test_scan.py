"""A scan, compared with brute force: all activations of all images in float64, sorted."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.networks import BRANCHING_LAYERS, Branching, branching_maps, seeded
from torchlurk import graph
from torchlurk.pipeline import records
from torchlurk.scan.reduce import reduce_map
from torchlurk.scan.scan import ScanBatch, scan
from torchlurk.scan.shards import Shard, merge_shards, to_bytes
from torchlurk.scan.state import ACTIVATION_EDGES, ScanState, initial_state
from torchlurk.store.schema import LayerFile

SIZE = (3, 21, 26)
CLASSES = 5
DEAD = 2
"""A channel of each layer all of whose activations are negative."""

Array = NDArray[np.float64]


def network() -> Branching:
    model = seeded(Branching)
    with torch.no_grad():
        for name in BRANCHING_LAYERS:
            model.get_submodule(name).bias[DEAD] = -300.0
    return model


@cache
def photographs(count: int) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return images and their classes; the third class has no image."""
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(count, *SIZE, generator=draw) * torch.rand(count, 1, 1, 1, generator=draw) * 4
    return x, tuple(int(i) for i in np.array([0, 1, 3, 4, 4, 1, 0, 0])[np.arange(count) % 8])


def batches(count: int, size: int) -> Iterator[ScanBatch]:
    x, labels = photographs(count)
    for start in range(0, count, size):
        own = slice(start, min(start + size, count))
        yield ScanBatch(torch.arange(count)[own], torch.tensor(labels[own]), x[own].clone())


def last(states: Iterator[ScanState]) -> ScanState:
    return list(states)[-1]


@cache
def scanned(count: int, batch: int, k: int = 4) -> dict[str, LayerFile]:
    model = network()
    layers = graph.trace(model, SIZE, lambda _, module: isinstance(module, nn.Conv2d)).layers
    assert {layer.name: layer.shape[0] for layer in layers} == BRANCHING_LAYERS
    state = last(scan(model, initial_state(BRANCHING_LAYERS, CLASSES, k), batches(count, batch)))
    labels = photographs(count)[1]
    return {
        layer.name: records.layer_state_to_record(
            layer, state.layers[layer.name], labels, scanned=int(state.images.sum())
        )
        for layer in layers
    }


@cache
def all_activations(count: int) -> dict[str, Array]:
    maps = branching_maps(network(), photographs(count)[0].double())
    return {name: values.numpy() for name, values in maps.items()}


@pytest.fixture(params=[(40, 8), (40, 1), (40, 13), (40, 40), (1, 4), (3, 2)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[int, dict[str, LayerFile]]:
    count, batch = request.param
    return count, scanned(count, batch)


def check_list(scores: Array, images: list[int], found: list[float], k: int) -> None:
    """Check that the list is the first k by (-score, image); scores within 1e-5 may be exchanged."""
    count = min(k, len(scores))
    assert len(images) == len(set(images)) == count
    order = sorted(range(len(scores)), key=lambda image: (-scores[image], image))
    for rank in range(count):
        assert found[rank] == pytest.approx(scores[images[rank]], rel=1e-5, abs=1e-6)
        assert found[rank] == pytest.approx(scores[order[rank]], rel=1e-5, abs=1e-6)
        near = [i for i in order if scores[i] == pytest.approx(found[rank], rel=1e-5, abs=1e-6)]
        assert images[rank] in near


def test_lists_by_max(case: tuple[int, dict[str, LayerFile]]) -> None:
    count, files = case
    labels = photographs(count)[1]
    for name, maps in all_activations(count).items():
        width = maps.shape[3]
        for entry in files[name].filters:
            own = maps[:, entry.channel]
            scores = own.reshape(count, -1).max(1)
            check_list(scores, [e.image for e in entry.max], [e.score for e in entry.max], 4)
            for e in entry.max:
                # np.argmax returns the first in reading order.
                assert e.position == divmod(int(own[e.image].argmax()), width)
                assert e.label == labels[e.image]


FIELDS = {"first": (1, 3, -1), "narrow": (2, 4, -1), "wide": (2, 12, -5), "last": (4, 16, -7)}
"""Stride, size and offset of the receptive fields, by hand: 3; 3+1=4, stride 2; 4+4*2; 12+2*2, stride 4."""


def test_boxes_are_clipped_receptive_fields(case: tuple[int, dict[str, LayerFile]]) -> None:
    for name, file in case[1].items():
        stride, size, offset = FIELDS[name]
        for entry in file.filters:
            for e in entry.max:
                top, left = (at * stride + offset for at in e.position)
                assert e.box == (
                    max(left, 0),
                    max(top, 0),
                    min(left + size, SIZE[2]),
                    min(top + size, SIZE[1]),
                )


def test_lists_by_average(case: tuple[int, dict[str, LayerFile]]) -> None:
    count, files = case
    for name, maps in all_activations(count).items():
        for entry in files[name].filters:
            scores = maps[:, entry.channel].mean((1, 2))
            check_list(scores, [e.image for e in entry.avg], [e.score for e in entry.avg], 4)


def test_statistics(case: tuple[int, dict[str, LayerFile]]) -> None:
    count, files = case
    for name, maps in all_activations(count).items():
        for entry in files[name].filters:
            own = maps[:, entry.channel].reshape(count, -1)
            stats = entry.stats
            near = {"rel": 1e-4, "abs": 1e-4}  # std loses digits where the mean is -300
            assert stats.mean == pytest.approx(own.mean(1).mean(), **near)
            assert stats.std == pytest.approx(own.mean(1).std(), **near)
            assert stats.max_mean == pytest.approx(own.max(1).mean(), **near)
            assert stats.max_std == pytest.approx(own.max(1).std(), **near)
            assert stats.active == pytest.approx((own.max(1) > 0).mean())
            if entry.channel == DEAD:
                assert stats.active == 0
                assert entry.max[0].score < 0


def test_histogram_counts_maxima(case: tuple[int, dict[str, LayerFile]]) -> None:
    count, files = case
    octaves = 2.0 ** (np.arange(-6, 19) / 2)
    edges = np.concatenate([-octaves[::-1], [0.0], octaves])
    np.testing.assert_allclose(ACTIVATION_EDGES, edges)
    for name, maps in all_activations(count).items():
        for entry in files[name].filters:
            maxima = maps[:, entry.channel].reshape(count, -1).max(1)
            assert np.abs(maxima[:, None] - edges).min() > 1e-6, "a maximum lies on an edge"
            bins = [int((edges <= value).sum()) for value in maxima]
            assert entry.stats.distribution == [(b, bins.count(b)) for b in sorted(set(bins))]


def test_class_profiles(case: tuple[int, dict[str, LayerFile]]) -> None:
    count, files = case
    labels = np.array(photographs(count)[1])
    for name, maps in all_activations(count).items():
        for entry in files[name].filters:
            own = maps[:, entry.channel].reshape(count, -1)
            for found, scores in (
                (entry.classes.max, own.max(1)),
                (entry.classes.avg, own.mean(1)),
            ):
                means = {int(c): scores[labels == c].mean() for c in np.unique(labels)}
                assert [c for c, _ in found] == sorted(means, key=lambda c: (-means[c], c))
                for c, mean in found:
                    assert mean == pytest.approx(means[c], rel=1e-5, abs=1e-6)


def test_selectivity(case: tuple[int, dict[str, LayerFile]]) -> None:
    count, files = case
    labels = np.array(photographs(count)[1])
    for name, maps in all_activations(count).items():
        for entry in files[name].filters:
            positive = maps[:, entry.channel].reshape(count, -1).max(1).clip(min=0)
            means = sorted(positive[labels == c].mean() for c in np.unique(labels))
            if len(means) == 1:
                assert entry.stats.selectivity is None
            elif means[-1] == 0:
                assert entry.stats.selectivity == 0
            else:
                others = np.mean(means[:-1])
                wanted = (means[-1] - others) / (means[-1] + others)
                assert entry.stats.selectivity == pytest.approx(wanted, abs=1e-4)


def test_who_prefers_which_class(case: tuple[int, dict[str, LayerFile]]) -> None:
    count, files = case
    labels = np.array(photographs(count)[1])
    rows: list[list[tuple[float, int, int]]] = [[] for _ in range(CLASSES)]
    for position, name in enumerate(files):
        for entry in files[name].filters:
            best = all_activations(count)[name][:, entry.channel].reshape(count, -1).max(1)
            means = {int(c): best[labels == c].mean() for c in np.unique(labels)}
            preferred = min(means, key=lambda c: (-means[c], c))
            if best.max() > 0:
                rows[preferred].append((-(entry.stats.selectivity or 0), position, entry.channel))
    found = records.classes_to_record(list(files.values()), CLASSES).filters
    assert [[(-(s or 0), layer, c) for layer, c, s in row] for row in found] == [sorted(r) for r in rows]
    assert sum(map(len, found)) > 0


def test_first_of_equal_maxima_in_reading_order() -> None:
    x = torch.full((2, 3, 5, 7), -1.0)
    x[0, 1, 3, 2] = x[0, 1, 1, 5] = x[0, 1, 1, 6] = 2.0
    x[1, 0, 4, 6] = x[1, 0, 4, 0] = -0.0
    x[1, 0, 3, 6] = 0.0
    for memory_format in (torch.contiguous_format, torch.channels_last):
        found = reduce_map(x.contiguous(memory_format=memory_format)).positions
        assert found.tolist() == [[0, 1 * 7 + 5, 0], [3 * 7 + 6, 0, 0]]


def test_merged_shards_equal_one_scan() -> None:
    model = network()
    whole = list(batches(40, 8))
    start = initial_state(BRANCHING_LAYERS, CLASSES, 4)

    def run(part: list[ScanBatch]) -> ScanState:
        return [start, *scan(model, start, part)][-1]

    straight = run(whole)
    shards = [run([batch]) for batch in whole]
    contents = [to_bytes(Shard(shards[index], (), 8)) for index in (3, 0, 4, 1, 2)]
    merged = merge_shards(contents, BRANCHING_LAYERS, CLASSES, 4).state
    assert torch.equal(merged.images, straight.images)
    assert merged.images.tolist() == [15, 10, 0, 5, 10]
    for name, layer in straight.layers.items():
        other = merged.layers[name]
        for lists in ("max", "avg"):
            for part in ("scores", "images", "positions"):
                a, b = getattr(getattr(layer, lists), part), getattr(getattr(other, lists), part)
                assert torch.equal(a, b)
        assert torch.equal(layer.counts, other.counts)
        assert torch.equal(layer.active, other.active)
        for sums in ("max_by_class", "avg_by_class", "max_squares", "avg_squares"):
            torch.testing.assert_close(getattr(layer, sums), getattr(other, sums), rtol=1e-12, atol=1e-12)


class Twice(nn.Module):
    """Calls one convolution twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.end = nn.Conv2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.conv(self.conv(x).relu()))


def test_a_module_called_twice_counts_its_first_call() -> None:
    model = seeded(Twice)
    found = graph.trace(model, SIZE, lambda _, module: isinstance(module, nn.Conv2d))
    assert [layer.name for layer in found.layers] == ["conv", "end"]
    assert found.edges == (("conv", "end"),)
    assert found.layer("conv").field.rows.interval(10) == (9, 12)
    assert found.layer("end").field.rows.interval(10) == (8, 13)
    start = initial_state({"conv": 3, "end": 2}, CLASSES, 4)
    state = last(scan(model, start, batches(8, 4)))
    weight, bias = model.conv.weight.detach().double(), model.conv.bias.detach().double()
    maps = torch.nn.functional.conv2d(photographs(8)[0].double(), weight, bias, padding=1)
    maxima = maps.amax((2, 3)).numpy()
    for channel in range(3):
        lists = state.layers["conv"].max
        check_list(maxima[:, channel], lists.images[channel].tolist(), lists.scores[channel].tolist(), 4)
    assert state.layers["conv"].counts.sum(1).tolist() == [8, 8, 8]


def test_memory_does_not_grow_with_images() -> None:
    model = network()

    def alive() -> int:
        gc.collect()
        return sum(o.untyped_storage().nbytes() for o in gc.get_objects() if type(o) is torch.Tensor)

    def feed() -> Iterator[ScanBatch]:
        draw = torch.Generator().manual_seed(1)
        for start in range(0, 500, 5):
            images = torch.arange(start, start + 5)
            yield ScanBatch(images, images % CLASSES, torch.randn(5, 3, 8, 8, generator=draw))

    sizes = []
    start = initial_state(BRANCHING_LAYERS, CLASSES, 4)
    for done, _ in enumerate(scan(model, start, feed()), 1):
        if done in (10, 100):
            sizes.append(alive())
    assert len(sizes) == 2
    assert sizes[0] == sizes[1]


def test_a_maximum_on_an_edge_belongs_above_it() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False)).eval()
    model[0].weight.data.fill_(1.0)
    edges = torch.tensor(ACTIVATION_EDGES)
    assert edges.diff().min() > 0
    values = torch.cat([torch.tensor([-1000.0]), edges])
    images = torch.arange(len(values))
    x = values[:, None, None, None].expand(-1, 1, 3, 3).clone()
    x[:, :, 1:] -= 1e-3
    batch = ScanBatch(images, torch.zeros_like(images), x)
    state = last(scan(model, initial_state({"0": 1}, 1, 2), iter([batch])))
    assert state.layers["0"].counts.tolist() == [[1] * len(values)]
    assert state.layers["0"].active.item() == int((values > 0).sum())
