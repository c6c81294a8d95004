"""Small networks for the tests; each is the same on every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

M = TypeVar("M", bound=nn.Module)


def seeded(make: Callable[[], M], seed: int = 0) -> M:
    """Return a module in eval mode with parameters from a seed; the global generator does not change."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def colour_filters() -> nn.Sequential:
    """Four filters that weigh colours: the best image of each has every channel at 0 or 1."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False))
    weights = torch.tensor([[1.0, -1.0, 0.5], [-0.5, 2.0, -1.0], [1.0, 1.0, 1.0], [-1.0, -2.0, -0.5]])
    with torch.no_grad():
        net[0].weight.copy_(weights[:, :, None, None])
    return net


def two_convolutions() -> nn.Sequential:
    return seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3)),
        seed=3,
    )


class Branching(nn.Module):
    """Convolutions with an in-place ReLU, a pooling, a functional ReLU, two branches and a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.narrow = nn.Conv2d(6, 4, 1)
        self.wide = nn.Conv2d(6, 5, 5, padding=2)
        self.last = nn.Conv2d(9, 7, 3, stride=2, padding=1)
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.first(x)))
        a = F.relu(self.narrow(x))
        b = self.wide(x)
        b.relu_()  # what follows uses b, not the return value
        x = self.relu(self.last(torch.cat([a, b], 1)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


BRANCHING_LAYERS = {"first": 6, "narrow": 4, "wide": 5, "last": 7}
"""Its convolutions and their channels, in the order in which they are executed."""


def branching_maps(model: Branching, x: Tensor) -> dict[str, Tensor]:
    """Return the output of each convolution of `Branching`, computed without calling its modules."""

    def conv(layer: nn.Conv2d, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = layer.weight.detach().to(x.dtype), layer.bias
        assert bias is not None
        return F.conv2d(x, weight, bias.detach().to(x.dtype), stride, padding)

    first = conv(model.first, x, padding=1)
    pooled = F.max_pool2d(first.clamp(min=0), 2, 2, ceil_mode=True)
    narrow = conv(model.narrow, pooled)
    wide = conv(model.wide, pooled, padding=2)
    joined = torch.cat([narrow.clamp(min=0), wide.clamp(min=0)], 1)
    last = conv(model.last, joined, stride=2, padding=1)
    return {"first": first, "narrow": narrow, "wide": wide, "last": last}


class Together(nn.Module):
    """Applies modules to the same input and combines their outputs."""

    def __init__(self, join: Callable[[list[Tensor]], Tensor], *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join([branch(x) for branch in self.branches])


class Call(nn.Module):
    """A function as a module; `torch.fx` traces into it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Scaled(nn.Module):
    """A product with a parameter of the given shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(shape) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def conv(channels: int, out: int, *args: int | tuple[int, int], **more: object) -> nn.Conv2d:
    return nn.Conv2d(channels, out, *args, **more)  # type: ignore[arg-type]


def cat(maps: list[Tensor]) -> Tensor:
    return torch.cat(maps, 1)


def add(maps: list[Tensor]) -> Tensor:
    return maps[0] + maps[1]


def multiply(maps: list[Tensor]) -> Tensor:
    return maps[0] * maps[1]


def residual(channels: int, stride: int = 1) -> nn.Module:
    """Two convolutions and a skip connection, which is a 1 × 1 convolution if there is a stride."""
    skip = nn.Identity() if stride == 1 else conv(channels, channels, 1, stride)
    body = nn.Sequential(
        conv(channels, channels, 3, stride, 1),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        conv(channels, channels, 3, 1, 1),
    )
    return nn.Sequential(Together(add, body, skip), nn.ReLU(inplace=True))


def inception(channels: int) -> nn.Module:
    """Branches with 1 × 1, 5 × 3 and 1 × 7 convolutions and a pooling, concatenated."""
    return Together(
        cat,
        conv(channels, 2, 1),
        nn.Sequential(conv(channels, 2, 1), nn.ReLU(), conv(2, 3, (5, 3), 1, (2, 1))),
        conv(channels, 1, (1, 7), padding=(0, 3)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(channels, 1, 1)),
    )


def squeeze_excitation(channels: int) -> nn.Module:
    return Together(
        multiply,
        nn.Identity(),
        nn.Sequential(
            nn.AdaptiveAvgPool2d(1), conv(channels, 2, 1), nn.ReLU(), conv(2, channels, 1), nn.Sigmoid()
        ),
    )


def center(x: Tensor) -> Tensor:
    """Normalises each channel separately, as torchvision's GoogLeNet does."""
    parts = [torch.unsqueeze(x[:, i], 1) * (0.5 + i) + (0.1 - i) for i in range(3)]
    return torch.cat(parts, 1)


def half_and_half(x: Tensor) -> Tensor:
    """Applies a ReLU to half of the channels, as in ShuffleNet."""
    left, right = x.chunk(2, dim=1)
    return torch.cat((left, F.relu(right)), dim=1)


def shuffle(x: Tensor) -> Tensor:
    n, channels, height, width = x.size()
    x = x.view(n, 2, channels // 2, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(n, channels, height, width)


class Functional(nn.Module):
    """A convolution as a function call."""

    def __init__(self, channels: int, out: int, kernel: int, **more: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, channels, kernel, kernel))
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, **self.more)


class ChannelsLast(nn.Module):
    """A block of ConvNeXt: a norm and linear layers with the channels in the last dimension."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        inside = self.norm(torch.permute(x, (0, 2, 3, 1)))
        inside = self.narrow(F.gelu(self.wide(inside))).permute(0, 3, 1, 2)
        return x + self.scale * inside


GRAPHS: dict[str, Callable[[], nn.Sequential]] = {
    "odd strides": lambda: nn.Sequential(
        conv(3, 4, 5, 3, 1), nn.ReLU(), conv(4, 4, (3, 2), (1, 2), (0, 1)), conv(4, 2, 3, 2)
    ),
    "dilation": lambda: nn.Sequential(
        conv(3, 3, 3, 1, 2, dilation=2), conv(3, 3, 3, 2, 3, dilation=3), nn.ReLU(), conv(3, 2, 2)
    ),
    "ceil mode": lambda: nn.Sequential(
        conv(3, 3, 3), nn.MaxPool2d(3, 2, ceil_mode=True), conv(3, 3, 3, 1, 1),
        nn.AvgPool2d(2, 3, ceil_mode=True), conv(3, 3, 2), nn.MaxPool2d(2, ceil_mode=True),
    ),
    "dilated pooling": lambda: nn.Sequential(
        conv(3, 3, 3, 2), nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True), conv(3, 3, 3)
    ),
    "wide padding": lambda: nn.Sequential(
        conv(3, 2, 1, 1, 2), conv(2, 2, 3, 2, 4), nn.ReLU(), conv(2, 2, 2, 1, (3, 0))
    ),
    "gaps between windows": lambda: nn.Sequential(conv(3, 3, 2, 5), conv(3, 2, 1, 3)),
    "residual": lambda: nn.Sequential(
        conv(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1), residual(4), residual(4, 2), residual(4)
    ),
    "inception": lambda: nn.Sequential(
        conv(3, 4, 3, 2), inception(4), nn.MaxPool2d(3, 2, ceil_mode=True), inception(7), conv(7, 2, 2)
    ),
    "depthwise": lambda: nn.Sequential(
        conv(3, 6, 3, 2, 1), nn.ReLU6(inplace=True), conv(6, 6, 3, 1, 1, groups=6), conv(6, 2, 1)
    ),
    "same, even kernels": lambda: nn.Sequential(
        conv(3, 3, 4, padding="same"), nn.ReLU(), conv(3, 2, (2, 6), padding="same", dilation=(3, 1)),
        conv(2, 2, 3, padding="valid"),
    ),
    "functions": lambda: nn.Sequential(
        conv(3, 3, 3), Call(lambda x: F.max_pool2d(F.relu(x), 3, 2, 1)), conv(3, 3, 3),
        Call(lambda x: F.avg_pool2d(x.relu(), (2, 3), stride=2, ceil_mode=True)), conv(3, 2, 2),
        Call(lambda x: torch.max_pool2d(x, 2, 1, 1, 2)), conv(2, 2, 1),
    ),
    "reflect": lambda: nn.Sequential(
        conv(3, 3, 5, 1, 2, padding_mode="reflect"), nn.ReLU(),
        conv(3, 2, 3, 2, 1, padding_mode="reflect"), conv(2, 2, 3),
    ),
    "wide reflect": lambda: nn.Sequential(
        conv(3, 3, 3, 1, 4, padding_mode="reflect"), conv(3, 2, 2)
    ),
    "circular": lambda: nn.Sequential(
        conv(3, 3, 3, 2, 1, padding_mode="circular"), nn.ReLU(), conv(3, 2, 3, padding=1)
    ),
    "replicate": lambda: nn.Sequential(
        conv(3, 3, 3, 2, 1, padding_mode="replicate"), conv(3, 2, 3, 1, 3, padding_mode="replicate")
    ),
    "padding modules": lambda: nn.Sequential(
        nn.ZeroPad2d((0, 1, 2, 3)), conv(3, 3, 3, 2), nn.ConstantPad2d(2, 1.0), conv(3, 3, 3),
        Call(lambda x: F.pad(x, (1, 2, 0, 1))), nn.MaxPool2d(3, 2),
        nn.ReflectionPad2d((1, 2, 0, 1)), conv(3, 2, 3), Call(lambda x: F.pad(x, (1, 0))), conv(2, 2, 2),
    ),
    "adaptive, dividing": lambda: nn.Sequential(
        conv(3, 3, 2), nn.AdaptiveAvgPool2d((9, 13)), conv(3, 3, 2), nn.AdaptiveMaxPool2d((2, 3)),
        conv(3, 2, 2),
    ),
    "adaptive, not dividing": lambda: nn.Sequential(
        conv(3, 3, 3, 2), nn.AdaptiveAvgPool2d((7, 11)), conv(3, 2, 3),
        Call(lambda x: F.adaptive_avg_pool2d(x, (None, 4))), conv(2, 2, 1),
    ),
    "adaptive to the same size": lambda: nn.Sequential(
        conv(3, 3, 3, 2), nn.AdaptiveAvgPool2d((18, 26)), conv(3, 2, 3)
    ),
    "squeeze and excitation": lambda: nn.Sequential(
        conv(3, 4, 3, 2), squeeze_excitation(4), conv(4, 2, 3)
    ),
    "linear": lambda: nn.Sequential(
        conv(3, 2, 3, 4), nn.Flatten(), nn.Linear(2 * 9 * 13, 3), nn.Unflatten(1, (3, 1, 1)),
        conv(3, 2, 1),
    ),
    "pooling as wide as its input": lambda: nn.Sequential(
        conv(3, 2, 3, 2), Call(lambda x: F.avg_pool2d(x, x.size()[2:])), conv(2, 2, 1)
    ),
    "channels one by one": lambda: nn.Sequential(Call(center), conv(3, 3, 3, 2), conv(3, 2, 3)),
    "scaled channels": lambda: nn.Sequential(conv(3, 3, 3, 2), Scaled(3, 1, 1), conv(3, 2, 3)),
    "scaled positions": lambda: nn.Sequential(conv(3, 3, 3, 2), Scaled(18, 26), conv(3, 2, 3)),
    "scaled by its size": lambda: nn.Sequential(
        conv(3, 3, 3, 2), Call(lambda x: x / x.size(2)), conv(3, 2, 3)
    ),
    "local response norm": lambda: nn.Sequential(
        conv(3, 6, 3, 2), nn.ReLU(), nn.LocalResponseNorm(3), conv(6, 2, 3)
    ),
    "functional convolution": lambda: nn.Sequential(
        conv(3, 3, 3, 2), Functional(3, 2, 3, stride=2, padding=1), conv(2, 2, 3)
    ),
    "cut and shuffled channels": lambda: nn.Sequential(
        conv(3, 4, 3, 2), Call(half_and_half), Call(shuffle), conv(4, 2, 3, 2)
    ),
    "channels last": lambda: nn.Sequential(
        conv(3, 4, 3, 2, 1), ChannelsLast(4), conv(4, 2, 3, 2)
    ),
    "flipped map": lambda: nn.Sequential(
        conv(3, 3, (3, 5), 2), Call(lambda x: x.transpose(2, 3)), conv(3, 2, 1),
        Call(lambda x: x.permute(0, 1, 3, 2)), conv(2, 2, 2),
    ),
    "transposed convolution": lambda: nn.Sequential(
        conv(3, 3, 3, 2, 1), nn.ConvTranspose2d(3, 3, 3, 2, 1, output_padding=1), conv(3, 2, 2),
        nn.ConvTranspose2d(2, 2, (2, 5), (3, 1), dilation=(1, 2)),
    ),
    "resampled": lambda: nn.Sequential(
        conv(3, 3, 3, 2), nn.Upsample(scale_factor=2), conv(3, 3, 3),
        Call(lambda x: F.interpolate(x, size=(11, 20), mode="bilinear")), conv(3, 2, 2),
        Call(lambda x: F.interpolate(x, (17, 9), mode="bilinear", align_corners=True)),
    ),
    "group norm": lambda: nn.Sequential(conv(3, 4, 3, 2), nn.GroupNorm(2, 4), conv(4, 2, 3)),
    "measured batch norm": lambda: nn.Sequential(
        conv(3, 3, 3, 2), nn.BatchNorm2d(3, track_running_stats=False), conv(3, 2, 3)
    ),
}  # fmt: skip
"""Kinds of data flow; each takes a 3 × 37 × 53 input."""
GRAPH_SIZE = (3, 37, 53)


IN_PLACE = {F.relu_, torch.relu_, "relu_"}


def module_relus(model: nn.Module) -> fx.GraphModule:
    """Return the network with a separate `nn.ReLU` for each ReLU call, as Captum and zennit require."""
    traced = fx.symbolic_trace(model)
    modules = dict(traced.named_modules())
    nodes = list(traced.graph.nodes)
    for number, node in enumerate(nodes):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        calls_function = node.target in {F.relu, torch.relu, "relu", *IN_PLACE}
        if not (isinstance(module, nn.ReLU) or (node.op != "call_module" and calls_function)):
            continue
        source = node.args[0]
        name = f"fresh_relu_{number}"
        traced.add_module(name, nn.ReLU())
        with traced.graph.inserting_after(node):
            fresh = traced.graph.call_module(name, (source,))
        node.replace_all_uses_with(fresh)
        if node.target in IN_PLACE or getattr(module, "inplace", False):
            for user in list(source.users):
                if user in nodes[number + 1 :]:
                    user.replace_input_with(source, fresh)
        traced.graph.erase_node(node)
    traced.recompile()
    return traced.eval()
