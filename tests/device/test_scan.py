"""A scan on any device, compared with brute force: all activations of all images in float64, sorted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.device.helpers import needs_cuda, no_synchronisation
from tests.networks import BRANCHING_LAYERS, Branching, branching_maps, seeded
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import MEMORY_FORMATS, MemoryFormat, Runner
from torchlurk.runtime.devices import BatchLimiter
from torchlurk.runtime.transfer import copy_to_device
from torchlurk.scan import scan as scanning
from torchlurk.scan.scan import NonFiniteActivation, ScanBatch, scan
from torchlurk.scan.state import (
    ACTIVATION_EDGES,
    LayerState,
    ScanState,
    candidate_images,
    initial_state,
    state_to,
    with_lists_of,
)

pytestmark = pytest.mark.device

CLASSES, COUNT, K = 5, 40, 4
SIZE = (3, 21, 26)
CPU = torch.device("cpu")


def images(count: int = COUNT) -> Tensor:
    draw = torch.Generator().manual_seed(7)
    return torch.randn(count, *SIZE, generator=draw) * torch.rand(count, 1, 1, 1, generator=draw) * 4


def labels(count: int = COUNT) -> Tensor:
    return torch.tensor([0, 1, 3, 4, 4, 1, 0, 0])[torch.arange(count) % 8]


def batches(x: Tensor, device: torch.device, size: int) -> Iterator[ScanBatch]:
    ids, classes = torch.arange(len(x)), labels(len(x))
    for start in range(0, len(x), size):
        own = slice(start, start + size)
        yield ScanBatch(*(copy_to_device(part[own], device) for part in (ids, classes, x)))


def scanned(
    model: nn.Module,
    channels: dict[str, int],
    x: Tensor,
    device: torch.device,
    *,
    size: int = 8,
    k: int = K,
    memory_format: MemoryFormat = "contiguous",
    bfloat16: bool = False,
    limiter: BatchLimiter | None = None,
) -> ScanState:
    """Return the state after a scan on the device, on the CPU."""
    with isolated(model, device):
        runner = Runner(model, memory_format)
        start = initial_state(channels, CLASSES, k, device)
        with runner.in_memory_format():
            *_, last = scan(runner, start, batches(x, device, size), bfloat16=bfloat16, limiter=limiter)
        assert last.images.device.type == device.type
        return state_to(last, CPU)


def ranked(scores: Tensor) -> Tensor:
    """Return the first K images of each column, by (-score, image)."""
    return scores.sort(dim=0, descending=True, stable=True).indices[:K]


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("size", [1, 8, 13, COUNT])
def test_lists_and_sums_are_those_of_brute_force(
    device: torch.device, size: int, memory_format: MemoryFormat
) -> None:
    model = seeded(Branching)
    state = scanned(model, BRANCHING_LAYERS, images(), device, size=size, memory_format=memory_format)
    edges = torch.tensor(ACTIVATION_EDGES).double()
    counts = torch.bincount(labels(), minlength=CLASSES)
    assert torch.equal(state.images, counts)
    one_hot = (labels() == torch.arange(CLASSES)[:, None]).double()
    for name, maps in branching_maps(model, images().double()).items():
        layer = state.layers[name]
        maxima, means = maps.amax((2, 3)), maps.mean((2, 3))
        assert torch.equal(layer.images, counts)
        for lists, scores in ((layer.max, maxima), (layer.avg, means)):
            best = scores.gather(0, ranked(scores)).T
            torch.testing.assert_close(lists.scores.double(), best, rtol=1e-4, atol=1e-5)
            own = scores.gather(0, lists.images.T).T  # so an image may only change places with its equal
            torch.testing.assert_close(lists.scores.double(), own, rtol=1e-4, atol=1e-5)
            assert all(len(set(row)) == K for row in lists.images.tolist())
        for channel in range(maps.shape[1]):
            for image, position in zip(layer.max.images[channel], layer.max.positions[channel], strict=True):
                assert maps[image, channel].flatten()[position] >= maxima[image, channel] - 1e-4
        close = {"rtol": 1e-4, "atol": 1e-4}
        torch.testing.assert_close(layer.max_by_class, one_hot @ maxima, **close)
        torch.testing.assert_close(layer.avg_by_class, one_hot @ means, **close)
        torch.testing.assert_close(layer.positive_by_class, one_hot @ maxima.clamp(min=0), **close)
        torch.testing.assert_close(layer.max_squares, maxima.square().sum(0), **close)
        torch.testing.assert_close(layer.avg_squares, means.square().sum(0), **close)
        assert (maxima[..., None] - edges).abs().min() > 5e-6, "a maximum lies on an edge"
        assert torch.equal(layer.active, (maxima > 0).sum(0))
        bins = (edges <= maxima[..., None]).sum(-1)
        expected = torch.stack([torch.bincount(row, minlength=len(edges) + 1) for row in bins.T])
        assert torch.equal(layer.counts, expected)


def test_equal_scores_are_listed_by_image_and_the_first_position_counts(device: torch.device) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False)).eval()
    model[0].weight.data.fill_(1.0)
    scores = [2.0, 5.0, 2.0, 7.0, 5.0, 5.0, 1.0, 7.0]
    x = torch.full((8, 1, 4, 6), -1.0)
    for image, score in enumerate(scores):
        x[image, 0, 3, 1] = x[image, 0, 1, 5] = x[image, 0, 2, 0] = score
    for size in (1, 3, 8):
        state = scanned(model, {"0": 1}, x, device, size=size, k=6).layers["0"]
        assert state.max.images.tolist() == [[3, 7, 1, 4, 5, 0]]
        assert state.max.scores.tolist() == [[7.0, 7.0, 5.0, 5.0, 5.0, 2.0]]
        assert state.max.positions.tolist() == [[1 * 6 + 5] * 6]
        assert state.avg.images.tolist() == [[3, 7, 1, 4, 5, 0]]


def same(a: LayerState, b: LayerState) -> bool:
    plain = ("images", "active", "counts", "max_by_class", "avg_by_class", "positive_by_class",
             "max_squares", "avg_squares")  # fmt: skip
    lists = [(getattr(a, key), getattr(b, key)) for key in ("max", "avg")]
    tensors = [(getattr(a, key), getattr(b, key)) for key in plain]
    tensors += [pair for x, y in lists for pair in zip(vars(x).values(), vars(y).values(), strict=True)]
    return all(torch.equal(x, y) for x, y in tensors)


def test_a_scan_gives_the_same_bits_each_time(device: torch.device) -> None:
    """Also the sums by class, to which many images of a batch add."""
    model, x = seeded(Branching), images(96)
    first = scanned(model, BRANCHING_LAYERS, x, device, size=32)
    for _ in range(3):
        again = scanned(model, BRANCHING_LAYERS, x, device, size=32)
        assert all(same(layer, again.layers[name]) for name, layer in first.layers.items())


def test_a_batch_is_added_without_waiting_for_the_device(device: torch.device) -> None:
    """The check that all activations are finite waits for an event, which is none of these waits."""
    needs_cuda(device)
    model = seeded(Branching)
    with isolated(model, device):
        start = initial_state(BRANCHING_LAYERS, CLASSES, K, device)
        ready = list(batches(images(), device, 8))

        def fed() -> Iterator[ScanBatch]:
            yield ready[0]  # the first forward chooses algorithms
            with no_synchronisation(device):
                yield from ready[1:]

        assert len(list(scan(model, start, fed()))) == len(ready)


def test_copies_to_the_device_do_not_wait(device: torch.device) -> None:
    pixels = torch.randint(256, (8, 32, 32, 3), dtype=torch.uint8)
    with no_synchronisation(device):
        copied = copy_to_device(pixels, device)
    assert copied.device.type == device.type
    assert torch.equal(copied.cpu(), pixels)


def test_bfloat16_with_candidates_scored_again_finds_the_lists_of_float32(device: torch.device) -> None:
    model, x = seeded(Branching), images(200)
    exact = scanned(model, BRANCHING_LAYERS, x, device)
    rough = scanned(model, BRANCHING_LAYERS, x, device, k=2 * K, bfloat16=True)
    candidates = candidate_images(rough)
    assert len(candidates) < 200
    with isolated(model, device):
        start = initial_state(BRANCHING_LAYERS, CLASSES, K, device)
        ids = torch.tensor(candidates)
        again = ScanBatch(*(part.to(device) for part in (ids, labels(200)[ids], x[ids])))
        *_, last = scan(model, start, [again])
    result = with_lists_of(rough, state_to(last, CPU))
    different = 0
    for name, layer in exact.layers.items():
        other = result.layers[name]
        assert layer.max.scores.dtype == other.max.scores.dtype == torch.float32
        different += int((layer.max.images != other.max.images).sum())
        torch.testing.assert_close(other.max_by_class, layer.max_by_class, rtol=0.02, atol=0.5)
    assert different <= 2, "bfloat16 has lost images"


class Hungry(nn.Module):
    """A network that runs out of the device's memory above a number of images, before its last layer."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.inner = seeded(Branching)
        self.end = nn.Linear(3, 2)
        self.room = room

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x)
        if len(x) > self.room:
            if x.is_cuda:  # more than any card has
                torch.empty(1 << 46, dtype=torch.uint8, device=x.device)
            raise torch.OutOfMemoryError("out of memory")
        return self.end(x)


def test_a_batch_that_does_not_fit_is_halved_and_counted_once(device: torch.device) -> None:
    reports: list[str] = []
    limiter = BatchLimiter(reports.append)
    channels = {f"inner.{name}": count for name, count in BRANCHING_LAYERS.items()} | {"end": 2}
    state = scanned(Hungry(3), channels, images(), device, size=20, limiter=limiter)
    expected = scanned(seeded(Branching), BRANCHING_LAYERS, images(), device, size=2)
    assert limiter.limit is not None
    assert limiter.limit <= 3
    assert reports == ["a batch of 20 does not fit into memory; batches are halved from here on"]
    assert state.layers["end"].images.sum() == COUNT
    for name, layer in expected.layers.items():
        other = state.layers[f"inner.{name}"]
        assert torch.equal(other.counts, layer.counts)
        torch.testing.assert_close(other.max.scores, layer.max.scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_flight", [None, 1, 3])
@pytest.mark.parametrize("bad", [1, 17, COUNT - 1])
def test_an_activation_that_is_not_finite_is_named(
    device: torch.device, bad: int, in_flight: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it is noticed only after later batches."""
    if in_flight is not None:
        monkeypatch.setattr(scanning, "batches_in_flight", lambda device: in_flight)
    x = images()
    x[bad, 1, 3, 3] = torch.nan
    with pytest.raises(NonFiniteActivation) as caught:
        scanned(seeded(Branching), BRANCHING_LAYERS, x, device)
    assert (caught.value.layer, caught.value.image) == ("first", bad)
