"""Properties of the decoding processes that `torch.utils.data.DataLoader` does not have."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from torchlurk.datasets.batches import batches
from torchlurk.datasets.decoding_process import DecodingProcess
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError

SMALL = Preprocess(size=16, resize=20)
REPOSITORY = Path(__file__).parents[2]
needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(12):
        Image.new("RGB", (40, 30), (20 * index, 80, 200)).save(tmp_path / f"{index:02}.png")
    return tmp_path


def room(images: int) -> torch.Tensor:
    return torch.empty((images, *SMALL.resize_crop.size, 3), dtype=torch.uint8)


@needs_proc
def test_a_process_loads_no_torch_and_no_shared_memory(folder: Path) -> None:
    process = DecodingProcess(SMALL.resize_crop)
    try:
        process.send([str(path) for path in sorted(folder.iterdir())])
        process.receive(room(12))
        maps = Path(f"/proc/{process._worker.process.pid}/maps").read_text()
        status = Path(f"/proc/{process._worker.process.pid}/status").read_text()
    finally:
        process.close()
    assert "torch" not in maps
    assert "/dev/shm" not in maps
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1000
    assert peak < 150  # a process with torch takes 350 MB


def test_a_crash_is_reported_only_where_its_batch_is_received(folder: Path) -> None:
    """With fork and spawn, DataLoader raises from a SIGCHLD handler, anywhere in the main thread."""
    before = signal.getsignal(signal.SIGCHLD)
    process = DecodingProcess(SMALL.resize_crop)
    try:
        process.send([str(folder / "00.png")])
        process.receive(room(12))
        assert signal.getsignal(signal.SIGCHLD) == before
        os.kill(process._worker.process.pid, signal.SIGSEGV)
        for _ in range(20):  # the caller computes
            time.sleep(0.01)
        process.send([str(folder / "01.png")])
        with pytest.raises(
            LurkError, match=r"^a decoding process ended \(code -11\) at '.*01\.png' or soon after; "
        ):
            process.receive(room(12))
    finally:
        process.close()


SCRIPT = """
    # no `if __name__ == "__main__"`: with spawn and forkserver, every worker runs this script again
    import sys
    from pathlib import Path
    from torchlurk.datasets.batches import batches
    from torchlurk.datasets.image_folder import list_images
    from torchlurk.datasets.inputs import Preprocess
    print("start", flush=True)
    images = list_images(Path(sys.argv[-1]))
    print(sum(len(batch.indices) for batch in batches(images, Preprocess(size=16, resize=20), batch_size=2)))
"""


@pytest.mark.parametrize("kind", ["file", "stdin"])
def test_a_script_without_a_guard_runs_once(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    script = tmp_path_factory.mktemp("script") / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script) if kind == "file" else "-", str(folder)]
    done = subprocess.run(
        command,
        input=script.read_text() if kind == "stdin" else "",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "start\n12\n", "")


def test_no_multiprocessing_process_remains(folder: Path) -> None:
    """With spawn and forkserver, a resource tracker and a server remain until Python exits."""
    list(batches(list_images(folder), SMALL, batch_size=2, workers=2))
    assert multiprocessing.active_children() == []
