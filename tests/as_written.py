"""Compare scans of small networks with plain torch, and check that calls do not change a network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

import torchlurk
from tests.networks import seeded
from torchlurk.cli.main import main
from torchlurk.store.read import read_layer, read_manifest
from torchlurk.store.schema import Filter, Manifest

M = TypeVar("M", bound=nn.Module)

SIDE = 32
IMAGES = 6
TOP = 3
FED = torchlurk.Preprocess(size=SIDE, resize=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Plain(nn.Module):
    """Two convolutions and a linear layer; the base class of other networks of these tests."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5)
        self.second = nn.Conv2d(6, 8, 5)
        self.head = nn.Linear(200, 4)

    def stem(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.first(x)), 2)

    def rest(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(F.relu(self.second(x)), 2).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.stem(x))


def pairs() -> list[tuple[Image.Image, int]]:
    """Return noise images of the input size, and their classes."""
    noise = torch.rand(IMAGES, SIDE // 4, SIDE // 4, 3, generator=torch.Generator().manual_seed(1))
    small = [Image.fromarray((255 * pixels).byte().numpy()) for pixels in noise]
    return [
        (image.resize((SIDE, SIDE), Image.Resampling.NEAREST), number % 2)
        for number, image in enumerate(small)
    ]


def fed() -> Tensor:
    """Return the same images as network input: `(N, 3, H, W)`."""
    pixels = [torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8) for image, _ in pairs()]
    colours = torch.stack(pixels).view(-1, SIDE, SIDE, 3).permute(0, 3, 1, 2).contiguous()
    return (colours / 255 - 0.5) / 0.5


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Check that the block does not change a network: values, types, attributes, identities of objects."""
    before = state(model)
    yield
    after = state(model)
    assert {key for key in before if before[key] != after.get(key)} == set()
    assert after.keys() == before.keys()


def state(model: nn.Module) -> dict[str, Any]:
    """Return everything that a network holds, by attribute path."""
    found: dict[str, Any] = {}

    def take(path: str, value: Any) -> None:
        if isinstance(value, Tensor) and (value.is_meta or is_lazy(value)):
            found[path] = (id(value), value.dtype)
        elif isinstance(value, Tensor):
            plain = value.detach().resolve_conj()
            found[path] = (id(value), value.dtype, value.requires_grad, value.is_inference(), plain.tolist())
        elif isinstance(value, nn.Module) or type(value).__module__.startswith("tests"):
            found[path] = type(value)
            names = [*getattr(value, "__dict__", ()), *getattr(value, "__slots__", ())]
            for name in names:
                take(f"{path}.{name}", getattr(value, name, None))
        elif isinstance(value, dict):
            found[path] = list(map(repr, value))
            for key, item in value.items():
                take(f"{path}[{key!r}]", item)
        elif isinstance(value, list | tuple):
            found[path] = len(value)
            for at, item in enumerate(value):
                take(f"{path}[{at}]", item)
        elif not callable(value):
            found[path] = repr(value)

    take("", model)
    return found


@dataclass(frozen=True)
class Scanned:
    """The store of a scan, and the lines that the scan reported."""

    lurk: torchlurk.Lurk
    out: Path
    lines: list[str]

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.out)

    @property
    def layers(self) -> list[str]:
        return [layer.name for layer in self.manifest.layers]

    @property
    def skipped(self) -> dict[str, str]:
        return {layer.name: layer.reason for layer in self.manifest.layers_skipped}

    def filters(self, layer: str) -> list[Filter]:
        record = next(record for record in self.manifest.layers if record.name == layer)
        return read_layer(self.out, record).filters


def lurk_of(model: nn.Module, out: Path, layers: Sequence[str], **options: Any) -> torchlurk.Lurk:
    arguments = {"images": pairs(), "top": TOP, "device": "cpu", "workers": 0, "batch_size": 4, **options}
    return torchlurk.Lurk(model, FED, out=out, layers=layers, progress=False, **arguments)


def scan(model: nn.Module, out: Path, *layers: str, gradients: bool = True) -> Scanned:
    """Scan a network, compute gradients, and check that the network is unchanged."""
    lines: list[str] = []
    with unchanged(model):
        lurk = lurk_of(model, out, layers or ["kind:Conv2d", "kind:Linear"])
        assert lurk._session is not None
        reporter = replace(lurk._session.reporter, report=lines.append)
        lurk._session = replace(lurk._session, reporter=reporter)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            lurk.compute_top_imgs()
        # Skipped layers are also reported where there is no terminal.
        assert [str(warning.message) for warning in warned] == [
            line for line in lines if "not scanned" in line
        ]
        if gradients:
            lurk.compute_grads(filters=1)
    return Scanned(lurk, out, lines)


def outputs(make: Callable[[], nn.Module], layer: str, maps: Callable[[Tensor], Tensor]) -> dict[int, Tensor]:
    """Compute with plain torch the output `(C, H, W)` of a layer for each image that reaches it, one by one.

    Each image runs through a new network, which no other image has changed.
    """
    found: dict[int, Tensor] = {}
    for at, x in enumerate(fed()):
        model = make()
        kept: list[Tensor] = []
        model.get_submodule(layer).register_forward_hook(
            lambda module, inputs, output, kept=kept: kept.append(tree_leaves(output)[0].detach().clone())
        )
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model(x[None])
        if kept and len(kept[0]):
            value = maps(kept[0])[0].float()
            found[at] = value if value.dim() == 3 else value[:, None, None]
    return found


def check(
    scanned: Scanned,
    make: Callable[[], nn.Module],
    layer: str,
    maps: Callable[[Tensor], Tensor] = lambda y: y,
) -> None:
    """Compare a layer's lists, positions, statistics and certificates with plain torch."""
    expected = outputs(make, layer, maps)
    filters = scanned.filters(layer)
    assert len(filters) == len(next(iter(expected.values())))
    close = 1e-4 * max(float(one.abs().max()) for one in expected.values())
    for entry in filters:
        own = {at: value[entry.channel] for at, value in expected.items()}
        for found, reduce in ((entry.max, Tensor.max), (entry.avg, Tensor.mean)):
            scores = {at: float(reduce(value)) for at, value in own.items()}
            best = sorted(scores.values(), reverse=True)[:TOP]
            assert [one.score for one in found] == pytest.approx(best, abs=close)
            assert [one.score for one in found] == pytest.approx([scores[o.image] for o in found], abs=close)
        for one in entry.max:
            assert float(own[one.image][one.position]) == pytest.approx(
                float(own[one.image].max()), abs=close
            )
            assert one.certificate is None or one.certificate < 1e-3
        maxima = torch.stack([value.max() for value in own.values()])
        assert entry.stats.max_mean == pytest.approx(float(maxima.mean()), abs=close)
        assert entry.stats.max_std == pytest.approx(float(maxima.std(correction=0)), abs=close)


def logit_gradient(model: nn.Module, x: Tensor) -> Tensor:
    """Compute with plain torch the gradient of the first logit of each image with respect to the image."""
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf.clone())[:, 0].sum(), leaf)
    return gradient


def check_gradients(make: Callable[[], nn.Module], like: Callable[[], nn.Module]) -> None:
    """Compare `gradients` and `explain` of one network with plain torch on another."""
    model, x = make(), fed()
    expected = logit_gradient(like(), x[:2])
    with unchanged(model):
        gradient = torchlurk.gradients(model, x[:2], 0).input
        (explained,) = torchlurk.explain(model, FED, pairs()[0][0], 0)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(explained.attributions["gradient"], expected[0], rtol=1e-3, atol=1e-5)


def precompute(function: str, folder: Path, *options: str) -> Result:
    """Run `torchlurk precompute` on a network of these tests, `FILE.py:FUNCTION`."""
    photos = folder / "photos"
    if not photos.exists():
        for number, (image, label) in enumerate(pairs()):
            (photos / str(label)).mkdir(parents=True, exist_ok=True)
            image.save(photos / str(label) / f"{number}.png")
    arguments = ["--model", function, "--images", str(photos), "--out", str(folder / "store"), *options]
    return CliRunner().invoke(
        main, ["precompute", *arguments, "--device", "cpu", "--workers", "0", "--filters", "1"]
    )


def net(kind: Callable[[], M]) -> Callable[[], M]:
    """Return a function that builds the same network on each call."""
    return lambda: seeded(kind)
