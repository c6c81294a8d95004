"""What is measured: the network, the numbers of images and filters, and the time of each part."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torchlurk.pipeline.config import AscentConfig

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Settings:
    """Settings of the measurement.

    Attributes:
        device: `cuda` or `cpu`.
        model: The network, as for `--model`.
        weights: File with its weights.
        archive: Archive with the images.
        work: Folder for images and stores.
        workers: Processes that decode images; `None` for the device's default.
        layers: Patterns of layers.
        few_images: Images of the runs with `few_filters` filters of each layer.
        few_filters: See `few_images`.
        images: Images of the large runs.
        filters: Filters of each layer in the large runs; `None` for all.
        steps: Steps of the ascent.
        agreement_images: Images that the CPU scans too.
        forward_batches: Batch sizes of the bare forward.
        forward_seconds: Seconds for each of them.
        tests: Arguments of pytest.
        seconds: Parts in their order, and the seconds of each. What a part leaves is for the next ones.
    """

    device: str
    model: str
    weights: Path
    archive: Path
    work: Path
    workers: int | None = None
    layers: tuple[str, ...] = ("kind:Conv2d",)
    few_images: int = 2000
    few_filters: int = 32
    images: tuple[int, int] = (2000, 10_000)
    filters: int | None = None
    steps: int = AscentConfig.steps
    agreement_images: int = 128
    forward_batches: tuple[int, ...] = (64, 256)
    forward_seconds: float = 1.0
    tests: tuple[str, ...] = ("tests/device",)
    seconds: dict[str, float] = field(
        default_factory=lambda: {
            "machine": 15,
            "forward": 30,
            "tests": 100,
            "agreement": 45,
            "few": 50,
            "all": 90,
            "many": 115,
            "fast": 60,
            "many-fast": 0,
        }
    )


def full_settings(device: str, files: Path, work: Path) -> Settings:
    """Return the settings of VGG16, for files that `prepare.sh` has collected."""
    return Settings(
        device,
        f"{ROOT / 'benchmarks/gpu/networks.py'}:vgg16_trunk",
        files / "weights.safetensors",
        files / "images.tar",
        work,
    )


def tiny_settings(device: str, files: Path, work: Path) -> Settings:
    """Return settings that take seconds on a CPU: two layers of a small network, and a few images."""
    return Settings(
        device,
        f"{ROOT / 'data/networks/small.py'}:colour",
        ROOT / "data/networks/small-colour.safetensors",
        files / "images.tar",
        work,
        workers=1,
        layers=("features.0", "features.3"),
        few_images=6,
        few_filters=1,
        images=(6, 12),
        filters=2,
        steps=4,
        agreement_images=6,
        forward_batches=(2,),
        forward_seconds=0.01,
        tests=("tests/device/test_relu_rules.py", "-k", "deconv and module"),
    )
