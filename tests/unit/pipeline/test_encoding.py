"""The JPEG files of a filter: strips as before, and small pictures of their first tiles."""

from __future__ import annotations

import io
from concurrent.futures import Future

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.golden.run import EXPECTED
from torchlurk.pipeline.encoding import FilterResult, encode_one, encode_result, image_job, thumb_of
from torchlurk.runtime.jpeg import Pixels, thumb_job
from torchlurk.store.read import read_layer, read_manifest

ENTRY = msgspec.structs.replace(
    read_layer(EXPECTED / "branching", read_manifest(EXPECTED / "branching").layers[0]).filters[0],
    pictures=[],
)
NATURAL = {"cropped": (100, 60), "cropped_grad": (100, 60), "max_grads": (224, 224), "avg_grads": (224, 224)}


def smooth(height: int, width: int, seed: int) -> Pixels:
    """A picture without sharp edges, so that JPEG keeps it."""
    noise = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def decode(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.copy()


def subsampling(data: bytes) -> int:
    """Return the horizontal sampling factor of the first component: 2 for 4:2:0, 1 for 4:4:4."""
    at = data.index(b"\xff\xc0")
    return data[at + 11] >> 4


def error(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).mean())


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((112, 112), (80, 80)),
        ((100, 60), (80, 48)),
        ((60, 100), (48, 80)),
        ((80, 80), (80, 80)),
        ((3, 3), (3, 3)),
    ],
)
def test_a_small_picture_has_at_most_80_pixels_and_is_never_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    pixels = smooth(*size, 1)
    small = decode(encode_one(thumb_job(pixels)))
    assert small.size == expected[::-1]
    reduced = Image.fromarray(pixels).resize(expected[::-1], Image.Resampling.LANCZOS)
    assert error(small, reduced) < (4 if min(size) > 3 else 60)


def test_a_small_picture_of_a_photograph_has_about_2_kilobytes() -> None:
    sizes = []
    for path in sorted((EXPECTED.parents[2] / "data/photos").glob("*/*.jpg"))[::20]:
        with Image.open(path) as photo:
            pixels = np.asarray(photo.convert("RGB").resize((224, 224)))
        sizes.append(len(encode_one(thumb_of(pixels, (224, 224)))))
    assert np.mean(sizes) < 2300


def test_a_gray_picture_stays_gray() -> None:
    small = decode(encode_one(thumb_job(smooth(100, 100, 2)[:, :, :1])))
    assert (small.size, small.mode) == ((80, 80), "L")


def test_the_small_pictures_are_of_the_first_tiles() -> None:
    tiles = {
        kind: [smooth(100, 60, 10 * number + rank) for rank in range(3)]
        for number, kind in enumerate(("cropped", "max_grads", "cropped_grad", "avg_grads"))
    }
    tiles["max_activ"] = [smooth(70, 70, 99)]
    shared: Future[bytes] = Future()
    shared.set_result(b"x")
    found = encode_result(FilterResult(ENTRY, tiles, {"image": shared}), NATURAL)
    assert found.entry.pictures == ["cropped", "max_grads", "cropped_grad", "avg_grads", "max_activ"]
    assert found.thumbs.keys() == {"cropped", "gradient", "max_activ", "image"}
    assert found.thumbs["image"] == b"x"
    for kind, source in (("cropped", "cropped"), ("gradient", "cropped_grad"), ("max_activ", "max_activ")):
        tile = Image.fromarray(tiles[source][0])
        small = decode(found.thumbs[kind])
        assert error(small, tile.resize(small.size, Image.Resampling.LANCZOS)) < 4
        assert subsampling(found.thumbs[kind]) == 2
    for kind, strip in found.pictures.items():
        assert error(decode(strip), Image.fromarray(np.concatenate(tiles[kind], axis=1))) < 3
        assert subsampling(strip) == (2 if kind in ("max_grads", "avg_grads") else 1)


def test_a_layer_without_crops_has_a_small_picture_of_the_whole_gradient() -> None:
    tile = smooth(112, 112, 5)
    found = encode_result(FilterResult(ENTRY, {"max_grads": [tile, tile, tile]}), NATURAL)
    assert found.thumbs.keys() == {"gradient"}
    assert decode(found.thumbs["gradient"]).size == (80, 80)


def test_enlarged_single_pixels_keep_their_colours() -> None:
    tile = np.kron(smooth(3, 3, 7), np.ones((16, 16, 1), dtype=np.uint8))
    for natural, expected in (((3, 3), 1), ((47, 20), 1), ((48, 48), 2)):
        found = encode_result(FilterResult(ENTRY, {"cropped": [tile] * 3}), {**NATURAL, "cropped": natural})
        assert subsampling(found.thumbs["cropped"]) == expected
    assert subsampling(encode_one(thumb_of(smooth(32, 32, 1), (32, 32)))) == 1
    assert subsampling(encode_one(thumb_of(smooth(64, 64, 1), (64, 64)))) == 2
    assert subsampling(encode_one(image_job(smooth(112, 112, 1)))) == 1
    assert subsampling(encode_one(image_job(smooth(113, 112, 1)))) == 2
