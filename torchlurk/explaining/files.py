"""Explanations as a folder: a contact sheet, the single pictures, and their numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from torchlurk.attribution.targets import ClassLogit
from torchlurk.explaining.drawing import Window, drawn, framed, window
from torchlurk.explaining.explain import Control, Explanation
from torchlurk.explaining.params import METHODS, AttributionParams
from torchlurk.explaining.record import Scores, scores_of
from torchlurk.explaining.sheet import Cell, Row, contact_sheet
from torchlurk.models.record import Network
from torchlurk.runtime.pictures import Pixels, jpeg
from torchlurk.store.write import write_bytes, write_json

SHEET = "sheet.jpg"
SCORES = "scores.json"


def write_explanations(
    out: Path, network: Network, params: AttributionParams, explanations: Sequence[Explanation], tile: int
) -> Scores:
    """Write `sheet.jpg`, `scores.json`, and a folder of PNG for each image.

    Files of an earlier run of the same name are replaced, others stay. Where a target sees but a small part
    of an image, the sheet shows that part, framed in the image and then enlarged.

    Args:
        out: the folder.
        network: what was explained.
        params: how.
        explanations: at least one.
        tile: long side of a picture in the sheet, pixels.

    Returns:
        What `scores.json` says.

    Raises:
        LurkError: the folder cannot be written.
    """
    shown = network.preprocess.display_channels
    pictures: list[dict[str, str]] = []
    random: list[list[dict[str, str]]] = []
    rows: list[Row] = []
    windows = [_window(one) for one in explanations]
    for number, (one, part) in enumerate(zip(explanations, windows, strict=True), 1):
        folder = f"{number}-{re.sub(r'[^A-Za-z0-9_-]+', '_', Path(one.name).stem)[:60]}"
        original = _write(out, f"{folder}/original.png", one.picture)
        tiles = _tiles(one.attributions, shown)
        pictures.append({"original": original} | _write_all(out, folder, tiles))
        photo = [Cell(one.picture if part is None else framed(one.picture, part))]
        if any(windows):
            photo.append(Cell(None if part is None else one.picture[part]))
        cells = [Cell(pixels) for pixels in _tiles(one.attributions, shown, part).values()]
        rows.append(Row(caption(one), (*photo, *cells)))
        random.append([])
        for step, control in enumerate(one.controls, 1):
            name = folder if len(one.controls) == 1 else f"{folder}/{step}"
            random[-1].append(_write_all(out, f"{name}/random", _tiles(control.attributions, shown)))
            tiles = _tiles(control.attributions, shown, part)
            cells = [Cell(pixels, _alike(control.similarity[method])) for method, pixels in tiles.items()]
            rows.append(Row(control_caption(control), (*(Cell(None) for _ in photo), *cells)))
    columns = [
        "image",
        *(["what it sees"] if any(windows) else []),
        *(METHODS[name].label for name in params.methods),
    ]
    write_bytes(out / SHEET, jpeg(contact_sheet(columns, rows, tile), 80, sharp_colour=True))
    scores = scores_of(network, params, explanations, SHEET, pictures, random)
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


def _window(one: Explanation) -> Window | None:
    """The part of an image that a target sees, if it is small."""
    found = [one.attributions, *(control.attributions for control in one.controls)]
    return window(values for attributions in found for values in attributions.values())


def _tiles(
    attributions: dict[str, Tensor], shown: Sequence[int], part: Window | None = None
) -> dict[str, Pixels]:
    """The pictures of attributions, or of a part of them."""
    cut = (slice(None), *part) if part else ...
    return {name: drawn(name, values[cut], shown) for name, values in attributions.items()}


def _write_all(out: Path, folder: str, tiles: dict[str, Pixels]) -> dict[str, str]:
    return {name: _write(out, f"{folder}/{name}.png", pixels) for name, pixels in tiles.items()}


def _write(out: Path, path: str, pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_bytes(out / path, buffer.getvalue())
    return path
