"""Image folders: what is listed, how it is decoded and cut, and in which batches it comes."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchlurk.datasets.batches import Batch, batches, load_pixels
from torchlurk.datasets.class_names import read_class_names
from torchlurk.datasets.decode import decode_image
from torchlurk.datasets.image_folder import list_images
from torchlurk.datasets.inputs import Preprocess
from torchlurk.datasets.limits import BadImage
from torchlurk.errors import LurkError

SMALL = Preprocess(size=16, resize=20)


def noise(seed: int, width: int = 24, height: int = 20) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 6 and 5 images, of which "b/02.jpg" and "b/03.jpg" are bad."""
    root = tmp_path / "pets"
    for name, count in (("a", 6), ("b", 5)):
        (root / name).mkdir(parents=True)
        for index in range(count):
            noise(index).save(root / name / f"{index:02}.jpg")
    (root / "b" / "02.jpg").write_text("no image")
    (root / "b" / "03.jpg").write_bytes(b"")
    return root


# listing


def test_lists_classes_and_passes_over_the_rest(folder: Path) -> None:
    (folder / "a" / "deep" / "er").mkdir(parents=True)
    noise(0).save(folder / "a" / "deep" / "er" / "x.PNG", "PNG")
    (folder / "empty").mkdir()
    for name in ("CREDITS.csv", "README.md", ".hidden.jpg", "a/.hidden.png", "a/notes.txt"):
        (folder / name).write_text("x")
    (folder / ".git").mkdir()
    noise(0).save(folder / ".git" / "x.jpg")
    found = list_images(folder, class_names={"b": "birds, of all kinds", "z": "never"})
    assert found.name == "pets"
    assert found.classes == ("a", "birds, of all kinds")
    assert found.paths[5:8] == ("a/05.jpg", "a/deep/er/x.PNG", "b/00.jpg")
    assert found.labels == (0,) * 7 + (1,) * 5
    assert found.paths == tuple(sorted(found.paths, key=os.fsencode))


def test_a_flat_folder_is_one_class(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.webp", "B.TIFF"):
        (tmp_path / name).touch()
    (tmp_path / "notes").mkdir()
    found = list_images(tmp_path)
    assert found.paths == ("B.TIFF", "a.webp", "b.jpg")
    assert found.classes == (tmp_path.name,)
    assert found.labels == (0, 0, 0)


def test_the_digest_sees_paths_and_bytes_alone(folder: Path, tmp_path: Path) -> None:
    first = list_images(folder)
    moved = tmp_path / "elsewhere" / "pets"
    moved.parent.mkdir()
    folder.rename(moved)
    os.utime(moved / "a" / "00.jpg", (0, 0))
    second = list_images(moved)
    assert first == second
    assert first.digest == second.digest
    seen = {first.digest}
    (moved / "a" / "00.jpg").write_bytes(b"changed")
    seen.add(list_images(moved).digest)
    (moved / "a" / "01.jpg").rename(moved / "a" / "1.jpg")
    seen.add(list_images(moved).digest)
    (moved / "a" / "02.jpg").unlink()
    (moved / "a" / "02.jpg").symlink_to(moved / "nowhere")
    seen.add(list_images(moved).digest)
    assert len(seen) == 4


def test_links_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    noise(0).save(tmp_path / "other" / "x.jpg")
    (folder / "c").symlink_to(tmp_path / "other")
    (folder / "a" / "again").symlink_to(folder)
    os.mkfifo(folder / "a" / "pipe.jpg")
    found = list_images(folder)
    assert len(found.paths) == 12
    assert found.paths[-1] == "c/x.jpg"


@pytest.mark.parametrize("name", ["missing", "file", "void"])
def test_no_images_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "void").mkdir()
    (tmp_path / "void" / "readme.txt").write_text("x")
    with pytest.raises(LurkError, match=f"{name}' (does not exist|is a file|holds no images)"):
        list_images(tmp_path / name)


def test_words(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("n01\tgoldfish, Carassius auratus\r\n\nn02,frog\nn03\tnaïve\n", encoding="utf-8")
    assert read_class_names(path) == {
        "n01": "goldfish, Carassius auratus",
        "n02": "frog",
        "n03": "naïve",
    }
    path.write_text("n01\tx\nalone\n")
    with pytest.raises(LurkError, match="line 2, is 'alone'"):
        read_class_names(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(LurkError, match="not UTF-8"):
        read_class_names(path)
    with pytest.raises(LurkError, match="cannot be read: No such file"):
        read_class_names(tmp_path / "missing")


# decoding


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


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
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


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        found = saved(tmp_path / "x", frames[0], format=kind, save_all=True, append_images=frames[1:])
        assert difference(found, frames[0]) < 8


# cutting


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    sizes=st.sampled_from([(224, 256), (224, 224), (17, 20), (64, 71)]),
)
def test_pixels_equal_torchvisions_to_the_bit(width: int, height: int, sizes: tuple[int, int]) -> None:
    if max(width, height) > 100 * min(width, height):
        return
    size, resize = sizes
    image = noise(width * 1000 + height, width, height)
    preset = torchvision.models.VGG16_Weights.DEFAULT.transforms(crop_size=size, resize_size=resize)
    ours = Preprocess(size=size, resize=resize)
    pixels = torch.from_numpy(ours.to_array(image))[None]
    assert torch.equal(ours.to_input(pixels)[0], preset(image))


def test_the_default_is_torchvisions_in_the_plain_layout() -> None:
    image = noise(0, 500, 375)
    pixels = torch.from_numpy(Preprocess().to_array(image))[None].repeat(2, 1, 1, 1)
    found = Preprocess().to_input(pixels)
    assert torch.equal(found[1], torchvision.models.VGG16_Weights.DEFAULT.transforms()(image))
    assert found.is_contiguous()
    assert Preprocess().to_input(torch.empty(0, 8, 8, 3, dtype=torch.uint8)).shape == (0, 3, 8, 8)


def test_preprocess_refuses_what_cannot_be() -> None:
    for size, resize in ((0, 10), (224, 200), (-1, -1)):
        with pytest.raises(LurkError, match="size <= resize"):
            Preprocess(size=size, resize=resize)
    with pytest.raises(LurkError, match="std"):
        Preprocess(std=(1.0, 0.0, 1.0))
    with pytest.raises(BadImage, match="1 x 101 pixels are too narrow"):
        Preprocess().to_array(Image.new("RGB", (1, 101)))


# batches


def flat(found: list[Batch]) -> list[object]:
    return [dataclasses.replace(b, pixels=b.pixels.numpy().tobytes()) for b in found]  # type: ignore[arg-type]


def test_batches_depend_on_the_folder_and_the_sizes_alone(folder: Path) -> None:
    images = list_images(folder)
    found = list(batches(images, SMALL, batch_size=3, shard_size=4, workers=0))
    assert [(b.shard, b.indices) for b in found] == [
        (0, (0, 1, 2)),
        (0, (3,)),
        (1, (4, 5, 6)),
        (1, (7,)),
        (2, (10,)),
    ]
    assert [tuple(s.path for s in b.skipped) for b in found[-2:]] == [(), ("b/02.jpg", "b/03.jpg")]
    assert [s.reason for s in found[-1].skipped] == [
        "not an image of a known format",
        "the file is empty",
    ]
    assert found[2].labels == (0, 0, 1)
    assert found[0].pixels.shape == (3, 16, 16, 3)
    assert found[0].pixels.dtype == torch.uint8
    for workers in (1, 2, 9):
        again = list(batches(images, SMALL, batch_size=3, shard_size=4, workers=workers))
        assert flat(again) == flat(found)
    chosen = list(batches(images, SMALL, batch_size=3, shard_size=4, workers=1, shards=(2, 0)))
    assert flat(chosen) == flat(found[-1:] + found[:2])
    assert list(batches(images, SMALL, shards=())) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_bad_images_still_reports_them(folder: Path, workers: int) -> None:
    images = list_images(folder)
    found = list(batches(images, SMALL, batch_size=2, shard_size=8, workers=workers))[4]
    assert found.indices == ()
    assert found.pixels.shape == (0, 16, 16, 3)
    assert len(found.skipped) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch size 0"),
        ({"shard_size": 0}, "shard size 0"),
        ({"workers": -1}, "-1 workers"),
        ({"shards": (1,)}, "shard 1 of 'pets': it has 0 to 0"),
    ],
)
def test_options_are_checked_before_anything_starts(
    folder: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(LurkError, match=message):
        batches(list_images(folder), SMALL, **options)  # type: ignore[arg-type]


def test_pixels_by_index(folder: Path) -> None:
    images = list_images(folder)
    everything = next(batches(images, SMALL, workers=0))
    found = load_pixels(images, SMALL, [4, 0, 4])
    assert torch.equal(found, everything.pixels[[4, 0, 4]])
    assert load_pixels(images, SMALL, []).shape == (0, 16, 16, 3)
    with pytest.raises(LurkError, match=r"'b/02\.jpg' cannot be read again"):
        load_pixels(images, SMALL, [0, 8])


def test_paths_that_are_not_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \n \xf0\x9f\x90\x95.png")
    noise(0).save(tmp_path / name)
    images = list_images(tmp_path)
    assert images.files == (name,)
    assert images.paths == ("caf\\udce9 \n \U0001f415.png",)
    for workers in (0, 1):
        assert [b.indices for b in batches(images, SMALL, workers=workers)] == [(0,)]
