"""Networks whose layers mix the images of a batch, miss some, or have channels in other dimensions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tests.as_written import Plain, check, net, scan
from tests.helpers import refusal

IN_BATCH = "for an image differs between a batch and the image alone"


class Unnormed(Plain):
    """A batch norm without running statistics normalises by the current batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(6, track_running_stats=False)

    def stem(self, x: Tensor) -> Tensor:
        return self.norm(super().stem(x))


class Competing(Plain):
    """Its images compete by a softmax over the batch."""

    def stem(self, x: Tensor) -> Tensor:
        x = super().stem(x)
        return x * x.softmax(0)


class Contrasting(Plain):
    """It returns the similarities between the images of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x @ x.t()


class Single(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if len(x) != 1:
            raise ValueError("one image at a time")
        return super().forward(x)


class PerImage(Plain):
    """It calls its layers once for each image of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([super(PerImage, self).forward(one[None]) for one in x])


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (Unnormed, f"the output of second {IN_BATCH}"),
        (Competing, f"the output of second {IN_BATCH}"),
        (Contrasting, f"the output {IN_BATCH}"),
        (Single, "a batch of 6 fails (ValueError: one image at a time)"),
        (PerImage, "not all images of a batch reach first"),
    ],
)
def test_networks_that_need_a_forward_for_each_image(
    kind: Callable[[], nn.Module], line: str, tmp_path: Path
) -> None:
    found = scan(net(kind)(), tmp_path / "store")
    (said,) = found.lines
    assert said == f"each image is run alone: {line}" or line.startswith("a batch of")
    assert said.startswith("each image is run alone: ")
    for layer in ("first", "second", "head"):
        check(found, net(kind), layer)


class Crops(nn.Module):
    """It treats the quarters of an image as images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.quarter = nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        parts = torch.stack([x[..., :16, :16], x[..., 16:, :16], x[..., :16, 16:], x[..., 16:, 16:]], 1)
        return self.quarter(parts.flatten(0, 1)).mean((2, 3)).unflatten(0, (-1, 4)).mean(1)


class Boxes(nn.Module):
    """It looks at three boxes of each image, at positions that depend on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.box = nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        best = x.mean(1).flatten(1).topk(3).indices
        corners = torch.stack([best % 24, best // 32 % 24], -1).float()
        boxes = list(torch.cat([corners, corners + 7], -1))
        return self.box(torchvision.ops.roi_align(x, boxes, 7)).mean((2, 3)).unflatten(0, (-1, 3)).mean(1)


@pytest.mark.parametrize(("kind", "layer", "rows"), [(Crops, "quarter", 4), (Boxes, "box", 3)])
def test_layers_with_several_rows_for_an_image_are_skipped(
    kind: Callable[[], nn.Module], layer: str, rows: int, tmp_path: Path
) -> None:
    found = scan(net(kind)(), tmp_path / "store")
    reason = f"gives {rows} rows for one image, so the first dimension of its output is not the batch"
    assert found.skipped == {layer: reason}
    assert found.lines == [f"1 layer is not scanned: {layer} (Conv2d) {reason}"]
    check(found, net(kind), "stem")
    line = refusal(lambda: scan(net(kind)(), tmp_path / "other", layer))
    assert line.startswith(f"no layer can be scanned: '{layer}' (Conv2d) {reason}")


class Routed(nn.Module):
    """Each image goes through one of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.way = nn.ModuleList([nn.Conv2d(6, 4, 3) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        choice = (x[:, 0, 0, 0] > 0).long()
        x = F.relu(self.stem(x))
        out = x.new_zeros(len(x), 4, x.shape[2] - 2, x.shape[3] - 2)
        for number, way in enumerate(self.way):
            rows = (choice == number).nonzero()[:, 0]
            if len(rows):
                out[rows] = way(x[rows])
        return F.relu(out).mean((2, 3))


class Exiting(nn.Module):
    """It returns early for an image whose first pixel is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.deep = nn.Conv2d(6, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        early = len(x) == 1 and bool(x[0, 0, 0, 0] > 0)
        x = F.relu(self.stem(x))
        if early:
            return x.mean((2, 3))[:, :4]
        return F.relu(self.deep(x)).mean((2, 3))


@pytest.mark.parametrize(("kind", "some"), [(Routed, ("way.0", "way.1")), (Exiting, ("deep",))])
def test_layers_that_some_images_do_not_reach(
    kind: Callable[[], nn.Module], some: tuple[str, ...], tmp_path: Path
) -> None:
    found = scan(net(kind)(), tmp_path / "store")
    for layer in ("stem", *some):
        check(found, net(kind), layer)


class Sparse(nn.Module):
    """A mixture of experts that also calls the experts without images, with an empty batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.experts = nn.ModuleList([nn.Conv2d(6, 6, 3, padding=1) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        choice = (x[:, 0, 0, 0] > 0).long()
        x = F.relu(self.stem(x))
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            out[choice == number] = expert(x[choice == number])
        return out.mean((2, 3))


def test_an_expert_that_no_image_reaches_is_skipped(tmp_path: Path) -> None:
    found = scan(net(Sparse)(), tmp_path / "store", gradients=False)
    check(found, net(Sparse), "stem")
    for number in range(2):
        check(found, net(Sparse), f"experts.{number}")
    never = "is never called: none of the 6 images that were tried reaches it"
    assert found.skipped == {"experts.2": never}


class Zooming(Plain):
    """It halves the size of some images."""

    def forward(self, x: Tensor) -> Tensor:
        if bool(x[0, 0, 0, 0] > 0):
            x = F.avg_pool2d(x, 2)
        return F.adaptive_avg_pool2d(self.first(x), 1).flatten(1)


def test_maps_of_different_sizes_are_skipped(tmp_path: Path) -> None:
    line = refusal(lambda: scan(net(Zooming)(), tmp_path / "store", "first"))
    assert "'first' (Conv2d) gives maps of different sizes for different images, 12 x 12 and 28 x 28" in line


class Tokens(nn.Module):
    """Tokens come first, then the images."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 8, 8)
        self.attention = nn.MultiheadAttention(8, 2)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16), 1, enable_nested_tensor=False
        )
        self.wide = nn.Linear(8, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).permute(2, 0, 1)
        x = x + self.attention(x, x, x)[0]
        return self.wide(self.encoder(x)).mean(0)


class Blocks(nn.Module):
    """Its maps have their channels last, as in Swin and ConvNeXt, also in windows."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 4, 4)
        self.norm = nn.LayerNorm(6)
        self.wide = nn.Linear(6, 10)
        self.act = nn.GELU()
        self.window = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.wide(self.norm(self.patch(x).permute(0, 2, 3, 1))))
        windows = x.unflatten(1, (2, 4)).unflatten(3, (2, 4)).permute(0, 1, 3, 2, 4, 5).flatten(0, 2)
        return self.window(windows).mean((1, 2)).unflatten(0, (-1, 4)).mean(1)


class Signals(nn.Module):
    """Layers with one and three spatial dimensions, and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.volume = nn.Conv3d(1, 5, (2, 3, 3))
        self.stem = nn.Conv2d(3, 6, 3)
        self.signal = nn.Conv1d(6, 7, 3)
        self.time = nn.GRU(7, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        volume = self.volume(x[:, None]).mean((2, 3, 4))
        signal = F.relu(self.signal(F.relu(self.stem(x)).mean(2)))
        return self.time(signal.transpose(1, 2))[0][:, -1] + volume


def square(y: Tensor) -> Tensor:
    return y.permute(1, 2, 0).unflatten(2, (4, 4))


def channels_last(y: Tensor) -> Tensor:
    return y.permute(0, 3, 1, 2)


def test_tokens_before_images(tmp_path: Path) -> None:
    asked = ("kind:Linear", "kind:MultiheadAttention", "kind:TransformerEncoderLayer")
    found = scan(net(Tokens)(), tmp_path / "store", *asked, gradients=False)
    inner = ("encoder.layers.0", "encoder.layers.0.linear1", "encoder.layers.0.linear2")
    for layer in ("attention", "wide", *inner):
        check(found, net(Tokens), layer, square)
    never = "is never called: the MultiheadAttention that it is part of computes without it"
    assert found.skipped == {
        "attention.out_proj": never, "encoder.layers.0.self_attn.out_proj": never,
    }  # fmt: skip


def test_channels_in_the_last_dimension(tmp_path: Path) -> None:
    found = scan(net(Blocks)(), tmp_path / "store", "norm", "wide", "act", "window")
    for layer in ("norm", "wide", "act"):
        check(found, net(Blocks), layer, channels_last)
    assert set(found.skipped) == {"window"}


def test_signals_and_volumes(tmp_path: Path) -> None:
    asked = ("kind:Conv*d", "kind:GRU")
    found = scan(net(Signals)(), tmp_path / "store", *asked)
    check(found, net(Signals), "stem")
    check(found, net(Signals), "signal", lambda y: y[:, :, None])
    check(found, net(Signals), "time", lambda y: y.transpose(1, 2)[..., None])
    assert set(found.skipped) == {"volume"}
    assert "gives the shape (N, 5, 2, 30, 30) for one image" in found.skipped["volume"]
