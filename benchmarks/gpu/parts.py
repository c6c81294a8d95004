"""The parts of the measurement; each runs in a process of its own and fills a record."""

from __future__ import annotations

import cProfile
import io
import json
import os
import platform
import pstats
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu.agreement import Exact, compare_stores, exact_scores, measure_errors
from benchmarks.gpu.files import unpack_images
from benchmarks.gpu.recorder import Recorder
from benchmarks.gpu.settings import ROOT, Settings
from torchlurk.datasets.batches import batches
from torchlurk.datasets.image_folder import list_images
from torchlurk.models.isolation import isolated
from torchlurk.models.load import load_network
from torchlurk.models.network import Network
from torchlurk.models.runner import MEMORY_FORMATS
from torchlurk.pipeline import pipeline
from torchlurk.pipeline.config import AscentConfig, GradientsConfig, RunConfig, ScanConfig
from torchlurk.runtime import devices
from torchlurk.store.read import read_manifest
from torchlurk.store.schema import STAGES
from torchlurk.store.selection import Selection

_PROFILED_LINES = 45
_FLOAT64_BATCH = 16


def measure_machine(settings: Settings, recorder: Recorder) -> None:
    """Describe the machine and the device."""
    facts: dict[str, object] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }
    if settings.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "card": properties.name,
            "card_memory_gib": round(properties.total_memory / 2**30, 1),
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    recorder.facts["machine"] = facts


def run_tests(settings: Settings, recorder: Recorder) -> None:
    """Run the tests that have a device; the tail of their output is part of the record."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--device",
        settings.device, *settings.tests,
    ]  # fmt: skip
    # Plugins that happen to be installed there may warn, and warnings are errors.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUNBUFFERED": "1"}
    lines: list[str] = []
    recorder.facts["output"] = lines
    with (
        recorder.stage("pytest"),
        subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                del lines[:-300]
        except SystemExit:
            process.kill()
            raise
    recorder.facts["exit_code"] = process.returncode


def measure_forward(settings: Settings, recorder: Recorder) -> None:
    """Measure the bare forward in both memory formats, three precisions and several batch sizes."""
    device = torch.device(settings.device)
    network = _network(settings)
    rates: dict[str, float | str] = {}
    recorder.facts["images_per_second"] = rates
    contexts: Mapping[str, Callable[[], object]] = {
        "float32": lambda: devices.deterministic_float32(device),
        "tf32": _tensorfloat32,
        "bfloat16": lambda: torch.autocast(device.type, torch.bfloat16),
    }
    with isolated(network.module, device, network.shape), torch.inference_mode():
        for name, memory_format in MEMORY_FORMATS.items():
            module = network.module.to(memory_format=memory_format)
            for precision, context in contexts.items():
                for size in settings.forward_batches:
                    label = f"{precision}, {name}, batch {size}"
                    x = torch.randn(size, *network.shape, device=device).to(memory_format=memory_format)
                    try:
                        with context(), recorder.stage(label, size, "image"):  # type: ignore[attr-defined]
                            rates[label] = round(_rate(module, x, device, settings.forward_seconds), 1)
                    except RuntimeError as problem:  # such as too little memory
                        rates[label] = str(problem)[:200]


def _rate(module: torch.nn.Module, x: torch.Tensor, device: torch.device, seconds: float) -> float:
    """Return the images per second of a forward, after one that is not measured."""

    def run_forward() -> float:
        module(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    begin, count = run_forward(), 0
    while True:
        now, count = run_forward(), count + len(x)
        if now - begin >= seconds:
            return count / (now - begin)


def check_agreement(settings: Settings, recorder: Recorder) -> None:
    """Scan a few images on the CPU and on the device, and compare the lists."""
    count = settings.agreement_images
    stores = {}
    for name, device in (("cpu", "cpu"), ("device", settings.device)):
        out = settings.work / "agreement" / name / "store"
        # On the CPU with all cores; the batch size is the same, as the last digits depend on it.
        run_pipeline(
            settings, recorder, out, count, filters=1, stages=("scan",), device=device,
            threads=(os.cpu_count() or 1) if name == "cpu" else 1, batch_size=min(count, 32),
        )  # fmt: skip
        stores[name] = out
    recorder.facts["agreement"] = asdict(compare_stores(stores["cpu"], stores["device"]))
    with recorder.stage("float64", count, "image") as advance:
        exact = _exact_scores(settings, count, [layer.name for layer in read_manifest(out).layers], advance)
    for name, out in stores.items():
        recorder.facts[f"float64 and {name}"] = asdict(measure_errors(out, exact))


def _exact_scores(
    settings: Settings, count: int, layers: Sequence[str], advance: Callable[[int], object]
) -> Exact:
    """Return the scores of the images in float64, computed on the device."""
    device, network = torch.device(settings.device), _network(settings)
    images = list_images(settings.work / f"images-{count}")

    def inputs() -> Iterator[torch.Tensor]:
        loaded = batches(images, network.preprocess, batch_size=_FLOAT64_BATCH, workers=0)
        for batch in loaded:
            yield network.preprocess.to_input(batch.pixels.to(device)).double()
            advance(len(batch.indices))

    return exact_scores(network.module.eval().double().to(device), layers, inputs())


def run_few(settings: Settings, recorder: Recorder) -> None:
    """Run all stages for a few filters of each layer under the profiler."""
    profile = cProfile.Profile()
    out = settings.work / "few" / "store"
    try:
        profile.enable()
        run_pipeline(settings, recorder, out, settings.few_images, filters=settings.few_filters)
    finally:
        profile.disable()
        text = io.StringIO()
        statistics = pstats.Stats(profile, stream=text).sort_stats("tottime")
        statistics.print_stats(_PROFILED_LINES)
        recorder.facts["profile"] = [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]


def run_all(settings: Settings, recorder: Recorder, *, images: int, fast: bool) -> None:
    """Run all stages for all filters, and measure the store.

    Args:
        settings: The settings.
        recorder: The record.
        images: Number of images.
        fast: Scan in bfloat16, and score the candidates again in float32.
    """
    out = settings.work / f"all-{images}-{'fast' if fast else 'exact'}" / "store"
    begin = time.perf_counter()
    try:
        run_pipeline(settings, recorder, out, images, filters=settings.filters, fast=fast)
    finally:
        recorder.facts["total_seconds"] = round(time.perf_counter() - begin, 2)
        found = [path for path in out.rglob("*") if path.is_file()]
        recorder.facts["store_files"] = len(found)
        recorder.facts["store_mib"] = round(sum(path.stat().st_size for path in found) / 2**20, 1)
        shutil.rmtree(out.parent, ignore_errors=True)


def run_pipeline(
    settings: Settings,
    recorder: Recorder,
    out: Path,
    images: int,
    *,
    filters: int | None,
    fast: bool = False,
    stages: tuple[str, ...] = STAGES,
    device: str | None = None,
    threads: int = 1,
    batch_size: int | None = None,
) -> None:
    """Run the pipeline with the defaults of a device, as `torchlurk precompute` does."""
    chosen = torch.device(device or settings.device)
    with recorder.stage("setup"):
        folder = settings.work / f"images-{images}"
        if not folder.exists():  # the same for all parts
            draft = folder.with_suffix(".draft")
            unpack_images(settings.archive, draft, images, os.cpu_count() or 1).replace(folder)
        network, listed = _network(settings), list_images(folder)
        batch = batch_size or devices.default_batch_size(chosen)
        out.parent.mkdir(parents=True, exist_ok=True)
    config = RunConfig(
        scan=ScanConfig(
            layers=settings.layers,
            batch_size=batch,
            shard_size=devices.default_shard_size(chosen),
            precision="bfloat16" if fast else "float32",
        ),
        gradients=GradientsConfig(
            batch_size=devices.default_gradient_batch(chosen, batch),
            precision=devices.fastest_precision(chosen),
        ),
        ascent=AscentConfig(
            steps=settings.steps,
            batch_size=devices.default_ascent_batch(chosen, batch),
            precision=devices.fastest_precision(chosen),
        ),
        stages=stages,
        selection=Selection(filters=filters),
        workers=devices.default_workers(chosen) if settings.workers is None else settings.workers,
        threads=threads,
    )
    recorder.facts.setdefault("config", {})[str(out.parent.name)] = json.loads(
        json.dumps(asdict(replace(config, selection=Selection())), default=str)
    )
    with recorder.stage("everything"):
        pipeline.precompute(network, listed, out, config, chosen, recorder.reporter())


def _network(settings: Settings) -> Network:
    return load_network(
        settings.model, str(settings.weights), None, settings.work / "cache", report=lambda _: None
    )


@contextmanager
def _tensorfloat32() -> Iterator[None]:
    """Allow TensorFloat-32, and let cuDNN choose its algorithms by benchmarks."""
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before[0]
        torch.set_float32_matmul_precision(before[1])


def parts_of(settings: Settings) -> Mapping[str, Callable[[Settings, Recorder], None]]:
    """Return the parts by name; `Settings.seconds` has their order."""
    few, many = settings.images
    return {
        "machine": measure_machine,
        "forward": measure_forward,
        "tests": run_tests,
        "agreement": check_agreement,
        "few": run_few,
        "all": partial(run_all, images=few, fast=False),
        "many": partial(run_all, images=many, fast=False),
        "fast": partial(run_all, images=few, fast=True),
        "many-fast": partial(run_all, images=many, fast=True),
    }
