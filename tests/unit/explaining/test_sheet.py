"""Tests of contact sheets."""

from __future__ import annotations

import numpy as np

from torchlurk.explaining.sheet import SheetCell, SheetRow, contact_sheet


def test_a_long_caption_is_wrapped() -> None:
    picture = np.zeros((50, 50, 3), np.uint8)
    short, long = (
        contact_sheet(["image"], [SheetRow(text, (SheetCell(picture),))], 100) for text in ("a", "word " * 9)
    )
    assert short.shape[1] == long.shape[1]
    assert long.shape[0] >= short.shape[0] + 30
    assert (long[:, -2:] == 255).all(), "nothing runs over the edge"


def test_a_sheet_has_pictures_in_their_columns_and_readable_text() -> None:
    red, blue = np.zeros((10, 20, 3), np.uint8), np.zeros((10, 20, 3), np.uint8)
    red[:, :, 0], blue[:, :, 2] = 255, 255
    rows = [
        SheetRow("a dog", (SheetCell(red), SheetCell(blue))),
        SheetRow("x" * 500, (SheetCell(None), SheetCell(red, "0.12"))),
    ]
    found = contact_sheet(["image", "integrated gradients"], rows, 100)
    assert found.dtype == np.uint8
    reds, blues = ((found == colour).all(2) for colour in ([255, 0, 0], [0, 0, 255]))
    assert reds.sum() == 2 * 100 * 50
    assert blues.sum() == 100 * 50
    assert np.argwhere(reds)[0][1] < np.argwhere(blues)[0][1]
    left = found[:, : np.argwhere(blues)[0][1]]
    ink = (left < 100).all(2).any(1).nonzero()[0]
    lines = np.split(ink, (np.diff(ink) > 1).nonzero()[0] + 1)
    assert any(7 <= len(line) <= 30 for line in lines), "letters some pixels high"
    assert np.array_equal(found, contact_sheet(["image", "integrated gradients"], rows, 100))
