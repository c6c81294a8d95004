"""Image files that are damaged, hostile or missing, and interrupted scans."""

import io
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.processes import hear_interrupts
from torchlurk.datasets.batches import batches
from torchlurk.datasets.decode import decode_image
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError

SMALL = Preprocess(size=16, resize=20)
REPOSITORY = Path(__file__).parents[2]


def picture() -> Image.Image:
    rng = np.random.default_rng(0)
    low = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return low.resize((48, 40), Image.Resampling.BICUBIC)


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Change some bytes, half of them near the header, and truncate three files in ten."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        reach = len(data) if rng.random() < 0.5 else min(len(data), 200)
        changed[rng.randrange(reach)] = rng.choice([0, 255, rng.randrange(256)])
    return bytes(changed[: rng.randrange(len(data))] if rng.random() < 0.3 else changed)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"exif": exif()}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {"save_all": True, "append_images": [picture().rotate(90)]}),
        ("WEBP", {"exif": exif()}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("PPM", {}),
    ],
)
def test_damaged_files_give_an_image_or_a_reason(
    tmp_path: Path, kind: str, options: dict[str, object]
) -> None:
    data, rng, path = encoded(kind, **options), random.Random(kind), tmp_path / "x"
    reasons: list[str] = []
    for _ in range(150):
        path.write_bytes(damaged(data, rng))
        try:
            assert decode_image(path, max_pixels=1_000_000).mode == "RGB"
        except BadImage as error:
            reasons.append(str(error))
    assert len(reasons) >= 30  # enough of the files were really damaged
    for reason in reasons:
        assert 0 < len(reason) <= 120
        assert not {"\n", "<"} & set(reason)
        assert str(tmp_path) not in reason
    path.write_bytes(data)
    assert decode_image(path).size in ((48, 40), (40, 48))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    data = encoded(kind)
    (tmp_path / "x").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadImage):
        decode_image(tmp_path / "x")


def test_reasons_are_short_and_exact(tmp_path: Path) -> None:
    cases = {
        "the file is empty": b"",
        "not an image of a known format": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "48 x 40 pixels are more than 1,000": encoded("PNG"),
    }
    for reason, data in cases.items():
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(BadImage, match=f"^{reason}$"):
            decode_image(tmp_path / "x", max_pixels=1_000)
    with pytest.raises(BadImage, match=r"^the file is gone$"):
        decode_image(tmp_path / "missing")
    with pytest.raises(BadImage, match=r"^a folder, not a file"):
        decode_image(tmp_path)
    for mode in ("I", "F"):
        Image.new(mode, (4, 4)).save(tmp_path / "x", "TIFF")
        with pytest.raises(BadImage, match="no stated white"):
            decode_image(tmp_path / "x")


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    # 400 megapixels: a file of a few kB that would need 1.2 GB of memory
    header = bytearray(encoded("BMP"))
    header[18:26] = (20_000).to_bytes(4, "little") * 2
    (tmp_path / "x").write_bytes(header)
    started = time.perf_counter()
    with pytest.raises(BadImage, match=r"more pixels than|are more than"):
        decode_image(tmp_path / "x")
    assert time.perf_counter() - started < 1


def test_decoding_hides_the_warnings_of_pillow(tmp_path: Path) -> None:
    palette = picture().quantize(8)
    palette.save(tmp_path / "x.png", transparency=b"\0\x40")
    # a tag that claims more bytes than the file has
    whole, wrong = b"\x01\x12\x00\x03\x00\x00\x00\x01", b"\x01\x12\x00\x03\x00\x00\xff\x01"
    bad = encoded("JPEG", exif=exif()).replace(whole, wrong)
    (tmp_path / "y.jpg").write_bytes(bad)
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode_image(tmp_path / "x.png")
        decode_image(tmp_path / "y.jpg")
    assert caught == []
    assert list(warnings.filters) == before


# interrupted scans


def children() -> set[int]:
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread of an earlier test ends meanwhile
            found.update(map(int, (thread / "children").read_text().split()))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Write twelve images, and check after the test that no process remains."""
    before = children()
    for index in range(12):
        picture().rotate(index).save(tmp_path / f"{index:02}.png")
    yield tmp_path
    assert children() == before


def test_processes_end_with_the_scan(folder: Path) -> None:
    before = children()
    scan = batches(list_images(folder), SMALL, batch_size=2, workers=3)
    assert children() == before
    next(scan)
    assert len(children() - before) == 3
    scan.close()  # type: ignore[attr-defined]
    assert children() == before
    assert len(list(batches(list_images(folder), SMALL, batch_size=2, workers=3))) == 6


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_processes_end_with_an_error_in_the_loop(folder: Path, error: type[BaseException]) -> None:
    before = children()
    images = list_images(folder)

    def consume() -> None:
        for _ in batches(images, SMALL, batch_size=2, workers=2):
            raise error

    with pytest.raises(error):
        consume()
    assert children() == before


def test_a_killed_process_is_reported_in_one_line_with_its_image(folder: Path) -> None:
    before = children()
    scan = batches(list_images(folder), SMALL, batch_size=2, workers=1)
    next(scan)
    (worker,) = children() - before
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(LurkError, match=r"ended \(code -9\) at .*\.png' or soon after") as caught:
        list(scan)
    assert "\n" not in str(caught.value)


def test_an_image_deleted_during_the_scan_is_skipped(folder: Path) -> None:
    images = list_images(folder)
    scan = batches(images, SMALL, batch_size=2, workers=1)
    (folder / "11.png").unlink()
    assert list(scan)[-1].skipped[0].reason == "the file is gone"


def test_ctrl_c_leaves_no_processes_and_no_tracebacks(folder: Path) -> None:
    script = f"""
        import time
        from pathlib import Path
        from torchlurk.datasets.batches import batches
        from torchlurk.datasets.image_folder import list_images
        from torchlurk.datasets.inputs import Preprocess
        scan = batches(list_images(Path({str(folder)!r})), Preprocess(), batch_size=1, workers=2)
        try:
            next(scan)
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("stopped", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert (out, err) == ("stopped\n", "")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_killed_scan_leaves_no_process(folder: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from torchlurk.datasets.batches import batches
        from torchlurk.datasets.image_folder import list_images
        from torchlurk.datasets.inputs import Preprocess
        next(batches(list_images(Path({str(folder)!r})), Preprocess(), batch_size=1, workers=2))
        scan = batches(list_images(Path({str(folder)!r})), Preprocess(), batch_size=1, workers=2)
        next(scan)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=REPOSITORY, start_new_session=True
    )
    assert process.wait(timeout=60) == -signal.SIGKILL
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a decoding process still runs")
