"""Explanations as a folder: a contact sheet, the single pictures, and their numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from torchlurk.attribution.targets import ClassLogit
from torchlurk.explaining.drawing import drawn
from torchlurk.explaining.explain import Control, Explanation
from torchlurk.explaining.recipe import METHODS, Recipe
from torchlurk.explaining.record import Scores, scores_of
from torchlurk.explaining.sheet import Cell, Row, contact_sheet
from torchlurk.models.record import Network
from torchlurk.pictures import Pixels, jpeg
from torchlurk.store.write import write_bytes, write_json

SHEET = "sheet.jpg"
SCORES = "scores.json"


def write_explanations(
    out: Path, network: Network, recipe: Recipe, explanations: Sequence[Explanation], tile: int
) -> Scores:
    """Write `sheet.jpg`, `scores.json`, and a folder of PNG for each image.

    Files of an earlier run of the same name are replaced, others stay.

    Args:
        out: the folder.
        network: what was explained.
        recipe: how.
        explanations: at least one.
        tile: long side of a picture in the sheet, pixels.

    Returns:
        What `scores.json` says.

    Raises:
        LurkError: the folder cannot be written.
    """
    shown = network.preprocess.shown
    pictures: list[dict[str, str]] = []
    random: list[list[dict[str, str]]] = []
    rows: list[Row] = []
    for number, one in enumerate(explanations, 1):
        folder = f"{number}-{re.sub(r'[^A-Za-z0-9_-]+', '_', Path(one.name).stem)[:60]}"
        original = _write(out, f"{folder}/original.png", one.picture)
        tiles = _tiles(one.attributions, shown)
        pictures.append({"original": original} | _write_all(out, folder, tiles))
        rows.append(Row(caption(one), (Cell(one.picture), *map(Cell, tiles.values()))))
        random.append([])
        for step, control in enumerate(one.controls, 1):
            tiles = _tiles(control.attributions, shown)
            name = folder if len(one.controls) == 1 else f"{folder}/{step}"
            random[-1].append(_write_all(out, f"{name}/random", tiles))
            notes = [_alike(control.similarity[method]) for method in tiles]
            cells = [Cell(pixels, note) for pixels, note in zip(tiles.values(), notes, strict=True)]
            rows.append(Row(control_caption(control), (Cell(None), *cells)))
    columns = ["image", *(METHODS[name].label for name in recipe.methods)]
    write_bytes(out / SHEET, jpeg(contact_sheet(columns, rows, tile), 80, sharp_colour=True))
    scores = scores_of(network, recipe, explanations, SHEET, pictures, random)
    write_json(out / SCORES, scores)
    return scores


def caption(one: Explanation) -> str:
    """What stands above an image: its name, what is explained, and what the network takes it for."""
    what = "logit" if isinstance(one.target, ClassLogit) else "activation"
    found = f"{one.name}: {one.target_name}, {what} {one.score:.4g}"
    if not one.predictions:
        return found
    best = one.predictions[0]
    if one.target == ClassLogit(best.index):
        return f"{found}, probability {_share(best.probability)}, the first guess"
    own = [p.probability for p in one.predictions if one.target == ClassLogit(p.index)]
    share = f", probability {_share(own[0])}" if own else ""
    return f"{found}{share}; the first guess is {best.name}, {_share(best.probability)}"


def _share(probability: float) -> str:
    """In percent; nothing is certain."""
    return ">99%" if probability > 0.995 else f"{probability:.0%}"


def control_caption(control: Control) -> str:
    """What stands above the same on a network with random weights."""
    count = len(control.layers)
    if count == control.of:
        which = "all weights random"
    elif count == 1:
        which = f"the last layer random ({control.layers[0]})"
    else:
        which = f"the last {count} of {control.of} layers random (from {control.layers[-1]} on)"
    return f"the same with {which}: {control.score:.4g}"


def _alike(similarity: float | None) -> str:
    return "no rank" if similarity is None else f"rank corr. {similarity:.2f}".replace("-0.00", "0.00")


def _tiles(attributions: dict[str, Tensor], shown: Sequence[int]) -> dict[str, Pixels]:
    return {name: drawn(name, values, shown) for name, values in attributions.items()}


def _write_all(out: Path, folder: str, tiles: dict[str, Pixels]) -> dict[str, str]:
    return {name: _write(out, f"{folder}/{name}.png", pixels) for name, pixels in tiles.items()}


def _write(out: Path, path: str, pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_bytes(out / path, buffer.getvalue())
    return path
