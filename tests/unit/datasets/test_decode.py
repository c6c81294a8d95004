"""Image files become RGB: formats, depths, transparency, orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tests.unit.datasets.conftest import picture
from torchlurk.datasets import decode as decoding
from torchlurk.datasets.decode import decode_image, to_rgb
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.limits import BadImage


def saved(path: Path, image: Image.Image, **options: object) -> Image.Image:
    image.save(path, **options)  # type: ignore[arg-type]
    return decode_image(path)


def difference(first: Image.Image, second: Image.Image) -> int:
    a, b = (np.asarray(image.convert("RGB")).astype(int) for image in (first, second))
    return int(np.abs(a - b).max())


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        (kind, mode)
        for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
        for mode in ("RGB", "L", "1", "P")
        if (kind, mode) != ("PPM", "P")  # there are no palettes in PPM
    ],
)
def test_every_format_decodes(tmp_path: Path, kind: str, mode: str) -> None:
    if kind == "JPEG" and mode == "P":
        mode = "CMYK"
    image = Image.linear_gradient("L").resize((40, 30)).convert("RGB").convert(mode)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    found = saved(tmp_path / "x", image, format=kind, **options)
    assert found.mode == "RGB"
    assert found.size == (40, 30)
    assert difference(found, image) <= (8 if kind == "JPEG" else 0)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    wide = np.array([[0, 128, 129, 257], [25700, 32768, 65406, 65535]], np.uint16)
    expected = np.round(wide / 257)
    for kind in ("PNG", "TIFF"):
        found = saved(tmp_path / "x", Image.fromarray(wide), format=kind)
        assert np.array_equal(np.asarray(found), np.stack([expected] * 3, -1))


def test_transparency_is_composited_over_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    image.putpixel((0, 0), (200, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 51))
    for kind in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        found = saved(tmp_path / "x", image, format=kind, **options)
        assert [found.getpixel((x, 0)) for x in range(3)] == [
            (200, 0, 0),
            (204, 204, 204),
            (255, 255, 255),
        ]
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.putpixel((1, 0), 1)
    found = saved(tmp_path / "x", palette, format="PNG", transparency=b"\0\xff")
    assert [found.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (0, 200, 0)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image(tmp_path: Path, kind: str, orientation: int) -> None:
    image = Image.new("RGB", (40, 24), "black")
    image.paste("white", (0, 0, 16, 8))
    # how a camera stores it: the turn that EXIF asks for brings it back
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = image.transpose(undo[orientation]) if orientation in undo else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = saved(tmp_path / "x", stored, format=kind, exif=exif)
    assert found.size == (40, 24)
    assert difference(found, image) < 30


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        found = saved(tmp_path / "x", frames[0], format=kind, save_all=True, append_images=frames[1:])
        assert difference(found, frames[0]) < 8


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


@needs_avif
def test_avif_is_decoded_upright_and_over_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 24), "black")
    image.paste("white", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.avif", exif=exif)
    found = decode_image(list_images(tmp_path).file(0))
    assert found.size == (24, 40)
    assert found.getpixel((20, 4)) == (255, 255, 255)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "x.avif")
    assert decode_image(tmp_path / "x.avif").getpixel((0, 0)) == (255, 255, 255)


@needs_avif
def test_an_avif_of_too_many_pixels_is_refused_from_its_header(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "x.avif")
    with pytest.raises(BadImage, match=r"^64 x 64 pixels are more than 4,000$"):
        decode_image(tmp_path / "x.avif", max_pixels=4000)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "PA", "P"])
def test_strips_give_the_same_pixels_as_the_whole_image(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (53, 40), dtype=np.uint16))
        image.format = "PNG"
    elif mode == "P":
        image = picture("RGB").quantize(16)
        image.info["transparency"] = bytes(range(0, 256, 16))
    else:
        image = picture("RGBA").convert(mode)
    whole = to_rgb(image)
    for strip in (1, 40, 41, 999):
        monkeypatch.setattr(decoding, "STRIP", strip)
        assert to_rgb(image).tobytes() == whole.tobytes()
