"""The joint state of all layers: batches are added in place, to the layers that they reached."""

from __future__ import annotations

import torch

from torchlurk.scan.accumulate import Accumulator
from torchlurk.scan.reduce import MapReductions
from torchlurk.scan.state import ACTIVATION_EDGES, initial_state

CHANNELS = {"a": 3, "b": 2, "c": 4}
CLASSES = 3


def batch(images: list[int], channels: int) -> MapReductions:
    """Numbers that identify the image and the filter; halves, which add exactly."""
    ids = torch.tensor(images)[:, None]
    maxima = (ids * 7 % 5 + torch.arange(channels)).float() / 2
    return MapReductions(maxima, maxima - 1, ids * 10 + torch.arange(channels))


def test_each_layer_gets_the_images_that_reached_it() -> None:
    start = initial_state(CHANNELS, CLASSES, 2)
    accumulator = Accumulator(start)
    reached: dict[str, list[int]] = {name: [] for name in CHANNELS}
    for images, layers in (([0, 1], "abc"), ([2], "ac"), ([3], "b"), ([4], "")):
        labels = torch.tensor([image % CLASSES for image in images])
        accumulator.add({n: batch(images, CHANNELS[n]) for n in layers}, torch.tensor(images), labels)
        for name in layers:
            reached[name] += images
    assert accumulator.state.images.tolist() == [2, 2, 1]
    assert start.images.tolist() == [0, 0, 0]
    for name, images in reached.items():
        layer = accumulator.state.layers[name]
        all_images = batch(images, CHANNELS[name])
        assert layer.images.tolist() == [sum(i % CLASSES == c for i in images) for c in range(CLASSES)]
        for channel in range(CHANNELS[name]):
            scores = all_images.maxima[:, channel].tolist()
            best = sorted(range(len(images)), key=lambda i: (-scores[i], images[i]))[:2]
            assert layer.max.images[channel, : len(best)].tolist() == [images[i] for i in best]
            assert layer.max.positions[channel, : len(best)].tolist() == [
                int(all_images.positions[i, channel]) for i in best
            ]
            assert layer.avg.images[channel].tolist() == layer.max.images[channel].tolist()
            assert not layer.avg.positions.any()
            assert layer.max_squares[channel] == sum(score**2 for score in scores)
            assert layer.avg_squares[channel] == sum((score - 1) ** 2 for score in scores)
            assert layer.active[channel] == sum(score > 0 for score in scores)
            for label in range(CLASSES):
                own = [score for score, image in zip(scores, images, strict=True) if image % CLASSES == label]
                assert layer.max_by_class[label, channel] == sum(own)
                assert layer.positive_by_class[label, channel] == sum(own)
                assert layer.avg_by_class[label, channel] == sum(score - 1 for score in own)
            bins = [sum(edge <= score for edge in ACTIVATION_EDGES) for score in scores]
            counts = [bins.count(i) for i in range(len(ACTIVATION_EDGES) + 1)]
            assert layer.counts[channel].tolist() == counts


def test_a_state_can_be_continued() -> None:
    first = Accumulator(initial_state(CHANNELS, CLASSES, 2))
    both = Accumulator(initial_state(CHANNELS, CLASSES, 2))
    parts = [([5, 2], [0, 1]), ([1, 7], [2, 2])]
    for images, labels in parts:
        both.add({n: batch(images, c) for n, c in CHANNELS.items()}, *map(torch.tensor, (images, labels)))
    first.add({n: batch(*parts[0][:1], c) for n, c in CHANNELS.items()}, *map(torch.tensor, parts[0]))
    second = Accumulator(first.state)
    second.add({n: batch(*parts[1][:1], c) for n, c in CHANNELS.items()}, *map(torch.tensor, parts[1]))
    for name, layer in both.state.layers.items():
        other = second.state.layers[name]
        assert torch.equal(layer.max.images, other.max.images)
        assert torch.equal(layer.max_by_class, other.max_by_class)
        assert torch.equal(layer.images, other.images)
        assert first.state.layers[name].images.sum() == 2
